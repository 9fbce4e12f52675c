"""The rule of OMniDialer, as its public source says (`predictive_pacer.py`, 2026), in our words.

Every second: calls = (free agents + agents expected to be free − answers expected of ringing calls) / chance of an
answer, times a factor for the drop rate. The factor is 1 while the drop rate is below half of the limit, falls to 0.2
at the limit, and stays 0.2 above it; after five decisions above it, one call per free agent is placed until the rate is
below 0.8 of the limit. Chance and drop rate are moving averages (a tenth of each new value). A busy agent is free
within the mean time to an answer with 1 − exp(−time / remaining), where remaining is the mean length less the elapsed
time, a second at least. Until fifty talks have ended, one call per free agent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from streamdialer.pacing.policies.weights import share_by_weight
from streamdialer.pacing.types import Observation, QueueView

ALPHA: Final = 0.1
"""Share of a new value in both moving averages."""
MIN_TALKS: Final = 50
MIN_ANSWER_RATE: Final = 0.05
MIN_FACTOR: Final = 0.2
MIN_REMAINING_S: Final = 1.0
THROTTLE_AFTER: Final = 5
THROTTLE_UNTIL: Final = 0.8
DEFAULT_ANSWER_S: Final = 15.0


class _Mean:
    def __init__(self, default: float) -> None:
        self._default, self._count, self._sum = default, 0, 0.0

    def add(self, value: float) -> None:
        self._count, self._sum = self._count + 1, self._sum + value

    @property
    def value(self) -> float:
        return self._sum / self._count if self._count else self._default


class Omnidialer:
    """Free and expected agents over the chance of an answer, less as the drop rate comes near the limit."""

    interval_s: float | None = 1.0

    def __init__(self) -> None:
        self._answer_rate = self._drop_rate = 0.0
        self._talks = 0
        self._answer, self._talk, self._wrap_up = _Mean(DEFAULT_ANSWER_S), _Mean(0.0), _Mean(0.0)
        self._over_in_a_row = 0
        self._is_throttled = False

    def place(self, view: QueueView, observations: Sequence[Observation]) -> Mapping[str, int]:
        """The campaigns share the calls by weight."""
        for seen in observations:
            self._learn(seen)
        free = max(0, view.free - view.waiting)
        ringing = sum(len(campaign.ringing) for campaign in view.campaigns)
        limit = min((campaign.cap for campaign in view.campaigns), default=0.03)
        self._throttle(limit)
        if self._talks < MIN_TALKS or self._is_throttled:
            return share_by_weight(max(0, free - ringing), view)
        chance = max(MIN_ANSWER_RATE, self._answer_rate)
        calls = (free + self._expected(view) - ringing * chance) / chance * self._factor(limit)
        return share_by_weight(max(0, math.floor(calls)), view)

    def _learn(self, seen: Observation) -> None:
        match seen.what:
            case "human":
                self._answer_rate += ALPHA * (1 - self._answer_rate)
                self._drop_rate -= ALPHA * self._drop_rate
                self._answer.add(seen.seconds)
            case "abandoned":
                self._drop_rate += ALPHA * (1 - self._drop_rate)
            case "talk":
                self._talks += 1
                self._talk.add(seen.seconds)
            case "wrapup":
                self._wrap_up.add(seen.seconds)
            case _:
                self._answer_rate -= ALPHA * self._answer_rate

    def _throttle(self, limit: float) -> None:
        self._over_in_a_row = self._over_in_a_row + 1 if self._drop_rate >= limit else 0
        if self._over_in_a_row >= THROTTLE_AFTER:
            self._is_throttled = True
        elif self._drop_rate < THROTTLE_UNTIL * limit:
            self._is_throttled = False

    def _factor(self, limit: float) -> float:
        nearness = (self._drop_rate / limit - 0.5) / 0.5
        return 1 + min(1.0, max(0.0, nearness)) * (MIN_FACTOR - 1)

    def _expected(self, view: QueueView) -> float:
        busy = [(self._talk.value + self._wrap_up.value, began) for began in view.talking]
        busy += [(self._wrap_up.value, began) for began in view.wrapping]
        return sum(
            1 - math.exp(-self._answer.value / max(MIN_REMAINING_S, mean_s - (view.now - began)))
            for mean_s, began in busy
            if mean_s > 0
        )
