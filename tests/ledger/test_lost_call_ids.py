"""After a data loss, events and lists that name an attempt the ledger has forgotten are of the call it stands for."""

from __future__ import annotations

import msgspec
import pytest

from streamdialer.model import Attempt
from tests.ledger.test_data_loss import lose_data, quiet_is_over, rebuild, shown
from tests.support.ledger_fixture import LedgerWorld

NAMED = "1:70:1:true"
"""The id of the lost attempt."""


async def hold_lost_call(world: LedgerWorld) -> Attempt:
    """Redis was emptied; contact 70 is shown in a call by the backend."""
    await world.client.flushall()
    await world.open_campaign("1", contacts=0, agents=3)
    await quiet_is_over(world)
    assert await rebuild(world, shown("70", 1)) == 1
    await world.client.hset(world.keys.server, "hold_until", "0")
    assert await world.state_of("70") == "orphaned"
    return Attempt("", "1", "70", "")


@pytest.mark.parametrize(
    ("kind", "outcome"), [("call_completed", "ended"), ("call_failed", "ended"), ("call_answered", "applied")]
)
async def test_an_event_that_names_the_lost_attempt_is_of_the_call_that_stands_for_it(
    world: LedgerWorld, kind: str, outcome: str
) -> None:
    lost = await hold_lost_call(world)
    assert await world.event(kind, lost, attempt_id=NAMED, call_id="sd-1") == outcome
    (attempt,) = (await world.record("70"))["h"]
    assert attempt["ai"] == NAMED


async def test_news_of_an_older_attempt_does_not_end_the_call_that_is_up(world: LedgerWorld) -> None:
    await world.client.flushall()
    await world.open_campaign("1", contacts=0, agents=3)
    await quiet_is_over(world)
    assert await rebuild(world, shown("70", 3)) == 1
    late = Attempt("", "1", "70", "")
    assert await world.event("call_failed", late, attempt_id="1:70:2:true") == "foreign_attempt"
    assert await world.state_of("70") == "orphaned"


async def test_a_list_that_names_the_lost_attempt_keeps_its_call_up(world: LedgerWorld) -> None:
    await hold_lost_call(world)
    await world.send_earlier("70", 20)
    await world.list_calls(NAMED)
    assert await world.state_of("70") == "orphaned"
    await world.list_calls("1:7:1:true", "1:700:1:true")
    assert await world.state_of("70") != "orphaned", "no list names it"


async def test_once_the_call_is_named_only_its_name_counts(world: LedgerWorld) -> None:
    lost = await hold_lost_call(world)
    assert await world.event("call_ringing", lost, attempt_id=NAMED) == "applied"
    await world.send_earlier("70", 40)
    await world.age_signs("70", 40)
    await world.list_calls(NAMED)
    assert await world.state_of("70") != "deferred"
    await world.list_calls("1:70:9:another")
    assert await world.state_of("70") == "deferred"


async def test_a_call_remembered_without_its_name_takes_the_name_from_later_news(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2, agents=2)
    await lose_data(world)
    lost = Attempt("", "1", "2", "")
    assert await world.event("call_ringing", lost) == "applied"
    assert await world.event("call_answered", lost, attempt_id="1:2:1:true", call_id="x") == "applied"
    assert await world.event("call_completed", lost, attempt_id="1:2:1:true", call_id="x") == "ended"


async def ended_and_forgotten(world: LedgerWorld) -> Attempt:
    """Its end is at the backend; a restart of Redis has made the ledger read the contact anew."""
    await world.open_campaign(contacts=2, agents=2)
    attempt = await world.place_one()
    ended = await world.event(
        "call_failed", attempt, attempt_id=attempt.id, call_id="c1", disposition="no_answer"
    )
    assert ended == "ended"
    update = await world.lease_update(attempt.contact, "worker")
    await world.services.outbox.acknowledge("1", attempt.contact, "worker", update.version)
    await lose_data(world)
    memory = world.services.memory
    mark = (await memory.state()).rebuild_epoch
    await memory.drop_reloadable("1")
    assert await memory.hold_in_flight("1", [], world.retry) == 0
    now_s, _ = await world.client.time()
    row = LedgerWorld.row(attempt.contact, attempts=1)
    waiting = msgspec.structs.replace(row, shown_status="no_answer", due_ms=(now_s + 200) * 1000)
    await world.services.campaigns.load("1", [waiting], 3)
    assert await memory.mark_rebuilt("1", mark)
    assert await world.state_of(attempt.contact) == "deferred"
    return attempt


async def test_the_repeated_end_of_a_call_that_the_backend_has_counted_changes_nothing(
    world: LedgerWorld,
) -> None:
    attempt = await ended_and_forgotten(world)
    await world.event("call_failed", attempt, attempt_id=attempt.id, call_id="c1", disposition="no_answer")
    record = await world.record(attempt.contact)
    assert (record["p"], record["a"]) == ("deferred", 1)


@pytest.mark.parametrize("kind", ["call_ringing", "call_answered"])
async def test_its_repeated_beginning_counts_no_attempt_more(world: LedgerWorld, kind: str) -> None:
    attempt = await ended_and_forgotten(world)
    assert await world.event(kind, attempt, attempt_id=attempt.id, call_id="c1") == "applied"
    assert (await world.record(attempt.contact))["a"] == 1


@pytest.mark.parametrize("attempt_id", ["9:77:1:m", "1:22:1:m", "1:2:x:m", "m"])
async def test_an_event_that_names_another_contacts_attempt_is_none_of_a_lost_call(
    world: LedgerWorld, attempt_id: str
) -> None:
    await world.open_campaign(contacts=2, agents=2)
    await lose_data(world)
    assert (
        await world.event("call_ringing", Attempt("", "1", "2", ""), attempt_id=attempt_id)
        == "foreign_attempt"
    )
    assert await world.state_of("2") == "ready"


async def test_no_third_call_while_the_first_is_up_after_all(world: LedgerWorld) -> None:
    world.retry_delay_ms = 0
    await world.open_campaign(contacts=2, agents=4)
    silent, other = await world.place_one(), await world.place_one()
    await world.event("call_ringing", other)
    await world.client.zadd(world.keys.dialing("1"), {other.contact: 9e15})
    await world.pass_deadlines(silent.contact)
    await world.sweep()
    await world.age(301)
    await world.sweep()
    await world.claim()
    (again,) = [one for one in await world.reserved_calls() if one.id.startswith(f"1:{silent.contact}:2:")]
    assert await world.mark_sent(again) == "ok"
    await world.event("call_answered", silent, attempt_id=silent.id, call_id="first")
    await world.event("call_failed", again, attempt_id=again.id, call_id="second", disposition="busy")
    await world.age(400)
    await world.sweep()
    await world.claim(level=10)
    assert not [one for one in await world.reserved_calls() if one.id.startswith(f"1:{silent.contact}:3:")]
    await world.event("call_completed", silent, attempt_id=silent.id, call_id="first")
    await world.age(400)
    await world.sweep()
    await world.claim(level=10)
    assert await world.state_of(silent.contact) == "reserved"
