"""A program that writes only ends: its silence about a call does not say that the call is over."""

from __future__ import annotations

from tests.support.ledger_fixture import LedgerWorld


async def test_ends_of_other_calls_end_no_silent_call(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=4)
    await world.set_agents(4)
    silent, other, third = [await world.place_one() for _ in range(3)]
    await world.event("call_completed", other)
    await world.pass_deadlines(silent.contact)
    swept = await world.sweep()
    assert (swept.no_event, swept.only_ends) == (0, 1)
    assert await world.state_of(silent.contact) == "dialing"
    claimed = await world.claim()
    assert (claimed.reason, claimed.only_ends) == (None, 1), "the campaign goes on, and says so"
    await world.event("call_ringing", third)
    assert (await world.sweep()).no_event == 1
    await world.check_invariants()


async def test_its_own_end_or_the_longest_conversation_ends_it(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=3)
    await world.set_agents(3)
    talks, never_ends, other = [await world.place_one() for _ in range(3)]
    await world.event("call_completed", other)
    await world.pass_deadlines(talks.contact, never_ends.contact)
    await world.sweep()
    assert await world.event("call_completed", talks, duration=600) == "ended"
    assert await world.state_of(talks.contact) == "final"
    await world.send_earlier(never_ends.contact, world.services.settings.max_call_duration_s)
    assert (await world.sweep()).no_event == 1
    assert await world.state_of(never_ends.contact) == "deferred"


async def test_no_event_at_all_is_still_no_evidence(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2)
    await world.set_agents(2)
    silent = await world.place_one()
    await world.pass_deadlines(silent.contact)
    swept = await world.sweep()
    assert (swept.stalled, swept.only_ends) == (1, 0)
    assert (await world.claim()).reason == "no_call_events"
