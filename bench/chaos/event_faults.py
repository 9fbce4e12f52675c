"""Faults of call events on their way to the stream: repeated, late, out of order, without call id.

No event is later than `MAX_DELAY_S`, and none is lost but the beginnings of calls in `only_ends`. An event later than
the dialer's configured margin counts as one that did not come; its consequences are a limit of the contract, not a bug
of the dialer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Final

import msgspec

from streamdialer.simulation.servers.event_writer import Write
from streamdialer.simulation.world.entities import SimEvent

MAX_DELAY_S: Final = 2.0
EventFault = Callable[[list[SimEvent]], list[tuple[float, SimEvent]]]
"""Returns the events to write instead, each with its delay in wall-clock seconds."""


class EventFaults:
    """A filter for `CallCentre(distort=…)` that changes events while a fault is applied."""

    def __init__(self) -> None:
        self._fault: EventFault | None = None
        self._held = 0

    @property
    def held(self) -> int:
        """Delayed events that are not written yet."""
        return self._held

    def apply(self, fault: EventFault | None) -> None:
        """Applies the fault from now on; None ends it. Events that are delayed already still come when they are due."""
        self._fault = fault

    def __call__(self, events: list[SimEvent], write: Write) -> None:
        if self._fault is None:
            write(events)
            return
        loop = asyncio.get_running_loop()
        for delay_s, event in self._fault(events):
            if delay_s <= 0:
                write([event])
            else:
                self._held += 1
                loop.call_later(delay_s, self._release, event, write)

    def _release(self, event: SimEvent, write: Write) -> None:
        self._held -= 1
        write([event])


def duplicate(random: Random) -> EventFault:
    """Every event two or three times, the repetitions up to MAX_DELAY_S late."""

    def fault(events: list[SimEvent]) -> list[tuple[float, SimEvent]]:
        written = []
        for event in events:
            written.append((0.0, event))
            written += [(random.uniform(0, MAX_DELAY_S), event) for _ in range(random.randint(1, 2))]
        return written

    return fault


def reorder(random: Random) -> EventFault:
    """Each event has its own delay of up to a second: the end of a call may come before its beginning."""
    return lambda events: [(random.uniform(0, MAX_DELAY_S / 2), event) for event in events]


def delay(random: Random) -> EventFault:
    """All events are late, in order."""
    delay_s = random.uniform(MAX_DELAY_S / 2, MAX_DELAY_S)
    return lambda events: [(delay_s, event) for event in events]


def drop_call_ids(random: Random) -> EventFault:
    """Most events have no call id."""

    def fault(events: list[SimEvent]) -> list[tuple[float, SimEvent]]:
        return [(0.0, _without_call_id(event) if random.random() < 0.8 else event) for event in events]

    return fault


def only_ends(delay_s: float) -> EventFault:
    """The beginnings of calls are not seen; all other events are late, in order."""
    unseen = ("call_ringing", "call_answered")
    return lambda events: [(delay_s, event) for event in events if event.type not in unseen]


def _without_call_id(event: SimEvent) -> SimEvent:
    return msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, call_id=None))
