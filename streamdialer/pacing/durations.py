"""How long agents talk and wrap up: hazards in unequal bins, with unfinished work counted as exposure.

How long an agent has talked says how likely the talk is to end soon; an exponential distribution ignores that.
Estimator: ends over exposure (Kaplan and Meier 1958, binned), shrunk towards the constant hazard of the mean duration.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from operator import add, mul
from typing import Final

import msgspec

EDGES: Final = (
    *(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 18.0, 22.0, 27.0, 33.0, 40.0, 48.0, 58.0),
    *(70.0, 84.0, 100.0, 120.0, 145.0, 175.0, 210.0, 250.0, 300.0, 360.0, 430.0, 520.0, 620.0, 750.0),
    *(900.0, 1100.0, 1400.0, 1800.0),
)
"""Lower edges of the bins, seconds; the last bin is open."""
BINS: Final = len(EDGES)
HALF_LIFE: Final = 1000.0
"""After this many more finished talks (or wrap-ups), an old one counts half."""
_HAZARD_WEIGHT: Final = 1.5
"""The constant hazard counts like this many finished ones in every bin."""
_MEAN_WEIGHT: Final = 3.0
"""The expected mean counts like this many finished ones."""
_UPPER: Final = EDGES[1:]
_LAST_MIDDLE_S: Final = 2400
_WIDTHS: Final = tuple(high - low for low, high in zip(EDGES, _UPPER, strict=False))
_MIDDLES: Final = (*(int((low + high) / 2) for low, high in zip(EDGES, _UPPER, strict=False)), _LAST_MIDDLE_S)
_BIN_OF_SECOND: Final = tuple(bisect_right(_UPPER, second + 0.5) for second in range(_LAST_MIDDLE_S + 100))


def bin_of(seconds: float) -> int:
    return bisect_right(_UPPER, seconds)


def count_by_bin(now: float, since: Iterable[float]) -> list[tuple[int, int]]:
    """(bin, number) of what has been going on since those times."""
    counts = [0] * BINS
    for start in since:
        counts[bisect_right(_UPPER, now - start)] += 1
    return [(index, count) for index, count in enumerate(counts) if count]


class Durations(msgspec.Struct):
    """What was learnt about one kind of work."""

    expected_s: float
    """The mean assumed before anything is learnt."""
    ended: list[float] = msgspec.field(default_factory=lambda: [0.0] * BINS)
    """Finished within each bin, fading."""
    exposure_s: list[float] = msgspec.field(default_factory=lambda: [0.0] * BINS)
    """Seconds that finished ones spent in each bin, fading."""

    def learn(self, seconds: float) -> None:
        """One more ended, after that many seconds."""
        self.ended[bin_of(seconds)] += 1.0
        _add_exposure(self.exposure_s, seconds)

    def fade(self, finished: int) -> None:
        """`finished`: how many were learnt since the last fading."""
        keep = 0.5 ** (finished / HALF_LIFE)
        self.ended = [keep * weight for weight in self.ended]
        self.exposure_s = [keep * weight for weight in self.exposure_s]

    def hazards(self, running_s: Iterable[float] = ()) -> list[float]:
        """Endings per second by bin; `running_s`: how long each unfinished one has lasted."""
        exposure = list(self.exposure_s)
        beyond = 0
        counts = [0] * BINS
        for seconds in running_s:
            index = bin_of(seconds)
            counts[index] += 1
            exposure[index] += max(0.0, seconds - EDGES[index])
        for index in range(BINS - 2, -1, -1):
            beyond += counts[index + 1]
            exposure[index] += beyond * _WIDTHS[index]
        mean = (math.fsum(exposure) + _MEAN_WEIGHT * self.expected_s) / (math.fsum(self.ended) + _MEAN_WEIGHT)
        mean = max(mean, 0.5)
        return [
            (ended + _HAZARD_WEIGHT) / (seconds + _HAZARD_WEIGHT * mean)
            for ended, seconds in zip(self.ended, exposure, strict=True)
        ]


def free_within(
    talk: Sequence[float], wrapup: Sequence[float], horizons_s: Sequence[int], wrapup_share: float = 1.0
) -> tuple[list[list[float]], list[list[float]]]:
    """Chances, from the hazards, that an agent is free within each horizon, by the bin the talk or wrap-up has reached.

    `wrapup_share` of the talks are followed by a wrap-up; the others free their agent at once.
    """
    longest = max(horizons_s)
    keep_talking = [math.exp(-hazard) for hazard in talk]
    keep_wrapping = [math.exp(-hazard) for hazard in wrapup]
    fresh = _survivals(keep_wrapping, 0, longest)
    # A talk ends somewhere within a second, so on average half a second more is left than the whole seconds.
    free_after_talk = [
        1.0 - wrapup_share * (fresh[left] + fresh[left + 1]) / 2 for left in range(longest - 1, -1, -1)
    ]
    talking: list[list[float]] = [[] for _ in horizons_s]
    wrapping: list[list[float]] = [[] for _ in horizons_s]
    for middle in _MIDDLES:
        alive = _survivals(keep_talking, middle, longest)
        ending = [now - later for now, later in pairwise(alive)]
        in_wrapup = _survivals(keep_wrapping, middle, longest)
        for index, horizon in enumerate(horizons_s):
            talking[index].append(sum(map(mul, ending, free_after_talk[longest - horizon :])))
            wrapping[index].append(1.0 - in_wrapup[horizon])
    return talking, wrapping


def _survivals(keep: Sequence[float], first: int, seconds: int) -> list[float]:
    """Chances of lasting 0, 1, ... `seconds` more after second `first`; `keep`: per bin, of one second more."""
    return list(accumulate([1.0, *(keep[index] for index in _BIN_OF_SECOND[first : first + seconds])], mul))


def _add_exposure(exposure: list[float], seconds: float) -> None:
    last = bin_of(seconds)
    exposure[:last] = map(add, exposure[:last], _WIDTHS)
    exposure[last] += max(0.0, seconds - EDGES[last])
