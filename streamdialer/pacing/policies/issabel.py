"""The rule of Issabel's call centre module, as its public source (`Predictor`, `CampaignProcess`) says, in our words.

Every three seconds: free agents, plus agents who will soon be free, minus people who wait, minus calls that ring. A
talking agent will soon be free when an exponential talk of mean length would have ended, with a probability of 0.97
(its "quality of service"), within the elapsed time and the mean time to an answer. So it is a threshold on the elapsed
time: three and a half mean talks. Its option "overcommit" divides the calls by the share of recent calls that were
answered, 0.2 at least.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from streamdialer.pacing.policies.weights import share_by_weight
from streamdialer.pacing.types import Observation, QueueView

MIN_SAMPLES: Final = 10
"""Talks before it predicts, and calls before it overcommits."""
HISTORY_S: Final = 1800.0
MIN_ANSWER_RATE: Final = 0.2


class Issabel:
    """Calls for free agents and for those whose talk is long already."""

    interval_s: float | None = 3.0

    def __init__(self, quality: float = 0.97, overcommit: bool = False) -> None:
        self._quality = quality
        self._overcommit = overcommit
        self._talks, self._talk_s = 0, 0.0
        self._answers, self._answer_s = 0, 0.0
        self._calls: deque[tuple[float, bool]] = deque()
        """When each call of the last half hour was over or answered, and whether it was answered."""

    def place(self, view: QueueView, observations: Sequence[Observation]) -> Mapping[str, int]:
        """The campaigns share the calls by weight."""
        for seen in observations:
            self._learn(seen)
        while self._calls and self._calls[0][0] < view.now - HISTORY_S:
            self._calls.popleft()
        ringing = sum(len(campaign.ringing) for campaign in view.campaigns)
        calls = max(0, view.free + self._soon_free(view) - view.waiting - ringing)
        answered = sum(was_answered for _, was_answered in self._calls)
        if self._overcommit and answered and len(self._calls) >= MIN_SAMPLES:
            calls = round(calls / max(MIN_ANSWER_RATE, answered / len(self._calls)))
        return share_by_weight(calls, view)

    def _learn(self, seen: Observation) -> None:
        if seen.what == "talk":
            self._talks, self._talk_s = self._talks + 1, self._talk_s + seen.seconds
        elif seen.what in ("human", "machine", "busy", "failed", "no_answer"):
            was_answered = seen.what in ("human", "machine")
            self._calls.append((seen.at, was_answered))
            if was_answered:
                self._answers, self._answer_s = self._answers + 1, self._answer_s + seen.seconds

    def _soon_free(self, view: QueueView) -> int:
        if self._talks < MIN_SAMPLES or not self._answers:
            return 0
        mean_talk_s, mean_answer_s = self._talk_s / self._talks, self._answer_s / self._answers
        return sum(
            1 - math.exp(-(mean_answer_s + view.now - began) / mean_talk_s) >= self._quality
            for began in view.talking
        )
