"""Callbacks: a contact asked for a call at a time, perhaps by one agent or on another number."""

from __future__ import annotations

from itertools import permutations

import pytest

from streamdialer.broker.entries import BadEntry, Entry
from streamdialer.consumers.dialing.contact_rows import load_row
from streamdialer.consumers.event_entry import instant_ms, read_event
from streamdialer.ledger.recovery import InFlightRow
from streamdialer.model import Attempt, CallbackEvent, Contact
from tests.support.callbacks import AGENT_WINDOW_S, HOUR_S, ask, newest_call, pass_by
from tests.support.ledger_fixture import LedgerWorld
from tests.support.ledger_invariants import check_ledger


async def test_a_callback_waits_for_its_instant_and_then_goes_before_priority_ten(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2, priority=10, agents=5)
    assert await ask(world, "2", HOUR_S) == "applied"
    assert await world.state_of("2") == "deferred"
    assert (await world.record("2"))["w"]["y"] == "callback"
    assert await world.backend_status("2") == "callback"
    assert (await world.sweep()).promoted == 0
    await pass_by(world, "2")
    assert await world.backend_status("2") == "pending"
    await world.claim(level=1)
    assert (await newest_call(world))["contact"] == "2"
    await world.check_invariants()


async def test_a_callback_is_had_once_and_then_the_retry_rule_applies(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    await ask(world, "1", -1)
    await world.sweep()
    attempt = await world.place_one()
    await world.event("call_failed", attempt, disposition="busy")
    assert (await world.record("1"))["w"]["y"] == "retry"
    await world.age(301)
    await world.sweep()
    attempt = await world.place_one()
    await world.event("call_completed", attempt)
    assert await world.state_of("1") == "final"
    await world.check_invariants()


async def test_a_callback_that_was_not_placed_is_still_owed(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2, agents=1)
    await ask(world, "2", -1)
    await world.sweep()
    attempt = await world.place_one()
    assert attempt.contact == "2"
    await world.settle(attempt, "not_placed", "campaign", 0)
    await world.client.hdel("sd:api", "c:1")  # its pause
    assert (await world.place_one()).contact == "2"


@pytest.mark.parametrize("order", list(permutations(["asked", "answered", "ended"])))
async def test_a_callback_asked_for_during_a_call_follows_it_in_whatever_order_the_news_comes(
    world: LedgerWorld, order: tuple[str, ...]
) -> None:
    await world.open_campaign(contacts=1, agents=1)
    attempt = await world.place_one()
    entries = {name: await world.write_entry() for name in ("answered", "asked", "ended")}
    for name in [*order, *order]:
        if name == "asked":
            await ask(world, "1", HOUR_S, entry=entries[name])
        elif name == "answered":
            await world.event("call_answered", attempt, entry=entries[name])
        else:
            await world.event("call_completed", attempt, entry=entries[name], disposition="callback")
    assert await world.state_of("1") == "deferred"
    assert await world.backend_status("1") == "callback"
    assert (await world.record("1"))["a"] == 1
    await world.check_invariants()


async def test_the_request_written_last_counts(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1)
    earlier, later = await world.write_entry(), await world.write_entry()
    assert await ask(world, "1", 2 * HOUR_S, entry=later) == "applied"
    due = await world.client.zscore("sd:c:1:deferred", "1")
    assert await ask(world, "1", HOUR_S, entry=earlier) == "unchanged"
    assert await ask(world, "1", HOUR_S, entry=later) == "unchanged"
    assert await world.client.zscore("sd:c:1:deferred", "1") == due


async def test_a_reserved_call_is_taken_back_for_a_callback_and_is_not_sent(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    attempt = await world.reserve()
    await ask(world, "1", HOUR_S)
    assert await world.state_of("1") == "deferred"
    assert await world.mark_sent(attempt) == "stale"
    await world.check_invariants()


async def test_a_callback_brings_a_final_contact_back_after_its_last_attempt(world: LedgerWorld) -> None:
    world.max_attempts = 1
    await world.open_campaign(contacts=1, agents=1)
    await world.event("call_completed", await world.place_one())
    assert await world.state_of("1") == "final"
    assert await ask(world, "1", -1) == "applied"
    await world.sweep()
    attempt = await world.place_one()
    assert attempt.id.startswith("1:1:2:")
    await world.event("call_failed", attempt, disposition="no_answer")
    assert await world.state_of("1") == "final", "one attempt per request, not more"
    await check_ledger(world.client, world.keys, ["1"])


@pytest.mark.parametrize("disposition", ["invalid", "do_not_call"])
@pytest.mark.parametrize("is_asked_first", [True, False])
async def test_a_contact_on_the_do_not_call_list_is_not_called_back(
    world: LedgerWorld, disposition: str, is_asked_first: bool
) -> None:
    await world.open_campaign(contacts=1, agents=1)
    attempt = await world.place_one()
    if is_asked_first:
        assert await ask(world, "1", HOUR_S) == "applied"
    await world.event("call_completed", attempt, disposition=disposition)
    if not is_asked_first:
        entry = await world.write_entry()
        assert await ask(world, "1", HOUR_S, entry=entry) == "final"
        assert await ask(world, "1", HOUR_S, entry=entry) == "final", "the same request has the same answer"
    assert await world.state_of("1") == "final"
    assert await world.backend_status("1") == disposition


async def test_a_callback_is_kept_for_its_agent_until_the_grace_is_over(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2, agents=2)
    await ask(world, "2", -1, agent="9")
    await world.sweep()
    claimed = await world.claim(level=2)
    assert (claimed.dialed, claimed.skipped) == (1, {"agent_not_free": 1})
    call = await newest_call(world)
    assert (call["contact"], call.get("agent")) == ("1", None)
    await world.agent_comes_free("9")
    assert (await world.claim(level=2)).dialed == 1
    call = await newest_call(world)
    assert (call["contact"], call["agent"]) == ("2", "9")
    await world.check_invariants()


async def test_after_the_grace_anyone_may_have_it(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=2)
    await ask(world, "1", -AGENT_WINDOW_S - 1, agent="9")
    await world.sweep()
    assert (await world.claim(level=1)).dialed == 1
    assert "agent" not in await newest_call(world)


async def test_an_agent_gets_one_callback_at_a_time(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2, agents=2)
    await ask(world, "1", -1, agent="2")
    await ask(world, "2", -1, agent="2")
    await world.sweep()
    assert (await world.claim(level=2)).dialed == 1
    assert (await world.claim(level=2)).dialed == 0


async def test_requests_that_make_no_sense_are_refused(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1)
    assert await ask(world, "1", -25 * HOUR_S) == "past"
    assert await ask(world, "1", 3650 * 24 * HOUR_S) == "distant"
    assert await ask(world, "77", HOUR_S) == "unknown_contact"
    assert await world.services.callbacks.schedule("7", "1", 0, entry="1-0") == "unknown_campaign"
    assert await world.state_of("1") == "ready"


@pytest.mark.parametrize("at", ["tomorrow", "2030-01-31T15:00:00", "2030-13-31T15:00:00Z", "9e99", ""])
def test_an_unreadable_instant_is_refused_in_a_sentence(at: str) -> None:
    fields = {"type": "callback_requested", "campaign_id": "1", "contact_id": "1", "at": at}
    with pytest.raises(BadEntry, match=r"at is .*(ISO 8601|offset)"):
        read_event(Entry("1-0", fields))


def test_an_offset_counts() -> None:
    at = [
        instant_ms(CallbackEvent(type="callback_requested", campaign_id="1", contact_id="1", at=text))
        for text in ("2030-01-31T15:00:00-05:00", "2030-01-31T20:00:00Z")
    ]
    assert at == [1_896_120_000_000] * 2


async def test_callbacks_survive_a_server_that_was_started_anew(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2)
    await ask(world, "1", HOUR_S)
    await ask(world, "2", -1)
    await world.sweep()
    await world.client.hset("sd:server", mapping={"run": "another", "hold_until": "0"})
    await world.client.delete("sd:c:1:outbox")
    await world.claim()
    await world.services.memory.drop_reloadable("1")
    assert (await world.state_of("1"), await world.state_of("2")) == ("deferred", "ready")


async def test_a_call_that_redis_forgot_may_have_been_the_callback(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1)
    await ask(world, "1", -1)
    await world.sweep()
    client, memory = world.client, world.services.memory
    await client.delete("sd:c:1:outbox")
    await client.hset("sd:server", mapping={"run": "another", "hold_until": "0"})
    await world.claim()
    doubted = InFlightRow(world.row("1", attempts=1), False, None)
    assert await memory.hold_in_flight("1", [doubted], world.retry) == 1
    attempt = Attempt("1:1:1:m", "1", "1", "")
    assert await world.event("call_completed", attempt) == "ended"
    assert await world.state_of("1") == "final", "the contact is not called back twice"


async def test_a_callback_that_was_had_long_ago_is_not_owed_again(world: LedgerWorld) -> None:
    world.max_attempts = 20
    await world.open_campaign(contacts=1, agents=1)
    await ask(world, "1", -1)
    for _ in range(9):  # one more than a record remembers
        await world.age(301)
        await world.sweep()
        await world.event("call_failed", await world.place_one(), disposition="busy")
    assert (await world.record("1"))["w"]["y"] == "retry"
    await world.check_invariants()


async def test_a_callback_that_is_looked_at_too_early_waits_on(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1)
    await ask(world, "1", HOUR_S)
    await world.client.zadd("sd:c:1:deferred", {"1": 1})
    await world.sweep()
    assert await world.state_of("1") == "deferred"
    assert await world.backend_status("1") == "callback"
    await world.check_invariants()


async def test_a_window_that_closes_puts_a_callback_off_like_any_call(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    await ask(world, "1", -1)
    await world.sweep()
    attempt = await world.reserve()
    assert (await world.services.campaigns.mark_sent(attempt, "run", "1")).status == "window_closed"
    assert await world.state_of("1") == "ready"
    assert (await world.claim(open_until_ms=1)).reason == "window_closed"


async def test_a_number_that_does_not_exist_is_the_callbacks_and_not_the_contacts(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    await ask(world, "1", -1, number="+15559")
    attempt = await world.place_one()
    assert (await newest_call(world))["phone_number"] == "+15559"
    await world.settle(attempt, "never")
    assert await world.backend_status("1") == "failed"
    await world.age(301)
    await world.sweep()
    attempt = await world.place_one()
    assert "phone_number" not in await newest_call(world), "its own is called"
    await world.settle(attempt, "never")
    assert await world.backend_status("1") == "invalid"
    await world.check_invariants()


async def test_a_callback_is_refused_after_do_not_call_only(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0)
    refused = load_row(Contact(id=1, phone_number="+15550001", do_not_call=True))
    await world.services.campaigns.load("1", [refused, world.row("2", attempts=3)], 3)
    assert await ask(world, "1", HOUR_S) == "final"
    assert await ask(world, "2", HOUR_S) == "applied"
    assert [await world.state_of(contact) for contact in "12"] == ["final", "deferred"]
    await world.check_invariants()
