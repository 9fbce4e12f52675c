"""The stream of outcomes: one entry per ended attempt, whatever ended it, and one more when late news changes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import pytest
from redis.asyncio import Redis

from streamdialer.config.settings import Settings
from streamdialer.consumers.services import open_services
from streamdialer.ledger.types import LoadRow
from streamdialer.model import Attempt
from tests.support.ledger_fixture import LedgerWorld

FIELDS: Final = [
    *(
        "attempt_id",
        "campaign_id",
        "contact_id",
        "phone_number",
        "call_id",
        "agent_id",
        "disposition",
        "cause",
    ),
    *("sent_at", "answered_at", "ended_at", "duration", "attempt", "allowed_by", "next_at", "final"),
]
Ending = Callable[[LedgerWorld, Attempt], Awaitable[object]]


async def outcomes(world: LedgerWorld) -> list[dict[str, Any]]:
    """What the entries say, oldest first; every entry has all fields of the contract in their order."""
    rows: Any = await world.client.xrange(world.keys.outcomes)
    assert all(set(fields) == {"type", "data"} for _, fields in rows)
    assert {fields["type"] for _, fields in rows} <= {"attempt_ended"}
    found = [msgspec.json.decode(fields["data"], type=dict[str, Any]) for _, fields in rows]
    assert all(list(each) == FIELDS for each in found)
    return found


async def dispositions(world: LedgerWorld) -> list[str]:
    return [each["disposition"] for each in await outcomes(world)]


@pytest.fixture
async def attempt(world: LedgerWorld) -> Attempt:
    """A call that was sent."""
    await world.open_campaign(contacts=3, agents=3)
    return await world.place_one()


def events(*said: tuple[str, dict[str, Any]]) -> Ending:
    async def end(world: LedgerWorld, attempt: Attempt) -> None:
        for kind, data in said:
            await world.event(kind, attempt, call_id="c", **data)

    return end


def reply(verdict: str) -> Ending:
    async def end(world: LedgerWorld, attempt: Attempt) -> None:
        await world.settle(attempt, verdict)

    return end


async def other_call_begins(world: LedgerWorld) -> None:
    """One of another campaign, in another queue."""
    other = LedgerWorld(world.services, "support")
    await other.open_campaign("2", first=50, agents=5)
    await other.event("call_answered", await other.place_one("2"), call_id="other")


async def pass_deadline(world: LedgerWorld, attempt: Attempt) -> None:
    await world.pass_deadlines(attempt.contact)
    await other_call_begins(world)
    await world.sweep()


async def talk_too_long(world: LedgerWorld, attempt: Attempt) -> None:
    await world.event("call_answered", attempt, call_id="c")
    await other_call_begins(world)
    await world.client.zadd(world.keys.connected("1"), {attempt.contact: 1})
    await world.sweep()


async def miss_in_the_list(world: LedgerWorld, attempt: Attempt) -> None:
    await world.settle(attempt, "placed")
    await world.send_earlier(attempt.contact, 10)
    await world.list_calls()


async def miss_in_the_list_after_the_answer(world: LedgerWorld, attempt: Attempt) -> None:
    await world.event("call_answered", attempt, call_id="c")
    await world.send_earlier(attempt.contact, 20)
    await world.age_signs(attempt.contact, 10)
    await world.list_calls()


async def be_lost_with_the_servers_data(world: LedgerWorld, attempt: Attempt) -> None:
    """Its events may be lost, too: it is orphaned, and ends after the longest conversation."""
    other = await world.place_one()
    await world.client.hset(world.keys.server, "run", "another")
    await world.claim(level=0)
    await world.client.hset(world.keys.server, "hold_until", "0")
    await world.event("call_answered", other, call_id="other")
    await world.age(46)
    await world.sweep()
    assert await world.state_of(attempt.contact) == "orphaned"
    await world.age(7201)
    await world.sweep()


WAYS_TO_END: Final[dict[str, tuple[Ending, str]]] = {
    "completed": (events(("call_answered", {}), ("call_completed", {})), "completed"),
    "completed alone": (events(("call_completed", {})), "completed"),
    "completed as callback": (events(("call_completed", {"disposition": "callback"})), "callback"),
    "completed as do_not_call": (events(("call_completed", {"disposition": "do_not_call"})), "do_not_call"),
    "no answer": (events(("call_failed", {"disposition": "no_answer"})), "no_answer"),
    "busy": (events(("call_ringing", {}), ("call_failed", {"cause": "17"})), "busy"),
    "congestion": (events(("call_failed", {"cause": "34"})), "failed"),
    "taken back": (events(("call_failed", {"disposition": "cancelled"})), "no_answer"),
    "invalid": (events(("call_failed", {"disposition": "invalid"})), "invalid"),
    "abandoned": (events(("call_answered", {}), ("call_abandoned", {})), "abandoned"),
    "machine": (
        events(("call_answered", {"answered_by": "machine"}), ("call_completed", {"disposition": "machine"})),
        "machine",
    ),
    "never placed": (reply("never"), "invalid"),
    "deadline": (pass_deadline, "failed"),
    "longest conversation": (talk_too_long, "completed"),
    "no source lists it": (miss_in_the_list, "failed"),
    "no source lists it any more": (miss_in_the_list_after_the_answer, "completed"),
    "lost with data": (be_lost_with_the_servers_data, "failed"),
}


CANNOT_BE_REPEATED: Final = frozenset(
    {"deadline", "longest conversation", "no source lists it any more", "lost with data"}
)


@pytest.mark.parametrize("way", WAYS_TO_END)
async def test_every_way_to_end_writes_one_outcome_however_often_it_is_said(
    world: LedgerWorld, attempt: Attempt, way: str
) -> None:
    end, disposition = WAYS_TO_END[way]
    assert await outcomes(world) == []
    await end(world, attempt)
    (outcome,) = await outcomes(world)
    assert (outcome["attempt_id"], outcome["disposition"]) == (attempt.id, disposition)
    assert (outcome["campaign_id"], outcome["contact_id"]) == (1, int(attempt.contact))
    assert (outcome["phone_number"], outcome["attempt"]) == (f"+15550{attempt.contact}", 1)
    assert outcome["final"] == (await world.state_of(attempt.contact) == "final")
    assert (outcome["next_at"] is None) == outcome["final"]
    if way not in CANNOT_BE_REPEATED:
        await end(world, attempt)
    await world.settle(attempt, "placed")
    await world.sweep()
    assert await outcomes(world) == [outcome]
    await world.check_invariants()


@pytest.mark.parametrize("reason", ["not_placed", "unknown", "placed"])
async def test_a_call_that_was_not_placed_or_may_be_up_has_no_outcome(
    world: LedgerWorld, attempt: Attempt, reason: str
) -> None:
    await world.settle(attempt, reason)
    await world.event("call_ringing", await world.place_one(), call_id="other")
    assert await outcomes(world) == []


async def test_it_says_all_that_is_known_of_the_call(world: LedgerWorld, attempt: Attempt) -> None:
    await world.event("call_answered", attempt, call_id="c7", agent_id="2")
    await world.event("call_completed", attempt, call_id="c7", agent_id="3", duration=12.5)
    (outcome,) = await outcomes(world)
    assert (outcome["call_id"], outcome["agent_id"], outcome["duration"]) == ("c7", "2", 12.5)
    assert (outcome["cause"], outcome["next_at"], outcome["final"]) == (None, None, True)
    newest = (await world.record(attempt.contact))["h"][-1]
    times = [outcome[name] for name in ("sent_at", "answered_at", "ended_at")]
    ended_ms = int(newest["ee"].split("-")[0])
    assert times == [iso(ms) for ms in (newest["sm"], newest["am"], ended_ms)]


def iso(ms: float) -> str:
    at = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    return at.replace("+00:00", "Z")


async def test_it_says_why_it_failed_and_when_the_next_call_is_due(
    world: LedgerWorld, attempt: Attempt
) -> None:
    await world.event("call_failed", attempt, cause="17")
    (outcome,) = await outcomes(world)
    assert (outcome["disposition"], outcome["cause"], outcome["call_id"]) == ("busy", "q850:17", None)
    due_ms = await world.client.zscore(world.keys.deferred("1"), attempt.contact)
    assert due_ms is not None
    assert (outcome["next_at"], outcome["final"]) == (iso(due_ms), False)


@pytest.mark.parametrize(
    ("contact", "data", "campaign_id", "contact_id"),
    [
        ("5", {"id": 5}, 1, 5),
        ("5", {"id": "5"}, 1, "5"),
        ("5", {"id": 5, "campaign_id": "1"}, "1", 5),
        ("a/ü", {"id": "a/ü"}, 1, "a/ü"),
        ("9007199254740993", {"id": 9007199254740993}, 1, 9007199254740993),
    ],
)
async def test_ids_have_the_type_that_the_backend_gives_them(
    world: LedgerWorld, contact: str, data: dict[str, Any], campaign_id: object, contact_id: object
) -> None:
    await world.open_campaign(contacts=0, agents=1)
    call = msgspec.json.encode({**data, "phone_number": "+15550"}).decode()
    await world.services.campaigns.load("1", [LoadRow(contact, 5, 0, call)], 3)
    await world.event("call_completed", await world.place_one())
    (outcome,) = await outcomes(world)
    assert (outcome["campaign_id"], outcome["contact_id"]) == (campaign_id, contact_id)
    assert (type(outcome["campaign_id"]), type(outcome["contact_id"])) == (
        type(campaign_id),
        type(contact_id),
    )


async def test_of_several_numbers_it_names_the_one_that_was_called(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0, agents=1)
    numbers = ["+573001234567", "+573007654321"]
    call = msgspec.json.encode({"id": 1, "phone_number": numbers[0], "phones": numbers, "n": numbers})
    await world.services.campaigns.load("1", [LoadRow("1", 5, 0, call.decode())], 3)
    for _ in range(2):
        await world.event("call_failed", await world.place_one(), disposition="no_answer")
        await world.age(400)
        await world.sweep()
        await world.services.outbox.acknowledge("1", "1", "w", (await world.lease_update("1", "w")).version)
    assert [each["phone_number"] for each in await outcomes(world)] == numbers
    assert [each["attempt"] for each in await outcomes(world)] == [1, 2]


async def test_late_news_corrects_the_outcome(world: LedgerWorld, attempt: Attempt) -> None:
    await pass_deadline(world, attempt)
    await world.event("call_answered", attempt, call_id="c")
    assert await dispositions(world) == ["failed"], "the call goes on after all"
    await world.event("call_completed", attempt, call_id="c")
    first, second = await outcomes(world)
    assert (first["disposition"], second["disposition"]) == ("failed", "completed")
    assert first["attempt_id"] == second["attempt_id"] == attempt.id
    assert (first["final"], second["final"]) == (False, True)
    await world.check_invariants()


async def test_a_call_that_goes_on_after_all_has_another_outcome_of_the_same_kind(
    world: LedgerWorld, attempt: Attempt
) -> None:
    await miss_in_the_list_after_the_answer(world, attempt)
    await world.event("call_answered", attempt, call_id="c")
    assert await world.state_of(attempt.contact) == "connected"
    await world.event("call_completed", attempt, call_id="c")
    first, second = await outcomes(world)
    assert first["disposition"] == second["disposition"] == "completed"
    assert first["ended_at"] <= second["ended_at"]


@pytest.mark.parametrize(
    ("kind", "data", "changed"),
    [
        ("call_answered", {"agent_id": "2"}, {"agent_id", "answered_at", "duration"}),
        ("call_completed", {"duration": 42}, {"duration"}),
        ("call_completed", {"agent_id": "9"}, {"agent_id"}),
        ("call_completed", {"disposition": "do_not_call"}, {"disposition"}),
        ("call_completed", {"call_id": "another leg"}, set()),
        ("call_ringing", {}, set()),
    ],
)
async def test_news_of_an_ended_call_is_a_correction_only_when_it_changes_the_outcome(
    world: LedgerWorld, attempt: Attempt, kind: str, data: dict[str, Any], changed: set[str]
) -> None:
    early, first, later = [await world.write_entry() for _ in range(3)]
    await world.event("call_completed", attempt, call_id="c", entry=first)
    late = early if kind == "call_answered" else later
    for _ in range(2):
        await world.event(kind, attempt, entry=late, **{"call_id": "c", **data})
    before, *corrections = await outcomes(world)
    assert len(corrections) == bool(changed)
    assert {name for each in corrections for name in FIELDS if each[name] != before[name]} == changed


async def test_a_correction_of_an_older_attempt_says_nothing_of_the_next_call(
    world: LedgerWorld, attempt: Attempt
) -> None:
    await world.event("call_failed", attempt, call_id="c", disposition="no_answer")
    await world.age(400)
    await world.sweep()
    update = await world.lease_update(attempt.contact, "w")
    await world.services.outbox.acknowledge("1", attempt.contact, "w", update.version)
    following = {each.contact: each for each in [await world.place_one() for _ in range(3)]}
    await world.event("call_completed", following[attempt.contact], call_id="next")
    await world.event("call_failed", attempt, call_id="c", disposition="busy")
    _, newest, correction = await outcomes(world)
    assert newest["final"]
    assert (correction["attempt_id"], correction["disposition"]) == (attempt.id, "busy")
    assert (correction["next_at"], correction["final"]) == (None, False)


@pytest.fixture
async def small(redis: Redis, settings: Settings) -> AsyncIterator[LedgerWorld]:
    """A ledger that keeps twenty outcomes."""
    async with open_services(msgspec.structs.replace(settings, outcomes_maxlen=20)) as services:
        yield LedgerWorld(services)


async def test_a_reader_that_is_away_lets_nothing_grow_and_reads_on_from_what_is_kept(
    small: LedgerWorld,
) -> None:
    client, stream = small.client, small.keys.outcomes
    await client.xgroup_create(stream, "slow", id="0", mkstream=True)
    await small.open_campaign(contacts=100, agents=100)
    await small.claim()
    for attempt in await small.reserved_calls():
        await small.mark_sent(attempt)
        await small.event("call_completed", attempt)
    assert 20 <= await client.xlen(stream) <= 40, "Redis removes whole blocks of entries"
    read: Any = await client.xreadgroup("slow", "one", {stream: ">"}, count=1000)
    newest = msgspec.json.decode(read[0][1][-1][1]["data"])
    assert (len(read[0][1]), newest["attempt_id"]) == (await client.xlen(stream), attempt.id)


async def test_a_stream_that_takes_no_entry_costs_no_end_of_a_call(
    world: LedgerWorld, attempt: Attempt
) -> None:
    await world.client.xadd(world.keys.outcomes, {"type": "x"}, id=f"{2**64 - 1}-{2**64 - 1}")
    assert await world.event("call_completed", attempt) == "ended"
    assert await dispositions(world) == ["completed"]
