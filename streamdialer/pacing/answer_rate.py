"""The answer rate p, the chance that a placed call is answered by a person, and how long calls ring.

p is estimated twice, slowly and fast. When the two differ by more than chance allows, the slow estimate jumps. A call
that has rung for a while is less likely to be answered than a new one, so the ages of ringing calls count.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

import msgspec

RING_BINS: Final = 64
"""Bins of one second of ring time; the last is open."""
RING_HALF_LIFE: Final = 500.0
"""After this many more answers (or other ends), an old one counts half."""
JUMP_ERRORS: Final = 4.0
"""The answer rate has changed when the fast and the slow estimate are this many standard errors apart."""
_SLOW_CALLS: Final = 250.0
_SLOW_S: Final = 300.0
_FAST_CALLS: Final = 40.0
_FAST_S: Final = 15.0
_PRIOR_CALLS: Final = 4.0
_MIN_FAST: Final = 12.0
"""Both estimates need this many calls before a jump."""


def _prior(weight: float, heights: Sequence[float]) -> list[float]:
    total = math.fsum(heights)
    return [weight * height / total for height in heights]


def _answered_prior() -> list[float]:
    """People answer after some 12 s. Weak, and above 0 in every bin."""
    return _prior(4.0, [(s + 0.5) ** 2 * math.exp(-(s + 0.5) / 4.0) + 0.01 for s in range(RING_BINS)])


def _ended_prior() -> list[float]:
    """Other ends: some at once, the rest at any time."""
    return _prior(4.0, [4.0 if s < 3 else 1.0 for s in range(RING_BINS)])


class AnswerRate(msgspec.Struct):
    """The chance that a placed call is answered by a person; the counts fade."""

    calls: float = _PRIOR_CALLS
    answered: float = _PRIOR_CALLS / 2
    fast_calls: float = 0.0
    fast_answered: float = 0.0
    learnt_at: float | None = None
    jumps: int = 0

    @property
    def p(self) -> float:
        return self.answered / self.calls

    @property
    def error(self) -> float:
        """Standard error of p. With exponential fading the effective number of calls is twice the weight."""
        p = (self.answered + 0.5) / (self.calls + 1.0)
        return math.sqrt(p * (1.0 - p) / (2.0 * self.calls))

    def learn(self, at: float, is_human: bool) -> None:
        """One more call was answered by a person, or ended otherwise."""
        elapsed = 0.0 if self.learnt_at is None else max(0.0, at - self.learnt_at)
        self.learnt_at = at
        human = 1.0 if is_human else 0.0
        keep = max(0.5 ** (1.0 / _SLOW_CALLS), 0.5 ** (elapsed / _SLOW_S))
        self.calls = self.calls * keep + 1.0
        self.answered = self.answered * keep + human
        keep = max(0.5 ** (1.0 / _FAST_CALLS), 0.5 ** (elapsed / _FAST_S))
        self.fast_calls = self.fast_calls * keep + 1.0
        self.fast_answered = self.fast_answered * keep + human
        if self.fast_calls < _MIN_FAST:
            return
        # Without the calls of the fast estimate: otherwise the slow one follows before the two can be told apart.
        old_calls = self.calls - self.fast_calls
        if old_calls < _MIN_FAST:
            return
        old, fast = (self.answered - self.fast_answered) / old_calls, self.fast_answered / self.fast_calls
        middle = min(0.98, max(0.02, (old + fast) / 2))
        variance = middle * (1.0 - middle) * (0.5 / self.fast_calls + 0.5 / old_calls)
        if abs(fast - old) > JUMP_ERRORS * math.sqrt(variance):
            self.calls, self.answered = self.fast_calls, self.fast_answered
            self.jumps += 1


class TrunkRefusalRate(msgspec.Struct):
    """Calls the network refuses (busy or failed). A sudden wave of them is the trunk's fault, not the contacts'."""

    recent: float = 0.1
    """Share of refused calls among about the last ten."""
    usual: float = 0.1
    """Share over about half an hour of dialing, weighted by time and not by calls: refused calls end at once."""
    learnt_at: float | None = None

    def learn(self, at: float, is_refused: bool) -> None:
        """One more call was answered or has ended."""
        elapsed = 0.0 if self.learnt_at is None else min(5.0, max(0.0, at - self.learnt_at))
        self.learnt_at = at
        self.recent += ((1.0 if is_refused else 0.0) - self.recent) / 10.0
        self.usual += (1.0 - 0.5 ** (elapsed / 1800.0)) * (self.recent - self.usual)

    @property
    def trunk_is_down(self) -> bool:
        """Nearly every call is refused, and that is unusual. A list of dead numbers becomes usual in time."""
        return self.recent > 0.8 and self.usual < 0.5


class RingTimes(msgspec.Struct):
    """How long calls ring until a person answers, and until they end otherwise."""

    answered: list[float] = msgspec.field(default_factory=_answered_prior)
    ended: list[float] = msgspec.field(default_factory=_ended_prior)
    learnt: int = 0
    """Calls since the last fading."""

    def learn(self, seconds: float, is_human: bool) -> None:
        (self.answered if is_human else self.ended)[min(RING_BINS - 1, max(0, int(seconds)))] += 1.0
        self.learnt += 1

    def fade(self) -> None:
        keep = 0.5 ** (self.learnt / RING_HALF_LIFE)
        self.answered = [keep * weight for weight in self.answered]
        self.ended = [keep * weight for weight in self.ended]
        self.learnt = 0


def count_by_age(now: float, placed: Iterable[float]) -> list[tuple[int, int]]:
    """(age in whole seconds, number of calls), for calls placed at those times."""
    counts = [0] * RING_BINS
    for start in placed:
        counts[min(RING_BINS - 1, max(0, int(now - start)))] += 1
    return [(age, count) for age, count in enumerate(counts) if count]


def quantile_s(weights: Sequence[float], share: float) -> float:
    """That quantile, in seconds, of weights in one-second bins."""
    target = math.fsum(weights) * share
    below = 0.0
    for second, weight in enumerate(weights):
        if weight > 0 and below + weight >= target:
            return second + (target - below) / weight
        below += weight
    return float(len(weights))


class AnswerChances:
    """Chances that a call is answered by a person within a horizon, by how long it has rung."""

    def __init__(self, p: float, times: RingTimes) -> None:
        self._p = p
        self._answered = _cumulative(times.answered)
        self._ended = _cumulative(times.ended)

    def fresh(self, horizon_s: int) -> float:
        """A call placed now."""
        return self._p * self._answered[horizon_s]

    def ringing(self, age_s: int, horizons_s: Sequence[int]) -> list[float]:
        """For each horizon: a call that has rung for `age_s` to `age_s` + 1 seconds."""
        p, by_now = self._p, self._until(self._answered, age_s)
        still_ringing = p * (1.0 - by_now) + (1.0 - p) * (1.0 - self._until(self._ended, age_s))
        if still_ringing < 1e-9:
            return [0.0] * len(horizons_s)
        return [p * (self._until(self._answered, age_s + h) - by_now) / still_ringing for h in horizons_s]

    @staticmethod
    def _until(cumulative: Sequence[float], age_s: int) -> float:
        second = min(age_s, RING_BINS - 1)
        return (cumulative[second] + cumulative[second + 1]) / 2


def _cumulative(weights: Sequence[float]) -> list[float]:
    scale = 1.0 / math.fsum(weights)
    return [0.0, *[weight * scale for weight in accumulate(weights)]]
