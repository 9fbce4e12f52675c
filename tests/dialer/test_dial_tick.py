"""A dial tick reads each input once per try, claims at most three times, and records why it tried again."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from streamdialer.broker.scripts import Scripts
from streamdialer.config.settings import Settings
from streamdialer.consumers.services import Services, open_services
from streamdialer.consumers.ticks import TicksStage
from streamdialer.consumers.wakeups import WakeupScheduler
from streamdialer.ledger.types import ClaimResult
from streamdialer.model import Tick, TickResult
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.world.build import build_world

pytestmark = pytest.mark.anyio


class Ticks:
    """One ticks stage, and how often each of its ticks ran each script and asked each path of the backend."""

    def __init__(self, centre: CallCentre, services: Services) -> None:
        self.centre = centre
        self.services = services
        self.scripts: Counter[str] = Counter()
        self._stage = TicksStage(services, WakeupScheduler(services))
        self._count = 0

    async def dial(self, campaign: str = "1") -> TickResult:
        self._count += 1
        self.scripts.clear()
        return await self._stage.run(Tick(f"{self._count}-0", "dial", campaign))


@pytest.fixture
async def ticks(settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ticks]:
    """Two campaigns of ten contacts on one queue with four agents; agents and contacts are read once a minute."""
    world = build_world(agents=4, contacts=20, campaigns=2)
    async with CallCentre(world, settings.redis_url) as centre:
        here = msgspec.structs.replace(
            settings, backend_url=centre.backend_url, agents_cache_ttl_s=60, refill_interval_s=60
        )
        async with open_services(here) as services:
            for campaign in world.campaigns:
                await services.client.hset(f"campaign:{campaign}", "status", "active")
            counted = Ticks(centre, services)

            async def count(scripts: Scripts, script: Any, *args: Any) -> Any:
                counted.scripts[script.name] += 1
                return await run(scripts, script, *args)

            run = Scripts.run
            monkeypatch.setattr(Scripts, "run", count)
            yield counted


def refuse(
    monkeypatch: pytest.MonkeyPatch, ticks: Ticks, reason: str, times: int, after: Callable[[], None]
) -> None:
    """The next claims find an input out of date."""
    claim, left = ticks.services.campaigns.reserve_contacts, [times]

    async def refused(*args: Any) -> ClaimResult:
        claimed = await claim(*args)
        if not left[0]:
            return claimed
        left[0] -= 1
        after()
        return msgspec.structs.replace(claimed, dialed=0, reason=reason)

    monkeypatch.setattr(type(ticks.services.campaigns), "reserve_contacts", staticmethod(refused))


async def test_a_first_tick_refreshes_what_it_does_not_know_and_claims_once(ticks: Ticks) -> None:
    result = await ticks.dial()
    assert (result.status, result.dialed, result.retries) == ("ok", 4, None)
    assert (ticks.scripts["queue_snapshot"], ticks.scripts["reserve_contacts"]) == (1, 1)


async def test_a_tick_with_fresh_inputs_is_a_start_a_snapshot_and_a_claim(ticks: Ticks) -> None:
    await ticks.dial()
    await ticks.dial()  # reads the list once more: it may have held more contacts than the first page
    result = await ticks.dial()
    assert ticks.scripts == {"start_tick": 1, "queue_snapshot": 1, "reserve_contacts": 1}
    assert result.ages_s is not None
    assert result.ages_s.keys() == {"settings", "agents", "contacts"}
    assert all(0 <= age_s < 30 for age_s in result.ages_s.values()), result.ages_s


async def test_a_campaign_that_joins_the_queue_costs_one_more_try(ticks: Ticks) -> None:
    await ticks.dial("1")
    await ticks.dial("2")
    result = await ticks.dial("1")
    assert (result.retries, ticks.scripts["reserve_contacts"]) == (["queue"], 1)
    assert (await ticks.dial("1")).retries is None


@pytest.mark.parametrize(
    ("reason", "outdated"),
    [("queue_changed", "queue"), ("trunk_changed", "trunk"), ("not_rebuilt", "not_rebuilt")],
)
@pytest.mark.parametrize("times", [1, 2, 3, 9])
async def test_a_claim_that_finds_an_input_out_of_date_is_repeated_at_most_twice(
    ticks: Ticks, monkeypatch: pytest.MonkeyPatch, reason: str, outdated: str, times: int
) -> None:
    claims: list[None] = []
    refuse(monkeypatch, ticks, reason, times, lambda: claims.append(None))
    result = await ticks.dial()
    tries = min(3, times)
    assert (len(claims), result.retries) == (tries, [outdated] * tries)
    if times < 3:
        assert result.reason != reason
    else:
        assert (result.status, result.reason, result.dialed) == ("error", reason, 0)
