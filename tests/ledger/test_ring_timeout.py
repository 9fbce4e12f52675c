"""A campaign's own ring time-out: its calls carry it, and their deadline counts from it."""

from __future__ import annotations

from typing import Any

import msgspec

from streamdialer.broker.entries import Entry
from streamdialer.broker.keys import Keys
from streamdialer.consumers.calls import read_call
from streamdialer.consumers.services import Services
from streamdialer.ledger.previews import PreviewLimits
from streamdialer.ledger.recovery import InFlightRow
from streamdialer.model import Attempt
from tests.support.ledger_fixture import LedgerWorld
from tests.support.ledger_reader import move_clock
from tests.support.preview_fixture import PreviewWorld

MARGIN_S = 15
"""The setting's, added to the ring time-out; the setting's own ring time-out is 30 s."""


async def sent(world: LedgerWorld, ring_timeout_s: float | None, campaign: str = "1") -> Attempt:
    """One call that is sent."""
    attempt = await world.reserve(campaign, ring_timeout_s=ring_timeout_s)
    assert await world.mark_sent(attempt) == "ok"
    return attempt


async def seconds_left(world: LedgerWorld, contact: str, campaign: str = "1") -> float:
    """From sending to the deadline."""
    due: Any = await world.client.zscore(world.keys.dialing(campaign), contact)
    sent_ms = (await world.record(contact, campaign))["h"][-1]["sm"]
    return float(due - sent_ms) / 1000


async def test_a_call_carries_its_ring_timeout_and_gets_its_deadline(world: LedgerWorld) -> None:
    await world.open_campaign(agents=5)
    for ring_timeout_s, carried_s in ((90.0, 90.0), (0.25, 0.25), (None, None)):
        attempt = await sent(world, ring_timeout_s)
        entries: Any = await world.client.xrevrange(world.keys.stream("calls"), count=1)
        _, call, _ = read_call(Entry(*entries[0]))
        assert call.ring_timeout_s == carried_s
        assert await seconds_left(world, attempt.contact) == (ring_timeout_s or 30) + MARGIN_S


async def test_a_silent_call_ends_at_the_deadline_of_its_campaign(world: LedgerWorld) -> None:
    await world.open_campaign(agents=5)
    patient, other, *seen = [await sent(world, ring_s) for ring_s in (90.0, None, None, None)]
    await world.let_ring(46, patient, other)
    await world.event("call_ringing", seen[0])
    assert (await world.sweep()).no_event == 1
    assert [await world.state_of(each.contact) for each in (patient, other)] == ["dialing", "deferred"]
    await world.let_ring(60, patient)
    await world.event("call_ringing", seen[1])
    assert (await world.sweep()).no_event == 1
    assert await world.state_of(patient.contact) == "deferred"


async def test_events_of_short_calls_are_kept_for_long_ones(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=9, agents=9)
    first, waiting = await sent(world, 120.0), await sent(world, 120.0)
    for attempt in (first, waiting):
        await world.settle(attempt, "unknown")
    await world.let_ring(60, first, waiting)
    await world.event("call_ringing", first)
    await world.let_ring(100, first, waiting)
    short = await sent(world, 5.0)
    await world.event("call_ringing", short)
    assert (await world.sweep()).no_event == 0, "the one before it began 100 s ago: it may ring yet"
    assert await world.state_of(waiting.contact) == "dialing"


async def test_a_listed_call_gets_another_deadline_of_its_own(world: LedgerWorld) -> None:
    await world.open_campaign(agents=5)
    attempt = await sent(world, 90.0)
    await world.let_ring(80, attempt)
    await world.list_calls(attempt.id)
    due: Any = await world.client.zscore(world.keys.dialing("1"), attempt.contact)
    seconds, _ = await world.client.time()
    assert 100 < due / 1000 - seconds <= 106


async def test_a_probe_is_waited_for_until_its_own_deadline(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=5, agents=5)
    await world.settle(await sent(world, None), "not_placed", "api", 0)
    await world.client.hset(world.keys.api, "until", "1")
    assert (await world.claim(level=5, ring_timeout_s=90.0)).limit == "probe"
    await move_clock(world.client, world.keys, 60)
    assert (await world.claim(level=5)).reason == "dialer_api_down", "the probe may ring for 90 s"
    await move_clock(world.client, world.keys, 60)
    assert (await world.claim(level=5)).reason is None, "another one may try"


async def test_after_a_data_loss_the_longest_ring_timeout_is_waited_for(world: LedgerWorld) -> None:
    for campaign in ("1", "2"):
        await world.open_campaign(campaign, contacts=3, agents=3)
    await world.client.hset(Keys().server, "run", "another")
    waits_s = [
        ((await world.claim(campaign, ring_timeout_s=ring_timeout_s)).wait_ms or 0) / 1000
        for campaign, ring_timeout_s in (("1", None), ("2", 90.0), ("1", None))
    ]
    assert 44 < waits_s[0] <= 45
    assert 104 < waits_s[1] <= 105
    assert 104 < waits_s[2] <= 105, "a lost call of the other campaign may ring at the same person"


async def test_a_lost_call_is_waited_for_as_its_campaign_says(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=3, agents=3)
    await world.client.hset(Keys().server, "run", "another")
    await world.claim()
    memory = world.services.memory
    row = InFlightRow(world.row("2", attempts=1), is_answered=False, last_attempt_ms=None)
    assert await memory.hold_in_flight("1", [row], world.retry, ring_timeout_s=90.0) == 1
    lost = msgspec.structs.replace(world.shown("7", attempts=1, is_in_call=True), ring_timeout_s=60.0)
    unknown = Attempt("1:7:1:m", "1", "7", "")
    assert await world.event("call_ringing", unknown, lost=lost) == "applied"
    deadlines = {contact: (await world.record(contact))["h"][-1]["dd"] for contact in ("2", "7")}
    assert deadlines == {"2": 105_000, "7": 75_000}


async def test_pacing_counts_the_age_of_a_call_from_its_campaigns_deadline(world: LedgerWorld) -> None:
    await world.open_campaign(agents=5)
    pacing = '{"calls_per_agent":1.0,"deadline_ms":105000}'
    assert await world.services.campaigns.register("1", "sales", pacing, previous="sales")
    await sent(world, 90.0)
    await move_clock(world.client, world.keys, 10)
    state = await world.services.queues.snapshot("sales", ["1"], windows_h={}, deadline_ms=45_000)
    assert state is not None
    (placed_ms,) = state.campaigns[0].ringing
    assert 10_000 <= state.ledger_ms - placed_ms < 12_000


async def test_an_accepted_preview_rings_as_long_as_its_campaign_says(services: Services) -> None:
    world = PreviewWorld(services)
    await world.open_campaign(contacts=1)
    preview_limits = PreviewLimits(None, world.retry, 10, ring_timeout_s=90.0, on_machine="message")
    assert await world.says("requested", "1001", preview_limits=preview_limits) == "1"
    assert await world.says("accepted", "1001", preview_limits=preview_limits) == "reserved"
    entries: Any = await world.client.xrange(world.keys.stream("calls"))
    _, call, _ = read_call(Entry(*entries[0]))
    assert call.on_machine == "message"
    assert (call.ring_timeout_s, (await world.record("1"))["h"][-1]["dd"]) == (90.0, 105_000)
