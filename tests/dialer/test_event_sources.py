"""Event sources that say too little, or begin too late: a whole dialer over a simulated call centre."""

from __future__ import annotations

from collections.abc import Iterable

from streamdialer.config.settings import Settings
from streamdialer.ledger.records import decode_contact
from streamdialer.operations.decisions import decisions, explain
from streamdialer.simulation.servers.event_writer import Write
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.config import WorldConfig
from streamdialer.simulation.world.entities import SimEvent
from tests.support.dialer import Dialer, run_dialer
from tests.support.eventually import eventually

BEGINNINGS = {"call_ringing", "call_answered"}


def only_ends(happenings: Iterable[SimEvent], add: Write) -> None:
    add(each for each in happenings if each.type not in BEGINNINGS)


async def test_nobody_is_called_while_on_the_phone_by_a_source_that_writes_only_ends(
    settings: Settings,
) -> None:
    talks = WorldConfig(human=0.5, talk_mean_s=200, talk_cv=0.5)
    world = build_world(agents=6, contacts=12, answer_rate=0.5, speed=100, retry_delay_s=60, config=talks)
    noted = False
    async with run_dialer(
        settings, world, speed=100, distort=only_ends, ring_timeout_s=0.3, uncertain_margin_s=0.2
    ) as dialer:

        async def is_over() -> bool:
            nonlocal noted
            newest = await decisions(dialer.services.client, dialer.services.keys, "1", 1)
            lines = explain("1", "active", newest, now_ms=newest[0].at or 0) if newest else []
            noted = noted or any("the event source writes only ends" in line for line in lines)
            statuses = dialer.centre.summary().contacts
            return not any(statuses.get(status) for status in ("pending", "dialing", "answered"))

        await eventually(is_over, within_s=60)
        audit = dialer.centre.summary()
        assert audit.calls_to_live_phones == 0, audit.findings
        assert noted, "explain says why so few calls are placed"


class LateSource:
    """Writes nothing until it is on; the telephone system goes on."""

    is_on = False

    def __call__(self, happenings: list[SimEvent], add: Write) -> None:
        if self.is_on:
            add(happenings)


async def stalls(dialer: Dialer) -> bool:
    return (await dialer.tick()).reason == "no_call_events"


async def test_dialing_goes_on_by_itself_when_the_event_source_was_started_late(settings: Settings) -> None:
    world, source = build_world(agents=4, contacts=8, speed=60, retry_delay_s=30), LateSource()
    async with run_dialer(
        settings, world, distort=source, ring_timeout_s=0.5, uncertain_margin_s=0.3
    ) as dialer:
        await eventually(lambda: stalls(dialer), within_s=20)
        before = dialer.centre.summary().total.originates
        await eventually(lambda: not dialer.centre.summary().live_calls, within_s=30)
        await eventually(lambda: has_age(dialer, 5.2), within_s=10)
        source.is_on = True
        dialer.centre.restart_event_source()
        await dialer.until(lambda audit: audit.total.originates > before, what="dialing goes on")
        await dialer.until_all_are_final(within_s=60)
        assert dialer.centre.summary().calls_to_live_phones == 0
        assert await dialer.dead.count() == 0


async def has_age(dialer: Dialer, seconds: float) -> bool:
    """The newest call was sent that long ago."""
    sent = [
        attempt.sent_ms or 0
        for raw in (await dialer.services.client.hvals(dialer.services.keys.records("1")))
        for attempt in decode_contact(raw).history
    ]
    now_s, now_us = await dialer.services.client.time()
    return now_s * 1000 + now_us / 1000 - max(sent) > seconds * 1000
