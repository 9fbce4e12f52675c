"""Who answers, and when: the chance p that a placed call is answered by a person, and the times calls ring.

p is estimated twice, slowly and fast; when the two differ by more than chance allows, the slow one jumps. A call that
has rung for a while is less likely to be answered than a fresh one, so the ages of ringing calls count.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

import msgspec

SECONDS: Final = 64
"""One-second bins of ring time; the last is open."""
RING_HALF_LIFE: Final = 500.0
"""Answers (or other ends) after which an old one counts half."""
JUMP_ERRORS: Final = 4.0
"""Standard errors between the fast and the slow estimate beyond which the answer rate has changed."""
_SLOW_CALLS: Final = 250.0
_SLOW_S: Final = 300.0
_FAST_CALLS: Final = 40.0
_FAST_S: Final = 15.0
_PRIOR_CALLS: Final = 4.0
_MIN_FAST: Final = 12.0
"""Calls the fast estimate must rest on before it may make the slow one jump."""


def _prior(weight: float, heights: Sequence[float]) -> list[float]:
    total = math.fsum(heights)
    return [weight * height / total for height in heights]


def _answered_prior() -> list[float]:
    """People answer after some 12 s; weak, and never quite nothing anywhere."""
    return _prior(4.0, [(s + 0.5) ** 2 * math.exp(-(s + 0.5) / 4.0) + 0.01 for s in range(SECONDS)])


def _ended_prior() -> list[float]:
    """Other ends: some at once, the rest whenever the network gives up."""
    return _prior(4.0, [4.0 if s < 3 else 1.0 for s in range(SECONDS)])


class AnswerRate(msgspec.Struct):
    """The chance that a placed call is answered by a person; weights are calls, fading."""

    calls: float = _PRIOR_CALLS
    humans: float = _PRIOR_CALLS / 2
    fast_calls: float = 0.0
    fast_humans: float = 0.0
    at: float | None = None
    """When the last call was learnt."""
    jumps: int = 0

    @property
    def p(self) -> float:
        return self.humans / self.calls

    @property
    def error(self) -> float:
        """Standard error of p: exponential fading leaves twice the weight as effective number of calls."""
        p = (self.humans + 0.5) / (self.calls + 1.0)
        return math.sqrt(p * (1.0 - p) / (2.0 * self.calls))

    def learn(self, at: float, is_human: bool) -> None:
        """One more call was answered by a person, or is over without."""
        elapsed = 0.0 if self.at is None else max(0.0, at - self.at)
        self.at = at
        human = 1.0 if is_human else 0.0
        keep = max(0.5 ** (1.0 / _SLOW_CALLS), 0.5 ** (elapsed / _SLOW_S))
        self.calls = self.calls * keep + 1.0
        self.humans = self.humans * keep + human
        keep = max(0.5 ** (1.0 / _FAST_CALLS), 0.5 ** (elapsed / _FAST_S))
        self.fast_calls = self.fast_calls * keep + 1.0
        self.fast_humans = self.fast_humans * keep + human
        if self.fast_calls < _MIN_FAST:
            return
        # The slow estimate without what the fast one rests on, or else it would follow too soon to be told apart.
        old_calls = self.calls - self.fast_calls
        if old_calls < _MIN_FAST:
            return
        old, fast = (self.humans - self.fast_humans) / old_calls, self.fast_humans / self.fast_calls
        middle = min(0.98, max(0.02, (old + fast) / 2))
        variance = middle * (1.0 - middle) * (0.5 / self.fast_calls + 0.5 / old_calls)
        if abs(fast - old) > JUMP_ERRORS * math.sqrt(variance):
            self.calls, self.humans = self.fast_calls, self.fast_humans
            self.jumps += 1


class TrunkRefusalRate(msgspec.Struct):
    """Calls the network refuses, busy or failed: a sudden wave of them says nothing about people, but of the trunk."""

    recent: float = 0.1
    """Their share among about the last ten calls."""
    usual: float = 0.1
    """Their share over about half an hour of dialing, by time and not by calls: refused calls end at once."""
    at: float | None = None

    def learn(self, at: float, is_refused: bool) -> None:
        """One more call is answered or over."""
        elapsed = 0.0 if self.at is None else min(5.0, max(0.0, at - self.at))
        self.at = at
        self.recent += ((1.0 if is_refused else 0.0) - self.recent) / 10.0
        self.usual += (1.0 - 0.5 ** (elapsed / 1800.0)) * (self.recent - self.usual)

    @property
    def trunk_is_down(self) -> bool:
        """Nearly everything is refused, and usually it is not; a list of dead numbers becomes usual in time."""
        return self.recent > 0.8 and self.usual < 0.5


class RingTimes(msgspec.Struct):
    """How long calls ring: until a person answers, and until anything else ends it."""

    answered: list[float] = msgspec.field(default_factory=_answered_prior)
    ended: list[float] = msgspec.field(default_factory=_ended_prior)
    learnt: int = 0
    """Since the last fading."""

    def learn(self, seconds: float, is_human: bool) -> None:
        (self.answered if is_human else self.ended)[min(SECONDS - 1, max(0, int(seconds)))] += 1.0
        self.learnt += 1

    def fade(self) -> None:
        keep = 0.5 ** (self.learnt / RING_HALF_LIFE)
        self.answered = [keep * weight for weight in self.answered]
        self.ended = [keep * weight for weight in self.ended]
        self.learnt = 0


def count_by_age(now: float, placed: Iterable[float]) -> list[tuple[int, int]]:
    """(age in whole seconds, how many) of the calls placed at those times."""
    counts = [0] * SECONDS
    for start in placed:
        counts[min(SECONDS - 1, max(0, int(now - start)))] += 1
    return [(age, count) for age, count in enumerate(counts) if count]


def quantile_s(weights: Sequence[float], share: float) -> float:
    """Seconds below which that share of one-second bins lies."""
    half = math.fsum(weights) * share
    below = 0.0
    for second, weight in enumerate(weights):
        if weight > 0 and below + weight >= half:
            return second + (half - below) / weight
        below += weight
    return float(len(weights))


class AnswerChances:
    """Chances that calls are answered by a person within given horizons, by the time they have rung."""

    def __init__(self, p: float, times: RingTimes) -> None:
        self._p = p
        self._answered = _cumulative(times.answered)
        self._ended = _cumulative(times.ended)

    def fresh(self, horizon_s: int) -> float:
        """A call placed now."""
        return self._p * self._answered[horizon_s]

    def ringing(self, age_s: int, horizons_s: Sequence[int]) -> list[float]:
        """A call that has rung between `age_s` and a second more, for each horizon."""
        p, by_now = self._p, self._until(self._answered, age_s)
        still_ringing = p * (1.0 - by_now) + (1.0 - p) * (1.0 - self._until(self._ended, age_s))
        if still_ringing < 1e-9:
            return [0.0] * len(horizons_s)
        return [p * (self._until(self._answered, age_s + h) - by_now) / still_ringing for h in horizons_s]

    @staticmethod
    def _until(cumulative: Sequence[float], age_s: int) -> float:
        second = min(age_s, SECONDS - 1)
        return (cumulative[second] + cumulative[second + 1]) / 2


def _cumulative(weights: Sequence[float]) -> list[float]:
    scale = 1.0 / math.fsum(weights)
    return [0.0, *[weight * scale for weight in accumulate(weights)]]
