"""Events that carry the call id of another leg of the call, or the attempt's own id."""

from __future__ import annotations

import itertools

import pytest

from streamdialer.model import Attempt
from tests.support.ledger_fixture import LedgerWorld


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
async def test_events_of_both_legs_are_of_the_one_call_in_any_order(
    world: LedgerWorld, order: tuple[int, ...]
) -> None:
    await world.open_campaign(contacts=1)
    await world.set_agents(1)
    attempt = await world.place_one()
    legs = [("call_ringing", "x.1"), ("call_answered", "x.1"), ("call_completed", "x.2")]
    written = [(kind, call_id, await world.write_entry()) for kind, call_id in legs]
    for position in order:
        kind, call_id, entry = written[position]
        assert await world.event(kind, attempt, call_id=call_id, entry=entry) in ("applied", "ended")
    assert await world.state_of("1") == "final"
    public = await world.public()
    assert (public["answered_calls"], public["total_calls"]) == ("1", "1")
    assert await world.backend_status("1") == "completed"
    await world.check_invariants()


async def test_a_call_id_that_comes_first_after_the_end_is_foreign(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1)
    await world.set_agents(1)
    attempt = await world.place_one()
    await world.event("call_ringing", attempt, call_id="x.1")
    await world.event("call_failed", attempt, call_id="x.2", disposition="busy")
    assert await world.event("call_failed", attempt, call_id="x.2", disposition="busy") == "unchanged"
    assert await world.event("call_answered", attempt, call_id="x.3") == "foreign_call"
    assert await world.state_of("1") == "deferred"


async def test_the_answer_of_another_leg_revives_a_call_that_only_silence_has_ended(
    world: LedgerWorld,
) -> None:
    await world.open_campaign(contacts=2)
    await world.set_agents(2)
    silent, other = await world.place_one(), await world.place_one()
    await world.event("call_ringing", silent, call_id="x.1")
    await world.event("call_ringing", other, call_id="y.1")
    await world.pass_deadlines(silent.contact)
    assert (await world.sweep()).no_event == 1
    assert await world.event("call_answered", silent, call_id="x.2") == "applied"
    assert await world.state_of(silent.contact) == "connected"


async def two_attempts(world: LedgerWorld) -> tuple[Attempt, Attempt]:
    """The first one ended, the second one rings."""
    await world.open_campaign(contacts=1)
    await world.set_agents(1)
    first = await world.place_one()
    await world.event("call_failed", first, call_id="a", disposition="busy")
    await world.age(301)
    await world.sweep()
    second = await world.place_one()
    await world.event("call_ringing", second, call_id="b")
    return first, second


async def test_the_attempt_id_decides(world: LedgerWorld) -> None:
    first, second = await two_attempts(world)
    last = (await world.record("1"))["h"]
    late = await world.event("call_failed", first, attempt_id=last[0]["id"], disposition="no_answer")
    assert late == "applied" or late == "unchanged"
    assert await world.state_of("1") == "dialing"
    assert await world.event("call_answered", second, attempt_id=last[1]["id"], call_id="a") == "applied"
    assert await world.state_of("1") == "connected"
    assert await world.event("call_completed", second, attempt_id="another") == "foreign_attempt"


async def test_without_ids_it_is_the_live_attempt(world: LedgerWorld) -> None:
    _, second = await two_attempts(world)
    assert await world.event("call_completed", second) == "ended"
    assert [each["d"] for each in (await world.record("1"))["h"]] == ["busy", "completed"]
