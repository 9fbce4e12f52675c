"""How long nothing happened: of a dialer, the longest time without a new call."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise


def longest_pause(times: Iterable[float], begin: float, end: float) -> float:
    """Between two instants, in the unit of the times."""
    inside = [begin, *sorted(at for at in times if begin < at < end), end]
    return max(after - before for before, after in pairwise(inside))
