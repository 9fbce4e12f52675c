"""How long nothing happened: of a dialer, the longest time without a new call."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from time import monotonic
from typing import Any

from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.servers.dialer_api import OriginateRequest
from streamdialer.simulation.world.entities import Call


def longest_pause(times: Iterable[float], begin: float, end: float) -> float:
    """Between two instants, in the unit of the times."""
    inside = [begin, *sorted(at for at in times if begin < at < end), end]
    return max(after - before for before, after in pairwise(inside))


class TimedCentre(CallCentre):
    """Knows when each call was placed."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.placed = [monotonic()]

    def _place(self, request: OriginateRequest, key: str | None) -> Call:
        self.placed.append(monotonic())
        return super()._place(request, key)
