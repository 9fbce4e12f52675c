"""A Dialer API that places calls one after the other: an attempt may wait there for many ringing times."""

from __future__ import annotations

from streamdialer.model import Attempt
from tests.support.ledger_fixture import LedgerWorld

RING_S, SILENT_S = 30, 46
"""The ringing time, and longer than the deadline after sending."""


async def sent(world: LedgerWorld, number: int, *, since_s: float = 0) -> list[Attempt]:
    """So many calls, all sent at about the same time."""
    await world.open_campaign(contacts=number + 2, agents=number + 2)
    attempts = [await world.place_one() for _ in range(number)]
    for attempt in attempts:
        await world.settle(attempt, "unknown")
    await world.let_ring(since_s, *attempts)
    return attempts


async def states(world: LedgerWorld, attempts: list[Attempt]) -> list[str]:
    return [await world.state_of(attempt.contact) for attempt in attempts]


async def test_a_call_that_may_stand_behind_others_is_not_over(world: LedgerWorld) -> None:
    attempts = await sent(world, 3)
    for turn in attempts[:2]:
        await world.event("call_ringing", turn)
        await world.let_ring(RING_S / 2, *attempts)
        await world.event("call_failed", turn, disposition="no_answer")
        await world.let_ring(RING_S / 2, *attempts)
    (last,) = attempts[2:]
    assert (await world.sweep()).no_event == 0
    assert await world.state_of(last.contact) == "dialing"
    await world.event("call_ringing", last)
    await world.let_ring(RING_S / 2, *attempts)
    assert (await world.sweep()).no_event == 0, "its ringing time has begun only now"
    await world.event("call_answered", last)
    assert await states(world, attempts) == ["deferred", "deferred", "connected"]
    await world.check_invariants()


async def test_a_call_that_begins_late_does_not_stop_its_campaign(world: LedgerWorld) -> None:
    (only,) = await sent(world, 1, since_s=40)
    await world.event("call_ringing", only)
    await world.let_ring(10, only)
    assert (await world.claim()).reason is None, "its deadline counts from its ringing"


async def test_it_is_over_when_no_call_before_it_begins_any_more(world: LedgerWorld) -> None:
    attempts = await sent(world, 3)
    await world.event("call_failed", attempts[0], disposition="busy")
    await world.let_ring(SILENT_S, *attempts)
    await world.event("call_ringing", later := await world.place_one())
    assert (await world.sweep()).no_event == 2
    assert await states(world, [*attempts, later]) == ["deferred"] * 3 + ["dialing"]


async def test_calls_that_were_sent_later_do_not_prolong_it(world: LedgerWorld) -> None:
    (silent,) = await sent(world, 1, since_s=20)
    for _ in range(2):
        later = await world.place_one()
        await world.let_ring(15, silent)
        await world.event("call_ringing", later)
    assert (await world.sweep()).no_event == 1


async def test_an_event_source_that_has_just_come_does_not_know_what_waits(world: LedgerWorld) -> None:
    attempts = await sent(world, 3, since_s=600)
    await world.list_calls(since_s=1)
    assert await states(world, attempts) == ["dialing"] * 3
    assert (await world.claim()).reason is None, "dialing goes on"
    assert (await world.sweep()).stalled == 0
    await world.event("call_ringing", attempts[0])
    await world.let_ring(RING_S, *attempts)
    await world.list_calls(since_s=SILENT_S)
    assert await states(world, attempts) == ["deferred", "dialing", "dialing"], (
        "the next one may be about to ring"
    )
    await world.let_ring(SILENT_S, *attempts)
    await world.list_calls(since_s=2 * SILENT_S)
    assert await states(world, attempts) == ["deferred"] * 3


async def delays(world: LedgerWorld, *seconds: float) -> list[Attempt]:
    """Calls that were seen to ring so long after they were sent, one after the other."""
    attempts = []
    for delay_s in seconds:
        attempt = await world.place_one()
        await world.send_earlier(attempt.contact, delay_s)
        await world.event("call_ringing", attempt)
        await world.event("call_failed", attempt, disposition="no_answer")
        attempts.append(attempt)
    return attempts


async def test_a_serial_api_is_told_by_the_delay_of_its_calls(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=60, agents=60)
    await delays(world, 1, 2, 16, 20)
    assert (await world.claim(level=0)).serial_api is None
    await delays(world, 31)
    serial = (await world.claim(level=0)).serial_api
    assert serial is not None
    assert serial.sentence().startswith("3 of the last 5 calls")
    assert serial.sentence().endswith("after 31 s")
    await delays(world, *[1] * 30)
    assert (await world.claim(level=0)).serial_api is None, "it was replaced"


async def test_while_it_is_serial_only_new_events_say_that_events_still_come(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=9, agents=9)
    await delays(world, 20, 20, 20)
    silent, other = await world.place_one(), await world.place_one()
    await world.event("call_ringing", other)
    await world.let_ring(SILENT_S, silent, other)
    swept = await world.sweep()
    assert (swept.no_event, swept.stalled) == (0, 2), "the event source may have stopped"
    await world.event("call_failed", other, disposition="no_answer")
    assert (await world.sweep()).no_event == 1


async def test_the_replies_of_a_serial_api_do_not_say_that_a_call_has_begun(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=9, agents=9)
    await delays(world, 20, 20, 20)
    placed = await world.place_one()
    await world.settle(placed, "placed")
    await world.let_ring(20, placed)
    await world.list_calls()
    assert await world.state_of(placed.contact) == "dialing"


async def test_nor_do_replies_that_are_mostly_unclear(world: LedgerWorld) -> None:
    await sent(world, 3)
    placed = await world.place_one()
    await world.settle(placed, "placed")
    await world.let_ring(20, placed)
    await world.list_calls()
    assert await world.state_of(placed.contact) == "dialing"
