"""Faults of call events on their way to the stream: repeated, late, out of order, without call id.

No event is later than `MAX_DELAY_S` but those of a source that was away (`only_ends`), and none is lost but the
beginnings of calls there. An event later than the dialer's configured margin counts as one that did not come; its
consequences are a limit of the contract, not a bug of the dialer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Final

import msgspec

from streamdialer.simulation.servers.event_writer import Write
from streamdialer.simulation.world.entities import SimEvent

MAX_DELAY_S: Final = 2.0


class EventFault(msgspec.Struct, frozen=True):
    """What happens to events."""

    change: Callable[[list[SimEvent]], list[tuple[float, SimEvent]]]
    """Returns the events to write instead, each with its delay in wall-clock seconds."""
    keeps_order: bool = True
    """No event overtakes an earlier one, nor does any after the end of the fault: a source that is late reads on."""


UNCHANGED: Final = EventFault(lambda events: [(0.0, event) for event in events])


class EventFaults:
    """A filter for `CallCentre(distort=…)` that changes events while a fault is applied."""

    def __init__(self) -> None:
        self._fault = UNCHANGED
        self._out_of_order = 0
        self._in_order: deque[tuple[SimEvent, Write]] = deque()
        self._in_order_until = 0.0

    @property
    def held(self) -> int:
        """Delayed events that are not written yet."""
        return self._out_of_order + len(self._in_order)

    def apply(self, fault: EventFault | None) -> None:
        """Applies the fault from now on; None ends it. Events that are delayed already still come when they are due."""
        self._fault = fault or UNCHANGED

    def __call__(self, events: list[SimEvent], write: Write) -> None:
        loop, fault = asyncio.get_running_loop(), self._fault
        for delay_s, event in fault.change(events):
            if fault.keeps_order and (delay_s > 0 or self._in_order):
                self._in_order_until = max(self._in_order_until, loop.time() + delay_s)
                self._in_order.append((event, write))
                loop.call_at(self._in_order_until, self._release_next)
            elif delay_s > 0:
                self._out_of_order += 1
                loop.call_later(delay_s, self._release, event, write)
            else:
                write([event])

    def _release(self, event: SimEvent, write: Write) -> None:
        self._out_of_order -= 1
        write([event])

    def _release_next(self) -> None:
        event, write = self._in_order.popleft()  # of timers for one instant, any may end first
        write([event])


def duplicate(random: Random) -> EventFault:
    """Every event two or three times, the repetitions up to MAX_DELAY_S late."""

    def fault(events: list[SimEvent]) -> list[tuple[float, SimEvent]]:
        written = []
        for event in events:
            written.append((0.0, event))
            written += [(random.uniform(0, MAX_DELAY_S), event) for _ in range(random.randint(1, 2))]
        return written

    return EventFault(fault, keeps_order=False)


def reorder(random: Random) -> EventFault:
    """Each event has its own delay of up to a second: the end of a call may come before its beginning."""
    return EventFault(
        lambda events: [(random.uniform(0, MAX_DELAY_S / 2), event) for event in events], keeps_order=False
    )


def delay(random: Random) -> EventFault:
    """All events are late, in order."""
    delay_s = random.uniform(MAX_DELAY_S / 2, MAX_DELAY_S)
    return EventFault(lambda events: [(delay_s, event) for event in events])


def drop_call_ids(random: Random) -> EventFault:
    """Most events have no call id."""

    def fault(events: list[SimEvent]) -> list[tuple[float, SimEvent]]:
        return [(0.0, _without_call_id(event) if random.random() < 0.8 else event) for event in events]

    return EventFault(fault)


def only_ends(delay_s: float) -> EventFault:
    """The beginnings of calls are not seen; all other events are late, in order."""
    unseen = ("call_ringing", "call_answered")
    return EventFault(lambda events: [(delay_s, event) for event in events if event.type not in unseen])


def _without_call_id(event: SimEvent) -> SimEvent:
    return msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, call_id=None))
