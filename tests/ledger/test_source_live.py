"""An event source lists all calls that are up: the others are over."""

from __future__ import annotations

import json

import pytest

from streamdialer.broker.entries import BadEntry, Entry
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.event_entry import read_event
from streamdialer.consumers.events import EventsStage
from streamdialer.model import Attempt
from tests.support.ledger_fixture import LedgerWorld


async def calls_sent_earlier(
    world: LedgerWorld, number: int, seconds: float = 10, *, replied: bool = True
) -> list[Attempt]:
    await world.open_campaign(contacts=number + 2)
    await world.set_agents(number + 2)
    attempts = [await world.place_one() for _ in range(number)]
    for attempt in attempts:
        if replied:
            await world.settle(attempt, "placed")
        await world.send_earlier(attempt.contact, seconds)
    return attempts


async def id_of(world: LedgerWorld, attempt: Attempt) -> str:
    return str((await world.record(attempt.contact))["h"][-1]["id"])


async def states(world: LedgerWorld, attempts: list[Attempt]) -> list[str]:
    return [await world.state_of(attempt.contact) for attempt in attempts]


async def test_what_is_not_listed_has_ended_by_what_is_known_of_it(world: LedgerWorld) -> None:
    attempts = await calls_sent_earlier(world, 3)
    talked, is_up = attempts[1:]
    await world.event("call_answered", talked, call_id="t")
    await world.age_signs(talked.contact, 10)
    assert await world.list_calls(await id_of(world, is_up)) == ""
    assert await states(world, attempts) == ["deferred", "final", "dialing"]
    docs = [await world.backend_status(each.contact) for each in attempts]
    assert docs == ["failed", "completed", "dialing"]
    await world.check_invariants()


async def test_it_ends_no_call_events_and_dialing_goes_on(world: LedgerWorld) -> None:
    attempts = await calls_sent_earlier(world, 2)
    client = world.client
    await client.zadd("sd:c:1:dialing", {each.contact: 1 for each in attempts})
    assert (await world.claim()).reason == "no_call_events"
    await world.list_calls(await id_of(world, attempts[0]))
    assert await states(world, attempts) == ["dialing", "deferred"]
    claimed = await world.claim()
    assert (claimed.reason, claimed.dialed > 0) == (None, True)
    assert (await world.sweep()).no_event == 0, "what is listed gets another deadline"


async def test_calls_sent_just_before_the_list_may_be_missing_in_it(world: LedgerWorld) -> None:
    (new,) = await calls_sent_earlier(world, 1, seconds=3)
    await world.list_calls()
    assert await states(world, [new]) == ["dialing"]
    await world.send_earlier(new.contact, 3)
    await world.list_calls()
    assert await states(world, [new]) == ["deferred"]


async def test_a_call_without_events_is_as_new_as_its_reply(world: LedgerWorld) -> None:
    """The Dialer API may hold a request for long before it places the call."""
    late, seen = await calls_sent_earlier(world, 2, replied=False)
    await world.event("call_ringing", seen, attempt_id=seen.id)
    await world.age_signs(seen.contact, 10)
    for attempt in (late, seen):
        await world.settle(attempt, "placed")
    await world.list_calls()
    assert await states(world, [late, seen]) == ["dialing", "deferred"]
    await world.send_earlier(late.contact, 10)
    await world.list_calls()
    assert await states(world, [late]) == ["deferred"]


async def test_a_sign_of_life_after_the_list_counts_whenever_it_is_read(world: LedgerWorld) -> None:
    (late,) = await calls_sent_earlier(world, 1)
    await world.list_calls()
    assert await states(world, [late]) == ["deferred"]
    assert await world.event("call_answered", late, call_id="late") == "applied"
    assert await states(world, [late]) == ["connected"]
    await world.list_calls()
    assert await states(world, [late]) == ["connected"], "it was answered a moment ago"


@pytest.mark.parametrize("listed", ["event", "reply", "other leg"])
async def test_a_call_is_listed_by_any_of_its_ids(world: LedgerWorld, listed: str) -> None:
    (attempt,) = await calls_sent_earlier(world, 1, replied=listed != "reply")
    if listed == "reply":
        settled = world.services.campaigns.settle_originate
        await settled(attempt, verdict="placed", call_id="reply", hold="", retry_after_s=0)
        await world.send_earlier(attempt.contact, 10)
    else:
        await world.event("call_ringing", attempt, call_id="event")
        await world.event("call_ringing", attempt, call_id="other leg")
        await world.age_signs(attempt.contact, 10)
    await world.list_calls(listed)
    assert await states(world, [attempt]) == ["dialing"]
    await world.list_calls("1:9:1")
    assert await states(world, [attempt]) == ["deferred"]


async def test_a_call_without_a_call_id_stays_while_a_listed_call_may_be_it(world: LedgerWorld) -> None:
    attempts = await calls_sent_earlier(world, 3)
    named, nameless, gone = attempts
    await world.event("call_ringing", named, call_id="named")
    await world.event("call_ringing", gone, call_id="gone")
    for each in (named, gone):
        await world.age_signs(each.contact, 10)
    await world.list_calls("named", "whose?")
    assert await states(world, attempts) == ["dialing", "dialing", "deferred"]
    await world.open_campaign("2", contacts=0)
    await world.list_calls("named", "2:77:1")
    assert await states(world, attempts) == ["dialing", "deferred", "deferred"], (
        "an attempt's id names itself"
    )
    assert nameless.contact not in await world.client.zrange("sd:c:1:dialing", 0, -1)


@pytest.mark.parametrize(("lists_it", "other"), ["ab", "ba"])
async def test_of_several_sources_none_may_list_it(world: LedgerWorld, lists_it: str, other: str) -> None:
    (attempt,) = await calls_sent_earlier(world, 1, seconds=20)
    await world.list_calls(await id_of(world, attempt), source=lists_it)
    await world.list_calls(source=other)
    assert await states(world, [attempt]) == ["dialing"], "one of them lists it"
    await world.list_calls(source=lists_it)
    assert await states(world, [attempt]) == ["deferred"]


async def test_a_list_is_evidence_also_where_it_ends_nothing(world: LedgerWorld) -> None:
    (attempt,) = await calls_sent_earlier(world, 1)
    await world.pass_deadlines(attempt.contact)
    await world.list_calls("whose?")
    assert await states(world, [attempt]) == ["dialing"]
    assert (await world.claim()).reason is None


async def test_a_source_that_has_written_no_list_since_the_call_was_sent_may_have_it(
    world: LedgerWorld,
) -> None:
    (attempt,) = await calls_sent_earlier(world, 1, seconds=20)
    await world.list_calls(await id_of(world, attempt), source="away")
    seconds, _ = await world.client.time()
    written_ms = (seconds - 30) * 1000
    await world.client.hset("sd:sources", "away", f"{written_ms} {written_ms}-0 0")
    await world.client.delete("sd:source_calls:away")
    await world.list_calls(source="b")
    assert await states(world, [attempt]) == ["dialing"]
    gone_ms = (seconds - 8000) * 1000
    await world.client.hset("sd:sources", "away", f"{gone_ms} {gone_ms}-0 0")
    await world.list_calls(source="b")
    assert await states(world, [attempt]) == ["deferred"], "no call of it can be up any more"


async def test_an_older_list_that_is_read_late_changes_nothing(world: LedgerWorld) -> None:
    (attempt,) = await calls_sent_earlier(world, 1)
    older = await world.write_entry()
    await world.list_calls(await id_of(world, attempt))
    await world.list_calls(entry=older)
    assert await states(world, [attempt]) == ["dialing"]


async def test_nothing_is_concluded_while_lost_calls_are_waited_for(world: LedgerWorld) -> None:
    (attempt,) = await calls_sent_earlier(world, 1)
    await world.client.hset("sd:server", "run", "another")
    await world.list_calls()
    assert await states(world, [attempt]) == ["dialing"]


async def test_sources_are_bounded_in_number(world: LedgerWorld) -> None:
    for number in range(100):
        assert await world.list_calls(source=f"s{number}") == ""
    assert await world.list_calls(source="one more") == "too_many_sources"
    assert await world.list_calls(source="s1") == ""


async def test_many_calls_end_in_batches(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=450)
    await world.set_agents(450)
    await world.claim(level=450, max_concurrent=450)
    attempts = await world.reserved_calls()
    for attempt in attempts:
        assert await world.mark_sent(attempt) == "ok"
        await world.settle(attempt, "placed")
        await world.send_earlier(attempt.contact, 10)
    up = [await id_of(world, each) for each in attempts[:220]]
    await world.list_calls(*up)
    assert (await world.count("1", "dialing"), await world.count("1", "deferred")) == (220, 230)
    await world.check_invariants()


@pytest.mark.parametrize("verdict", ["", "unknown"])
async def test_a_call_whose_reply_is_open_or_unclear_may_begin_until_its_deadline(
    world: LedgerWorld, verdict: str
) -> None:
    (attempt,) = await calls_sent_earlier(world, 1, seconds=40, replied=False)
    if verdict:
        await world.settle(attempt, verdict)
    await world.list_calls()
    assert await states(world, [attempt]) == ["dialing"], "a serial Dialer API has not got to it"
    await world.send_earlier(attempt.contact, 6)
    await world.list_calls()
    assert await states(world, [attempt]) == ["deferred"]


async def test_an_unclear_call_that_has_rung_ends_when_it_is_not_listed(world: LedgerWorld) -> None:
    (attempt,) = await calls_sent_earlier(world, 1, seconds=20, replied=False)
    await world.settle(attempt, "unknown")
    await world.event("call_ringing", attempt, call_id="r")
    await world.age_signs(attempt.contact, 10)
    await world.list_calls()
    assert await states(world, [attempt]) == ["deferred"]


async def test_a_list_in_parts_ends_nothing_until_all_have_come(world: LedgerWorld) -> None:
    attempts = await calls_sent_earlier(world, 3)
    ids = [await id_of(world, each) for each in attempts]
    stage = EventsStage(world.services, WakeupScheduler(world.services))

    async def write(part: int, *calls: str) -> None:
        data = {"source": "pbx", "since": "2026-01-01T00:00:00Z", "calls": calls}
        parts = {"list_id": "l", "part": part, "parts": 3}
        fields = {"type": "source_live", "data": json.dumps({**data, **parts})}
        await stage.handle(Entry(await world.write_entry(), fields))

    await write(3, ids[0])
    await write(3, ids[0])
    await write(1)
    assert await states(world, attempts) == ["dialing"] * 3
    await write(2, ids[1])
    assert await states(world, attempts) == ["dialing", "dialing", "deferred"]
    assert await world.client.smembers("sd:source_calls:pbx") == {*ids[:2], "1:1:", "1:2:"}


@pytest.mark.parametrize(
    "parts", [{"parts": 2}, {"list_id": "l", "part": 3, "parts": 2}, {"list_id": "l", "part": 0, "parts": 2}]
)
async def test_a_part_says_of_which_list_it_is(world: LedgerWorld, parts: dict[str, object]) -> None:
    data = {"source": "pbx", "since": "2026-01-01T00:00:00Z", "calls": [], **parts}
    with pytest.raises(BadEntry):
        read_event(Entry("1-0", {"type": "source_live", "data": json.dumps(data)}))
