"""What may happen to call events between the telephone network and the stream: twice, late, out of order, nameless.

No event is lost and none is later than `LATEST_S`: an event later than the margin the dialer was told to wait is
an event that did not come, and what follows then is a limit of the contract and not a fault of the dialer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Final

import msgspec

from streamdialer.simulation import SimEvent
from streamdialer.simulation.servers.event_writer import Write

LATEST_S: Final = 2.0
Spoil = Callable[[list[SimEvent]], list[tuple[float, SimEvent]]]
"""What is to be written instead, each with the seconds of wall clock it waits."""


class EventFaults:
    """A filter for `CallCentre(distort=…)` that lets everything through until it is told to spoil."""

    def __init__(self) -> None:
        self._spoil: Spoil | None = None
        self._held = 0
        self._write: Write | None = None
        self._last_end: SimEvent | None = None

    @property
    def held(self) -> int:
        """Events that are still to be written."""
        return self._held

    def spoil(self, how: Spoil | None) -> None:
        """From now on; None ends it. Events held back already come when their time is over."""
        self._spoil = how

    def repeat_last_end(self) -> bool:
        """Writes the end of the call that ended last once more; False when none has ended yet."""
        if self._write is None or self._last_end is None:
            return False
        self._write([self._last_end])
        return True

    def __call__(self, happenings: list[SimEvent], write: Write) -> None:
        self._write = write
        ends = [one for one in happenings if one.type in ("call_completed", "call_failed", "call_abandoned")]
        self._last_end = ends[-1] if ends else self._last_end
        if self._spoil is None:
            write(happenings)
            return
        loop = asyncio.get_running_loop()
        for later_s, happening in self._spoil(happenings):
            if later_s <= 0:
                write([happening])
            else:
                self._held += 1
                loop.call_later(later_s, self._release, happening, write)

    def _release(self, happening: SimEvent, write: Write) -> None:
        self._held -= 1
        write([happening])


def duplicated(random: Random) -> Spoil:
    """Every event twice or three times, the repetitions up to LATEST_S later."""

    def spoil(happenings: list[SimEvent]) -> list[tuple[float, SimEvent]]:
        out = []
        for happening in happenings:
            out.append((0.0, happening))
            out += [(random.uniform(0, LATEST_S), happening) for _ in range(random.randint(1, 2))]
        return out

    return spoil


def reordered(random: Random) -> Spoil:
    """Each event up to a second late, by itself: the end of a call comes before its beginning."""
    return lambda happenings: [(random.uniform(0, LATEST_S / 2), happening) for happening in happenings]


def delayed(random: Random) -> Spoil:
    """All events late, in their order."""
    later_s = random.uniform(LATEST_S / 2, LATEST_S)
    return lambda happenings: [(later_s, happening) for happening in happenings]


def nameless(random: Random) -> Spoil:
    """Most events without the id of their call."""

    def spoil(happenings: list[SimEvent]) -> list[tuple[float, SimEvent]]:
        return [(0.0, _without_call_id(one) if random.random() < 0.8 else one) for one in happenings]

    return spoil


def _without_call_id(happening: SimEvent) -> SimEvent:
    return msgspec.structs.replace(happening, data=msgspec.structs.replace(happening.data, call_id=None))
