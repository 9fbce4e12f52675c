"""Calls of one script that are joined in one run come to the same as one by one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from streamdialer.broker.scripts import MOST_JOINED, SET_ASIDE_S
from streamdialer.ledger.campaigns import MARK_SENT
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.model import Attempt
from tests.support.ledger_fixture import LedgerWorld

Step = tuple[str, dict[str, Any]]
STEPS: list[Step] = [
    ("mark_sent", {}),
    ("settle", {"verdict": "placed"}),
    ("settle", {"verdict": "not_placed"}),
    ("settle", {"verdict": "never"}),
    ("settle", {"verdict": "unknown"}),
    ("call_ringing", {}),
    ("call_answered", {"agent": True}),
    ("call_completed", {"duration": 7}),
    ("call_failed", {"disposition": "busy"}),
    ("call_abandoned", {}),
    ("lease", {}),
]
CONTACTS = 6


async def at_once(tasks: Sequence[Callable[[], Awaitable[Any]]]) -> list[Any]:
    answers: list[Any] = [None] * len(tasks)

    async def keep(at: int) -> None:
        answers[at] = await tasks[at]()

    async with anyio.create_task_group() as group:
        for at in range(len(tasks)):
            group.start_soon(keep, at)
    return answers


async def one_by_one(tasks: Sequence[Callable[[], Awaitable[Any]]]) -> list[Any]:
    return [await task() for task in tasks]


async def reserved(world: LedgerWorld, campaign: str, first: int) -> list[Attempt]:
    world.queue = f"queue{campaign}"
    await world.open_campaign(campaign, contacts=CONTACTS, first=first, agents=CONTACTS)
    claimed = await world.claim(campaign, CONTACTS)
    assert claimed.dialed == CONTACTS, claimed
    return [each for each in await world.reserved_calls() if each.campaign == campaign]


async def take_step(world: LedgerWorld, attempt: Attempt, step: Step, agent: str) -> str:
    name, data = step
    if name == "mark_sent":
        return await world.mark_sent(attempt)
    if name == "settle":
        return await world.settle(attempt, data["verdict"])
    if name == "lease":
        leased = await world.services.outbox.lease(attempt.campaign, attempt.contact, "holder")
        return leased if isinstance(leased, str) else str(leased.status)
    said = {key: value for key, value in data.items() if key != "agent"}
    return await world.event(name, attempt, **said, **({"agent_id": agent} if "agent" in data else {}))


async def play(
    world: LedgerWorld,
    campaign: str,
    first: int,
    plan: list[list[Step]],
    run: Callable[[Sequence[Callable[[], Awaitable[Any]]]], Awaitable[list[Any]]],
) -> tuple[list[Any], list[Any], dict[str, str]]:
    """The answers of each round, what has become of each contact, and the campaign's public numbers."""
    attempts = await reserved(world, campaign, first)
    answers = []
    for steps in plan:
        tasks = [
            lambda attempt=attempt, step=step, at=at: take_step(
                world, attempt, step, f"{world.queue}.{at + 1}"
            )
            for at, (attempt, step) in enumerate(zip(attempts, steps, strict=True))
        ]
        answers.append(await run(tasks))
    ends = []
    for attempt in attempts:
        record = await world.record(attempt.contact, campaign)
        ends.append((record["p"], record["a"], [each["s"] for each in record.get("h") or []]))
    public = await world.public(campaign)
    for name in ("updated_at", "available_agents", "busy_agents"):
        public.pop(name, None)
    return answers, ends, public


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plan=st.lists(
        st.lists(st.sampled_from(STEPS), min_size=CONTACTS, max_size=CONTACTS), min_size=1, max_size=5
    )
)
async def test_joined_or_one_by_one(redis: Redis, world: LedgerWorld, plan: list[list[Step]]) -> None:
    await redis.flushdb()
    await mark_server_trusted(redis, world.keys)
    alone = await play(world, "1", 1, [[("mark_sent", {})] * CONTACTS, *plan], one_by_one)
    joined = await play(world, "2", 101, [[("mark_sent", {})] * CONTACTS, *plan], at_once)
    assert joined == alone
    await world.check_invariants("1", "2")


async def test_calls_with_the_same_keys_are_joined_up_to_a_bound(redis: Redis, world: LedgerWorld) -> None:
    await world.open_campaign(contacts=50, agents=50)
    assert (await world.claim(level=50)).dialed == 50
    attempts = await world.reserved_calls()
    before = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
    assert await at_once([partial(world.mark_sent, attempt) for attempt in attempts]) == ["ok"] * 50
    runs = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] - before
    assert 50 / MOST_JOINED <= runs <= 50 / MOST_JOINED + 6


async def test_a_call_that_fails_costs_those_beside_it_nothing(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=6, agents=6)
    assert (await world.claim(level=6)).dialed == 6
    attempts = await world.reserved_calls()
    keys = world.keys
    names = [*keys.of_campaign("1"), keys.api, keys.dnc, *keys.of_call_history, keys.caller_ids]

    async def broken() -> Any:
        with pytest.raises(ResponseError):
            await world.services.scripts.run(MARK_SENT, names, ["1"])

    tasks = [partial(world.mark_sent, attempt) for attempt in attempts]
    assert await at_once([*tasks[:3], broken, *tasks[3:]]) == [*["ok"] * 3, None, *["ok"] * 3]
    assert await world.count("1", "dialing") == 6


async def test_calls_keep_their_answers_beside_one_that_fails(redis: Redis, world: LedgerWorld) -> None:
    await world.open_campaign(contacts=5, agents=5)
    assert (await world.claim(level=5)).dialed == 5
    attempts = await world.reserved_calls()
    assert await at_once([partial(world.mark_sent, each) for each in attempts]) == ["ok"] * 5
    entries = [await world.write_entry() for _ in attempts]
    await redis.hset(world.keys.records("1"), attempts[2].contact, "{broken")

    async def end(attempt: Attempt, entry: str) -> str:
        try:
            return await world.event("call_failed", attempt, disposition="busy", entry=entry)
        except ResponseError:
            return "error"

    tasks = [partial(end, attempt, entry) for attempt, entry in zip(attempts, entries, strict=True)]
    assert await at_once(tasks) == ["ended", "ended", "error", "ended", "ended"]


async def test_updates_stay_confirmed_beside_one_that_cannot_be_read(
    redis: Redis, world: LedgerWorld
) -> None:
    await world.open_campaign(contacts=5, agents=5)
    attempts = [await world.place_one() for _ in range(5)]
    versions = [(await world.lease_update(each.contact, "worker")).version for each in attempts]
    await redis.hset(world.keys.records("1"), attempts[2].contact, "{broken")

    async def confirm(attempt: Attempt, version: int) -> str:
        try:
            return await world.services.outbox.acknowledge("1", attempt.contact, "worker", version)
        except ResponseError:
            return "error"

    tasks = [partial(confirm, attempt, version) for attempt, version in zip(attempts, versions, strict=True)]
    assert await at_once(tasks) == ["done", "done", "error", "done", "done"]
    assert [await world.backend_doc(each.contact) for each in (*attempts[:2], *attempts[3:])] == [{}] * 4


async def test_a_call_whose_caller_has_gone_is_not_made(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    attempt = await world.reserve()
    async with anyio.create_task_group() as group:
        group.start_soon(world.mark_sent, attempt)
        await anyio.lowlevel.cancel_shielded_checkpoint()
        group.cancel_scope.cancel()
    assert await world.services.campaigns.due_campaigns(1) is not None  # sent after it
    assert await world.state_of("1") == "reserved"


LAST_ID = f"{2**64 - 1}-{2**64 - 1}"
"""A stream with this id takes no entry more."""


@pytest.mark.parametrize("stream", ["updates", "outcomes"])
async def test_what_is_repeated_after_a_stream_took_no_entry_counts_once(
    redis: Redis, world: LedgerWorld, stream: str
) -> None:
    await world.open_campaign(contacts=2, agents=2)
    attempts = [await world.place_one() for _ in range(2)]
    entries = [await world.write_entry() for _ in attempts]
    name = f"dialer:{stream}"
    await redis.delete(name)
    await redis.xadd(name, {"x": "y"}, id=LAST_ID)
    async with anyio.create_task_group() as group:
        for attempt, entry in zip(attempts, entries, strict=True):
            group.start_soon(partial(world.event, "call_failed", attempt, disposition="busy", entry=entry))
        await anyio.sleep(2.5 * SET_ASIDE_S)
        await redis.delete(name)
    assert (await world.public())["busy"] == "2"
    recent: Any = await redis.hget(world.keys.totals("1"), "recent_calls")
    assert recent.split()[1:] == ["2", "0"]


async def test_a_call_is_not_sent_before_its_update_has_a_place(redis: Redis, world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    attempt, marked = await world.reserve(), list[str]()
    await redis.delete("dialer:updates")
    await redis.xadd("dialer:updates", {"x": "y"}, id=LAST_ID)

    async def mark() -> None:
        marked.append(await world.mark_sent(attempt))

    async with anyio.create_task_group() as group:
        group.start_soon(mark)
        await anyio.sleep(2.5 * SET_ASIDE_S)
        assert marked == []
        await redis.delete("dialer:updates")
    assert marked == ["ok"]
    public = await world.public()
    assert (public["active_calls"], public["total_calls"]) == ("1", "1")
    assert (await world.lease_update("1", "worker")).status == "dialing"
    assert await redis.xlen("dialer:updates") == 1
