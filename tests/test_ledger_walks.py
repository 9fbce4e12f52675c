"""Long random walks through the ledger: whatever happens in whatever order, every invariant holds after every step."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streamdialer.consumers.services import Services
from streamdialer.ledger import Update
from streamdialer.model import Attempt
from tests.ledger_world import LedgerWorld

pytestmark = pytest.mark.anyio
STEPS = 150


class Walk:
    """Two campaigns on one queue, and an observer who knows which requests have left."""

    def __init__(self, world: LedgerWorld, seed: int) -> None:
        self.world = world
        self.draw = random.Random(seed)
        self.left: dict[str, str] = {}
        """Attempt id -> reservation token of the one request that left."""
        self.open: list[Attempt] = []
        self.agents = 4
        self.cap = 5

    def campaign(self) -> str:
        return self.draw.choice(["1", "2"])

    async def claim(self) -> None:
        campaign = self.campaign()
        other = "2" if campaign == "1" else "1"
        token = self.draw.choice([None, None, "t1", "t2"])
        level = self.draw.randint(0, 6)
        claimed = await self.world.claim(
            campaign, level, token=token and campaign + token, others={other: 1.0}, max_concurrent=self.cap
        )
        if claimed.dialed and claimed.reason is None and token is None:
            assert claimed.unanswered <= level
            assert claimed.live <= self.cap

    async def begin(self) -> None:
        calls = await self.world.reserved_calls()
        if not calls:
            return
        attempt = self.draw.choice(calls)[1]
        run = self.draw.choice(["a", "b"])
        if await self.world.services.campaigns.begin(attempt, run, "") == "ok":
            mark = f"{attempt.token}/{run}"
            assert self.left.get(mark, attempt.id) == attempt.id
            runs = [one for one in self.left if one.rpartition("/")[0] == attempt.token and one != mark]
            assert not runs, "two runs were allowed to send the same reservation"
            self.left[mark] = attempt.id
            self.open.append(attempt)

    async def settle(self) -> None:
        if self.open:
            verdict = self.draw.choice(["placed", "unknown", "not_placed", "never"])
            hold = self.draw.choice(["campaign", "api"]) if verdict == "not_placed" else ""
            await self.world.settle(self.draw.choice(self.open), verdict, hold, 0)
            await self.world.services.client.delete("sd:api")

    async def event(self) -> None:
        if self.open:
            attempt = self.draw.choice(self.open)
            kind = self.draw.choice(
                [
                    "call_ringing",
                    "call_answered",
                    "call_completed",
                    "call_failed",
                    "call_failed",
                    "call_abandoned",
                ]
            )
            data: dict[str, Any] = {}
            if kind == "call_failed":
                data["disposition"] = self.draw.choice(["no_answer", "busy", "failed"])
            if self.draw.random() < 0.7:
                data["call_id"] = f"call-{attempt.token}"
            await self.world.event(kind, attempt, **data)

    async def time_passes(self) -> None:
        await self.world.age(self.draw.choice([10, 50, 400, 8000]), self.campaign())
        await self.world.sweep(self.campaign())

    async def pause_or_go_on(self) -> None:
        status = self.draw.choice(["paused", "active", "active", "active"])
        await self.world.services.client.hset(f"campaign:{self.campaign()}", "status", status)

    async def load(self) -> None:
        rows = [self.world.row(str(self.draw.randint(1, 12)), self.draw.randint(1, 10)) for _ in range(3)]
        await self.world.services.campaigns.load(self.campaign(), rows, 3)

    async def deliver(self) -> None:
        campaign, contact = self.campaign(), str(self.draw.randint(1, 12))
        token = self.draw.choice(["x", "y"])
        update = await self.world.services.outbox.take(campaign, contact, token)
        if isinstance(update, Update):
            version = self.draw.choice([update.version, update.version - 1])
            await self.world.services.outbox.confirm(campaign, contact, token, version)

    async def agents_change(self) -> None:
        self.agents = self.draw.randint(2, 6)
        await self.world.set_agents(self.agents)

    async def step(self) -> None:
        deeds: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (6, self.claim),
            (8, self.begin),
            (5, self.settle),
            (8, self.event),
            (3, self.time_passes),
            (2, self.pause_or_go_on),
            (1, self.load),
            (3, self.deliver),
            (1, self.agents_change),
        ]
        weights = [weight for weight, _ in deeds]
        await self.draw.choices([deed for _, deed in deeds], weights)[0]()


@pytest.mark.parametrize("seed", range(16))
async def test_every_invariant_holds_after_every_step(services: Services, seed: int) -> None:
    world = LedgerWorld(services)
    walk = Walk(world, seed)
    for campaign in ("1", "2"):
        await world.open_campaign(campaign, contacts=6)
    await world.set_agents(walk.agents)
    for _ in range(STEPS):
        await walk.step()
        await world.check_invariants("1", "2")
    assert walk.left, "a walk in which nothing was sent proves nothing"
    # No attempt was sent twice unless its first request is known not to have been placed or its lease ran out unsent.
    for campaign in ("1", "2"):
        for contact in range(1, 13):
            raw: Any = await services.client.hget(services.keys.records(campaign), str(contact))
            if raw:
                record = await world.record(str(contact), campaign)
                numbers = [
                    one["n"] for one in record.get("h") or [] if one["s"] not in ("reserved", "released")
                ]
                assert len(numbers) == len(set(numbers)), record
