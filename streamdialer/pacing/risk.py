"""The chance that the next person to answer finds no agent: sums of independent yes-or-no events.

F agents come free and H people answer, each event with its own chance. F - H is a Poisson-binomial variable shifted by
the number of ringing calls. Few events are convolved exactly. Many are approximated by the normal distribution with
corrections for continuity and skewness ("refined normal approximation", Y. Hong, On computing the distribution
function for the Poisson binomial distribution, 2013): within 0.007 from a variance of 2 on, within 0.003 from 4 on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

EXACT_BELOW_VARIANCE: Final = 2.0
"""Above it the approximation is used: it is accurate enough there, and its cost does not grow."""

Group = tuple[int, float]
"""A number of independent events, and the chance of each."""


def convolve(pmf: Sequence[float], chance: float) -> list[float]:
    """The distribution of a count after one more event with that chance."""
    stay = 1.0 - chance
    longer = [stay * weight for weight in pmf]
    longer.append(0.0)
    for index, weight in enumerate(pmf, 1):
        longer[index] += chance * weight
    return longer


def poisson_binomial(chances: Iterable[float]) -> list[float]:
    """Chances of 0, 1, 2, ... events."""
    pmf = [1.0]
    for chance in chances:
        pmf = convolve(pmf, chance)
    return pmf


def at_most(count: int, mean: float, variance: float, third: float) -> float:
    """Chance of at most `count` events, from the mean, the variance and the third central moment of their sum."""
    if variance <= 1e-9:
        return 1.0 if count >= mean - 1e-6 else 0.0
    deviation = math.sqrt(variance)
    x = (count + 0.5 - mean) / deviation
    skewness = third / (variance * deviation)
    density = math.exp(-0.5 * x * x) / 2.5066282746310002
    chance = 0.5 * math.erfc(-x / 1.4142135623730951) + skewness * (1.0 - x * x) * density / 6.0
    return min(1.0, max(0.0, chance))


class AgentBalance:
    """Agents free now and later, less the people who answer: A + F - H. Calls can be added one by one."""

    __slots__ = ("_available", "_calls", "_chances", "_pmf", "_third", "_variance", "answering", "coming")

    coming: float
    """Mean of F."""
    answering: float
    """Mean of H."""

    def __init__(self, available: int, coming: Sequence[Group], answering: Sequence[Group]) -> None:
        """`available`: free agents less people who already wait for one; may be negative."""
        self._available = available
        self._calls = 0
        self.coming = self.answering = self._variance = self._third = 0.0
        self._pmf: list[float] | None = None
        self._chances: list[Group] = list(coming)
        for count, chance in coming:
            spread = count * chance * (1.0 - chance)
            self.coming += count * chance
            self._variance += spread
            self._third += spread * (1.0 - 2.0 * chance)
        for count, chance in answering:
            self.add_calls(count, chance)

    def add_calls(self, count: int, chance: float) -> None:
        """Adds ringing calls, each answered in time with that chance."""
        self._calls += count
        self.answering += count * chance
        spread = count * chance * (1.0 - chance)
        self._variance += spread
        self._third -= spread * (1.0 - 2.0 * chance)
        if self._pmf is None:
            self._chances.append((count, 1.0 - chance))
        else:
            for _ in range(count):
                self._pmf = convolve(self._pmf, 1.0 - chance)

    def estimate(self) -> float:
        """The risk by the approximation: cheap, and accurate enough to compare balances."""
        if self._calls < self._available:
            return 0.0
        mean = self.coming - self.answering + self._calls
        return at_most(self._calls - self._available, mean, self._variance, self._third)

    def risk(self) -> float:
        """P(A + F <= H): the chance that one more person who answers finds every agent taken."""
        if self._calls < self._available:
            return 0.0
        if self._variance >= EXACT_BELOW_VARIANCE:
            return self.estimate()
        if self._pmf is None:
            self._pmf = poisson_binomial(chance for count, chance in self._chances for _ in range(count))
        return min(1.0, math.fsum(self._pmf[: self._calls - self._available + 1]))


def worst_risk(balances: Iterable[AgentBalance], limit: float) -> float:
    """The highest risk among the horizons, or the first that is found above `limit`."""
    worst = 0.0
    for balance in sorted(balances, key=AgentBalance.estimate, reverse=True):
        worst = max(worst, balance.risk())
        if worst > limit:
            break
    return worst
