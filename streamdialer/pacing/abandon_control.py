"""How much risk a placed call may carry: steered so that the abandon rate ends up just under its cap.

Every person who answers earns a little credit, every abandoned call costs one. A controller turns the credit
into a threshold; a hard guard lowers it when the next abandoned call would break the cap.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

AIM: Final = 0.97
"""Share of the cap that is aimed at."""
GUARDED: Final = 0.012
"""Most risk while one more abandoned call would break the cap of 3 %; other caps in proportion."""
MANY: Final = 500.0
"""People who answered within the cap's window, with whom half of that is risked, with twice as many a third, and so on.
Where the cap is reached only calls without risk are placed, and where few people answer that costs half of the agents'
time until enough have been served. A reserve costs little where there are many, and a few abandoned calls of few."""
GUARD_WIDTH: Final = 1.5
"""Abandoned calls to spare for which the guard gives way e times: the cap is approached slowly."""
MIN_RISK_LIMIT: Final = 0.002
MAX_RISK_LIMIT: Final = 0.15
_RATE_S: Final = 900.0
_CREDIT_FADES_S: Final = 3600.0
_BIAS_PER_S: Final = 0.1 / 900.0
"""Slow, as `_GAIN` is small: the chances are right to begin with, and a threshold that swings after every run of luck
keeps agents waiting in one half hour, reaches the cap in the next, and buys nothing."""
_BIAS: Final = (-2.5, 1.2)
_GAIN: Final = 0.3
_MOST_X: Final = 3.0
_LONGEST_STEP_S: Final = 5.0
"""Nothing is steered while nothing is dialed: a longer silence counts as this."""


class AbandonController(msgspec.Struct):
    """The controller of one campaign."""

    credit: float = 0.0
    """Abandoned calls that could still be had; negative is debt."""
    bias: float = 0.0
    humans: float = 0.0
    """People who answered, fading over a quarter of an hour."""
    dialed_s: float = 0.0
    """Seconds that count towards `humans`, fading alike."""
    at: float | None = None

    def advance(self, now: float, cap: float, humans: int, abandoned: int) -> None:
        """Up to `now`; that many more people answered and that many of them were abandoned."""
        elapsed = 0.0 if self.at is None else min(_LONGEST_STEP_S, max(0.0, now - self.at))
        self.at = now
        keep = math.exp(-elapsed / _RATE_S)
        self.humans = self.humans * keep + humans
        self.dialed_s = self.dialed_s * keep + elapsed
        if self.credit > 0:
            self.credit *= math.exp(-elapsed / _CREDIT_FADES_S)
        self.credit += AIM * cap * humans - abandoned
        low, high = _BIAS
        self.bias = min(high, max(low, self.bias + _BIAS_PER_S * self._x(cap) * elapsed))

    def risk_limit(self, cap: float, humans: float, abandoned: float) -> float:
        """Most risk a call may carry; `humans` and `abandoned` are those of the cap's window."""
        if cap <= 0:
            return 0.0
        aim = AIM * cap
        theta = aim * math.exp(self.bias + _GAIN * self._x(cap))
        scale = cap / 0.03
        theta = min(MAX_RISK_LIMIT * max(1.0, scale), max(MIN_RISK_LIMIT * scale, theta))
        spare = max(0.0, cap * humans - abandoned - 1.0)
        guarded = GUARDED * scale / (1 + humans / MANY)
        return min(theta, guarded * math.exp(min(spare / GUARD_WIDTH, 10.0)))

    def _x(self, cap: float) -> float:
        rate = self.humans / max(self.dialed_s, 60.0)
        x = self.credit / max(1.5, AIM * cap * rate * _RATE_S)
        return min(_MOST_X, max(-_MOST_X, x))


def cap_is_reached(cap: float, humans: float, abandoned: float) -> bool:
    """The abandon rate is above its cap (a cap of nothing is reached from the start)."""
    return cap <= 0 or (abandoned > 0 and abandoned > cap * humans)
