"""Whatever another program writes into a stream: no process ends, nothing stops, and Redis does not fill up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from streamdialer.broker.connection import connect, why_writes_are_refused
from streamdialer.broker.consumer_group import (
    MOST_MOVED,
    MOST_MOVED_BYTES,
    READ_BYTES,
    REPAIR_STREAM,
    ConsumerGroup,
    Row,
)
from streamdialer.broker.dead_letters import DeadLetters
from streamdialer.broker.entries import Entry
from streamdialer.broker.keys import GROUP, Keys, Stream
from streamdialer.broker.purge import Purge
from streamdialer.broker.scripts import PIPELINES
from streamdialer.consumers.services import Services
from streamdialer.errors import CannotBeDone
from streamdialer.operations.streams import stream_states
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.ledger_fixture import LedgerWorld

KEYS = Keys()
EVENTS, DEAD = KEYS.stream("events"), KEYS.stream("dead")
LAST_ID = f"{2**64 - 1}-{2**64 - 1}"
MOST, MOST_BYTES = 200, 100_000
MAX_UNREAD_BYTES = 1_000_000
"""As in `sweep_campaign.lua`."""


@pytest.fixture
async def group(world: LedgerWorld, server: EmbeddedServer) -> AsyncIterator[ConsumerGroup]:
    reader = connect(server.url)
    made = ConsumerGroup(
        reader=reader,
        scripts=world.services.scripts,
        keys=KEYS,
        stage="events",
        consumer="a",
        dead_letters_maxlen=MOST,
        dead_letters_max_bytes=MOST_BYTES,
        retention_ms=60_000,
    )
    await made.create()
    yield made
    await reader.aclose()


@pytest.fixture
def letters(world: LedgerWorld) -> DeadLetters:
    return DeadLetters(world.client, world.services.scripts, KEYS)


async def read(group: ConsumerGroup, count: int) -> list[Row]:
    return (await group.read_new(count))[1]


async def read_one(group: ConsumerGroup) -> Entry:
    ((entry, fields),) = await read(group, 1)
    assert fields
    return Entry(entry, fields)


async def bury(group: ConsumerGroup, redis: Redis, reason: str, **fields: str) -> None:
    entry: dict[Any, Any] = {"type": "zzz", **fields}
    await redis.xadd(EVENTS, entry)
    await group.dead_letter(await read_one(group), reason, "detail")


async def entry_ids(redis: Redis) -> list[str]:
    rows: Any = await redis.xrange(EVENTS)
    return [entry for entry, _ in rows]


async def memory(redis: Redis) -> int:
    return int(await redis.memory_usage(DEAD, samples=0) or 0)


async def sizes(redis: Redis) -> dict[str, int]:
    found: Any = await redis.hgetall(KEYS.of_dead_letters[2])
    return {name: int(value) for name, value in found.items()}


# ---- entries ----


@pytest.mark.parametrize("pairs", [1, 999, 1000, 1001, 4000, 50_000])
async def test_an_entry_of_any_number_of_fields_becomes_a_dead_letter(
    group: ConsumerGroup, letters: DeadLetters, redis: Redis, pairs: int
) -> None:
    fields: dict[Any, Any] = {"type": "zzz"} | {f"f{number}": "1" for number in range(pairs - 1)}
    await redis.xadd(EVENTS, fields)
    await group.dead_letter(await read_one(group), "unknown_type", "detail")
    (letter,) = await letters.newest(2)
    assert await redis.xlen(EVENTS) == 0
    if pairs <= 1000:
        assert letter.original == fields
        assert not letter.cut
        await letters.replay(letter.id)
        assert (await read_one(group)).fields == fields
    else:
        assert letter.original.items() <= fields.items()
        assert f"{pairs} fields" in letter.cut
        with pytest.raises(CannotBeDone, match="only be dropped"):
            await letters.replay(letter.id)
        assert await letters.drop([letter.id]) == 1


async def test_of_an_entry_that_is_too_large_only_the_beginning_is_kept(
    group: ConsumerGroup, letters: DeadLetters, redis: Redis
) -> None:
    await bury(group, redis, "too_large", call_id="x" * 5_000_000)
    (letter,) = await letters.newest(1)
    assert len(letter.original["call_id"]) == 1000
    assert 0 < await memory(redis) < 10_000


async def test_an_entry_that_cannot_be_buried_stays_pending(group: ConsumerGroup, redis: Redis) -> None:
    await redis.xadd(DEAD, {"reason": "junk"}, id=LAST_ID)
    for _ in range(PIPELINES + 1):
        await redis.xadd(EVENTS, {"type": "zzz"})
    rows = await read(group, PIPELINES + 1)
    with anyio.fail_after(5):  # what waits for one stream keeps nothing else from being done
        async with anyio.create_task_group() as tasks:
            for entry, fields in rows:
                tasks.start_soon(group.dead_letter, Entry(entry, fields or {}), "unknown_type", "detail")
                await anyio.sleep(0.1)
            assert (await redis.xpending(EVENTS, GROUP))["pending"] == len(rows), "acknowledged last"
            await group.repair()
    assert await redis.xlen(EVENTS) == 0


# ---- reads ----


@pytest.mark.parametrize("kind", ["new", "own", "seen", "idle"])
async def test_a_read_ends_when_its_entries_are_large(group: ConsumerGroup, redis: Redis, kind: str) -> None:
    large = "x" * (READ_BYTES // 2)
    ids = [str(await redis.xadd(EVENTS, {"n": str(number), "note": large})) for number in range(5)]
    ids += [str(await redis.xadd(EVENTS, {"n": str(number)})) for number in range(5)]
    other = msgspec.structs.replace(group, consumer="other")
    if kind != "new":
        earlier: Any = await redis.xreadgroup(GROUP, group.consumer, {EVENTS: ">"}, count=100)
        assert len(earlier[0][1]) == len(ids)

    async def next_rows(after: str) -> tuple[str | None, list[Row]]:
        if kind == "idle":
            more_after, redelivered = await other.autoclaim(after, 0, 100, last_delivery=5)
        elif kind != "new":
            is_delivery = kind == "own"
            more_after, redelivered = await group.read_own(
                after, 100, is_delivery=is_delivery, last_delivery=5
            )
        else:
            is_all, rows = await group.read_new(100)
            return None if is_all else "0-0", rows
        assert {row[2] for row in redelivered} == {1 if kind == "seen" else 2}
        return more_after, [row[:2] for row in redelivered]

    after: str | None = "0-0"
    reads: list[list[str]] = []
    while after:
        after, rows = await next_rows(after)
        reads.append([entry for entry, _ in rows])
        assert all(fields and fields["n"] for _, fields in rows)
    assert [len(rows) for rows in reads] == [2, 2, 6]
    assert [entry for rows in reads for entry in rows] == ids
    consumer = other.consumer if kind == "idle" else group.consumer
    deliveries: Any = await redis.xpending_range(EVENTS, GROUP, "-", "+", 100, consumer)
    expected = 2 if kind in ("own", "idle") else 1
    assert [each["times_delivered"] for each in deliveries] == [expected] * len(ids)


# ---- dead letters ----


async def test_a_flood_of_one_kind_pushes_out_its_own_kind(
    group: ConsumerGroup, letters: DeadLetters, redis: Redis
) -> None:
    await bury(group, redis, "unknown_contact", note="genuine")
    for number in range(2 * MOST):
        await bury(group, redis, "unknown_type", note=str(number))
    kept = await letters.newest(10 * MOST)
    assert len(kept) == MOST
    assert kept[-1].original["note"] == "genuine"
    assert kept[0].original["note"] == str(2 * MOST - 1)
    assert (await sizes(redis))["n"] == MOST


async def test_dead_letters_are_bounded_by_bytes(
    group: ConsumerGroup, letters: DeadLetters, redis: Redis
) -> None:
    await bury(group, redis, "unknown_contact", note="genuine")
    for _ in range(20):
        await bury(group, redis, "broken_json", note="x" * 40_000)
    assert (await sizes(redis))["b"] <= MOST_BYTES
    assert 0 < await memory(redis) < 2 * MOST_BYTES
    assert [letter.reason for letter in await letters.newest(10)] == [
        "broken_json",
        "broken_json",
        "unknown_contact",
    ]


async def test_letters_that_are_dropped_or_replayed_no_longer_count(
    group: ConsumerGroup, letters: DeadLetters, redis: Redis
) -> None:
    for number in range(4):
        await bury(group, redis, "unknown_type", note=str(number))
    newest = await letters.newest(4)
    assert await letters.drop([newest[0].id, newest[1].id, "1-1"]) == 2
    await letters.replay(newest[2].id)
    assert (await sizes(redis))["n"] == 1
    await letters.drop([newest[3].id])
    assert await sizes(redis) == {}
    assert not await redis.exists(*KEYS.of_dead_letters[1:])


async def test_letters_deleted_by_hand_do_not_stop_the_next_ones(
    group: ConsumerGroup, letters: DeadLetters, redis: Redis
) -> None:
    for number in range(MOST):
        await bury(group, redis, "unknown_type", note=str(number))
    await redis.delete(DEAD, KEYS.of_dead_letters[1])
    for number in range(3):
        await bury(group, redis, "unknown_contact", note=str(number))
    assert await letters.count() == 3


# ---- the last possible id ----


async def repair_step(services: Services, stream: Stream) -> str:
    keys = services.keys
    names = [keys.stream(stream), keys.anew(stream), keys.events_retained]
    return str(await services.scripts.run(REPAIR_STREAM, names, [MOST_MOVED, MOST_MOVED_BYTES, GROUP]))


@pytest.mark.parametrize("last", [LAST_ID, f"{2**64 - 1}-7"])
async def test_a_stream_is_made_anew_after_the_last_possible_id(
    group: ConsumerGroup, redis: Redis, last: str
) -> None:
    await redis.xgroup_create(EVENTS, "analytics", id="0")
    for number in range(3):
        await redis.xadd(EVENTS, {"n": str(number)})
    (held, _), (finished, _) = await read(group, 2)
    await redis.xadd(EVENTS, {"n": "last"}, id=last)
    await group.acknowledge([finished])
    await group.repair()
    new = str(await redis.xadd(EVENTS, {"n": "after"}))
    assert len(new.partition("-")[0]) == 13
    rest = await read(group, 10)
    assert [fields and fields["n"] for _, fields in rest] == ["2", "last", "after"]
    _, own = await group.read_own("0", 10, is_delivery=False, last_delivery=5)
    assert [row[0] for row in own] == [held, *(entry for entry, _ in rest)]
    others: Any = await redis.xreadgroup("analytics", "x", {EVENTS: ">"})
    assert {fields["n"] for _, fields in others[0][1]} >= {"0", "2", "last", "after"}
    await group.repair()
    assert await redis.xadd(EVENTS, {"n": "again"})


async def test_dead_letters_are_made_anew_with_all_that_are_there(
    group: ConsumerGroup, letters: DeadLetters, redis: Redis
) -> None:
    pipe = redis.pipeline()
    for number in range(MOST_MOVED + 5):
        pipe.xadd(DEAD, {"reason": "junk", "=n": str(number)})
    pipe.xadd(DEAD, {"reason": "last"}, id=LAST_ID)
    ids = await pipe.execute()
    await group.repair()
    assert await letters.count() == MOST_MOVED + 6
    assert (await letters.ids())[:-1] == ids[:-1]
    assert await redis.xadd(DEAD, {"reason": "junk"})


async def test_large_entries_are_moved_and_purged_some_at_a_time(
    group: ConsumerGroup, letters: DeadLetters, redis: Redis, services: Services
) -> None:
    """Each script holds up everybody, however large the entries are that others have written."""
    for number in range(40):
        await redis.xadd(DEAD, {"reason": "junk", "=n": f"{number} {'x' * 300_000}"})
    await redis.xadd(DEAD, {"reason": "last"}, id=LAST_ID)
    assert await repair_step(services, "dead") == "more"
    assert await redis.xlen(services.keys.anew("dead")) == 1 + MOST_MOVED_BYTES // 300_000
    await group.repair()
    assert await letters.count() == 41
    reports: list[int] = []
    assert await Purge(services.scripts, services.keys).empty("dead", reports.append) == 41
    assert reports == [*range(4, 41, 4), 41]


async def test_entries_of_many_fields_are_moved_few_at_a_time(redis: Redis, services: Services) -> None:
    """It takes Redis longer to move a thousand short texts than a long one."""
    fields: dict[Any, Any] = {"reason": "junk"} | {f"=f{number}": "x" for number in range(999)}
    for _ in range(40):
        await redis.xadd(DEAD, fields)
    await redis.xadd(DEAD, {"reason": "last"}, id=LAST_ID)
    assert await repair_step(services, "dead") == "more"
    assert await redis.xlen(services.keys.anew("dead")) == 1 + MOST_MOVED_BYTES // (2000 * 102)
    await redis.delete(services.keys.anew("dead"))


async def test_a_long_stream_that_others_read_in_a_group_is_made_anew(
    group: ConsumerGroup, redis: Redis, services: Services
) -> None:
    """As an agents' program may read the previews."""
    previews, number = services.keys.previews, MOST_MOVED + 5
    await redis.xgroup_create(previews, "agents", id="0", mkstream=True)
    ids = [str(await redis.xadd(previews, {"n": str(each)})) for each in range(number)]
    await redis.xreadgroup("agents", "x", {previews: ">"}, count=number - 1)
    await redis.xadd(previews, {"n": "last"}, id=LAST_ID)
    await group.repair()
    pending: Any = await redis.xpending_range(previews, "agents", "-", "+", number)
    assert [each["message_id"] for each in pending] == ids[:MOST_MOVED]
    rest: Any = await redis.xreadgroup("agents", "x", {previews: ">"})
    assert [fields["n"] for _, fields in rest[0][1]] == [str(number - 1), "last"]
    assert await redis.xadd(previews, {"n": "room"})
    await redis.delete(previews)


async def test_entries_that_stay_for_others_do_not_keep_a_stream_from_being_made_anew(
    group: ConsumerGroup, redis: Redis
) -> None:
    """Nothing is written any more, and so nothing is done that would let them go."""
    async with analytics(redis):
        await finish(group, redis, 2 * MOST_MOVED)
        await redis.xadd(EVENTS, {"n": "last"}, id=LAST_ID)
        await group.repair()
        assert await redis.xadd(EVENTS, {"n": "room"})
        assert [fields and fields["n"] for _, fields in await read(group, 10)] == ["last", "room"]
        assert await redis.xlen(EVENTS) <= MOST_MOVED + 2


async def test_a_stream_with_large_entries_is_worked_off_before_it_is_made_anew(
    group: ConsumerGroup, redis: Redis
) -> None:
    for _ in range(30):
        await redis.xadd(EVENTS, {"n": "x" * 300_000})
    await redis.xadd(EVENTS, {"n": "last"}, id=LAST_ID)
    await group.repair()
    with pytest.raises(ResponseError):
        await redis.xadd(EVENTS, {"n": "no room"})
    await group.acknowledge([entry for entry, _ in await read(group, 26)])
    await group.repair()
    assert await redis.xadd(EVENTS, {"n": "room"})
    assert await redis.xlen(EVENTS) == 6


async def test_ids_of_a_stream_that_was_made_anew_prove_nothing(
    world: LedgerWorld, group: ConsumerGroup
) -> None:
    await world.open_campaign(contacts=3, agents=3)
    silent, other = await world.place_one(), await world.place_one()
    await world.client.xadd(EVENTS, {"type": "any"}, id=LAST_ID)
    late = await world.place_one()
    await world.event("call_ringing", other, entry=LAST_ID)
    await read(group, 10)
    await group.acknowledge([LAST_ID])
    await group.repair()
    await world.pass_deadlines(silent.contact)
    await world.client.zadd("sd:c:1:dialing", {other.contact: 9e15, late.contact: 9e15})
    assert (await world.sweep()).stalled == 1, "the only evidence is an id that never was"
    assert await world.event("call_ringing", late) == "applied", "its call is known by time"
    assert (await world.sweep()).no_event == 1
    await world.check_invariants()


async def test_a_source_is_believed_again_after_its_stream_was_made_anew(
    world: LedgerWorld, group: ConsumerGroup
) -> None:
    await world.open_campaign(contacts=1, agents=1)
    attempt = await world.place_one()
    await world.client.xadd(EVENTS, {"type": "any"}, id=LAST_ID)
    assert await world.list_calls(attempt.id, entry=LAST_ID) == ""
    await read(group, 10)
    await group.acknowledge([LAST_ID])
    await group.repair()
    await world.send_earlier(attempt.contact, 60)
    assert await world.list_calls() == ""
    assert await world.count("1", "dialing") == 0, "the newer list counts"


# ---- other consumer groups ----


@asynccontextmanager
async def analytics(redis: Redis) -> AsyncIterator[Any]:
    await redis.xgroup_create(EVENTS, "analytics", id="0", mkstream=True)

    async def read(count: int = 100) -> list[str]:
        answer: Any = await redis.xreadgroup("analytics", "x", {EVENTS: ">"}, count=count)
        entries = [entry for _, rows in answer for entry, _ in rows]
        if entries:
            await redis.xack(EVENTS, "analytics", *entries)
        return entries

    yield read


async def finish(group: ConsumerGroup, redis: Redis, count: int) -> list[str]:
    ids = [str(await redis.xadd(EVENTS, {"n": str(number)})) for number in range(count)]
    await read(group, count)
    await group.acknowledge(ids)
    return ids


async def test_other_groups_see_every_event(group: ConsumerGroup, redis: Redis) -> None:
    async with analytics(redis) as read:
        ids = await finish(group, redis, 5)
        state = next(each for each in await stream_states(redis, KEYS) if each.stream == "events")
        assert (state.length, state.lag, state.pending) == (5, 0, 0)
        assert await read(3) == ids[:3]
        more = await finish(group, redis, 2)
        assert await entry_ids(redis) == [*ids[3:], *more]
        assert await read() == [*ids[3:], *more]
        await finish(group, redis, 1)
        assert await redis.xlen(EVENTS) == 1
        await redis.xgroup_destroy(EVENTS, "analytics")
        await finish(group, redis, 1)
        assert await redis.xlen(EVENTS) == 0
        assert not await redis.exists(KEYS.events_retained)


async def test_events_stay_for_a_group_that_does_not_read_no_longer_than_configured(
    group: ConsumerGroup, redis: Redis
) -> None:
    async with analytics(redis):
        await redis.xadd(EVENTS, {"n": "old"}, id="1000-0")
        await redis.xadd(EVENTS, {"n": "unread"}, id="2000-0")
        await read(group, 1)
        await group.acknowledge(["1000-0"])
        assert await entry_ids(redis) == ["2000-0"], "our own unread event stays"
        assert not await redis.exists(KEYS.events_retained)


# ---- the sweep ----


async def test_events_that_are_read_keep_no_call_from_its_end(
    world: LedgerWorld, group: ConsumerGroup
) -> None:
    await world.open_campaign(contacts=2, agents=2)
    silent, other = await world.place_one(), await world.place_one()
    async with analytics(world.client):
        await finish(group, world.client, 3)
        await world.event("call_ringing", other)
        await world.pass_deadlines(silent.contact)
        await world.client.zadd("sd:c:1:dialing", {other.contact: 9e15})
        assert (await world.sweep()).no_event == 1


async def test_a_sweep_reads_few_of_large_unread_events(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2, agents=2)
    silent, other = await world.place_one(), await world.place_one()
    await world.event("call_ringing", other)
    for kind in ("callback_requested", "zzz"):
        for _ in range(250):
            await world.client.xadd(EVENTS, {"type": kind, "note": "x" * 300_000})
    await world.pass_deadlines(silent.contact)
    await world.client.zadd("sd:c:1:dialing", {other.contact: 9e15})
    await world.client.config_resetstat()
    assert (await world.sweep()).stalled == 1
    stats: Any = await world.client.info("commandstats")
    assert stats["cmdstat_xrange"]["calls"] <= 1 + MAX_UNREAD_BYTES // 300_000
    await world.client.delete(EVENTS)


# ---- a server that takes no writes ----


async def test_the_server_says_why_it_takes_no_writes(redis: Redis) -> None:
    assert await why_writes_are_refused(redis, KEYS) == ""
    await redis.config_set("maxmemory", "1")
    try:
        assert "maxmemory" in await why_writes_are_refused(redis, KEYS)
    finally:
        await redis.config_set("maxmemory", "0")
    await redis.config_set("min-replicas-to-write", "1")
    try:
        assert "Not enough good replicas" in await why_writes_are_refused(redis, KEYS)
    finally:
        await redis.config_set("min-replicas-to-write", "0")
    assert not await redis.exists(KEYS.probe)


@pytest.mark.parametrize("last", ["5-18446744073709551615", LAST_ID, f"{2**64 - 2}-{2**64 - 1}"])
async def test_odd_ids_are_finished_beside_other_groups(
    group: ConsumerGroup, redis: Redis, last: str
) -> None:
    async with analytics(redis) as other:
        await redis.xadd(EVENTS, {"n": "last"}, id=last)
        assert await other() == [last]
        await read(group, 1)
        await group.acknowledge([last])
        assert (await redis.xpending(EVENTS, GROUP))["pending"] == 0
