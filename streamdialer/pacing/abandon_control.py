"""The risk limit of a campaign: how much risk one placed call may carry. It keeps the abandon rate just under its cap.

Each call answered by a person adds a little credit, each abandoned call takes one. A proportional-integral controller
turns the credit into the risk limit. A hard guard lowers the limit when the next abandoned call would break the cap.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

TARGET_SHARE: Final = 0.97
"""The controller aims at this share of the cap."""
GUARD_RISK: Final = 0.012
"""Highest risk limit while one more abandoned call would break a cap of 3 %; other caps in proportion."""
GUARD_HALVES_AT: Final = 500.0
"""With n calls answered by a person within the cap's window, the guard is GUARD_RISK / (1 + n / this).
Above the cap only calls without risk are placed. Where few people answer, that costs half of the agents' time until
enough calls were answered. A reserve avoids this: it costs little with many answered calls, and with few only a few
abandoned calls."""
GUARD_WIDTH: Final = 1.5
"""The guard rises by a factor of e for this many abandoned calls below the cap: the rate approaches the cap slowly."""
MIN_RISK_LIMIT: Final = 0.002
MAX_RISK_LIMIT: Final = 0.15
_RATE_FADE_S: Final = 900.0
_CREDIT_FADE_S: Final = 3600.0
_BIAS_PER_S: Final = 0.1 / 900.0
"""Slow, and `_GAIN` is small, because the estimated chances need little correction. A limit that follows chance leaves
agents idle in one half hour, reaches the cap in the next, and gains nothing."""
_BIAS_RANGE: Final = (-2.5, 1.2)
_GAIN: Final = 0.3
_MAX_ERROR: Final = 3.0
_MAX_STEP_S: Final = 5.0
"""A longer time without decisions counts as this: the controller stands still while nothing is dialed."""


class AbandonController(msgspec.Struct):
    credit: float = 0.0
    """Abandoned calls the target still allows; negative means too many were abandoned."""
    bias: float = 0.0
    answered_by_person: float = 0.0
    """Calls answered by a person, fading over a quarter of an hour."""
    dialed_s: float = 0.0
    """Seconds in which those were counted, fading alike."""
    advanced_at: float | None = None

    def advance(self, now: float, cap: float, answered_by_person: int, abandoned: int) -> None:
        """Moves the controller to `now`, with the calls answered by a person and abandoned since the last time."""
        elapsed = 0.0 if self.advanced_at is None else min(_MAX_STEP_S, max(0.0, now - self.advanced_at))
        self.advanced_at = now
        keep = math.exp(-elapsed / _RATE_FADE_S)
        self.answered_by_person = self.answered_by_person * keep + answered_by_person
        self.dialed_s = self.dialed_s * keep + elapsed
        if self.credit > 0:
            self.credit *= math.exp(-elapsed / _CREDIT_FADE_S)
        self.credit += TARGET_SHARE * cap * answered_by_person - abandoned
        low, high = _BIAS_RANGE
        self.bias = min(high, max(low, self.bias + _BIAS_PER_S * self._error(cap) * elapsed))

    def risk_limit(self, cap: float, answered_by_person: float, abandoned: float) -> float:
        """Most risk a call may carry; both counts are those of the cap's window."""
        if cap <= 0:
            return 0.0
        limit = TARGET_SHARE * cap * math.exp(self.bias + _GAIN * self._error(cap))
        scale = cap / 0.03
        limit = min(MAX_RISK_LIMIT * max(1.0, scale), max(MIN_RISK_LIMIT * scale, limit))
        spare = max(0.0, cap * answered_by_person - abandoned - 1.0)
        guard = GUARD_RISK * scale / (1 + answered_by_person / GUARD_HALVES_AT)
        return min(limit, guard * math.exp(min(spare / GUARD_WIDTH, 10.0)))

    def _error(self, cap: float) -> float:
        """The credit, as a multiple of what a quarter of an hour adds to it."""
        rate = self.answered_by_person / max(self.dialed_s, 60.0)
        error = self.credit / max(1.5, TARGET_SHARE * cap * rate * _RATE_FADE_S)
        return min(_MAX_ERROR, max(-_MAX_ERROR, error))


def cap_is_reached(cap: float, answered_by_person: float, abandoned: float) -> bool:
    """The abandon rate is above its cap; a cap of 0 is reached from the start."""
    return cap <= 0 or (abandoned > 0 and abandoned > cap * answered_by_person)
