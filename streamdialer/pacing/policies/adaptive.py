"""The adaptive rule, starting with nothing learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from streamdialer.pacing.adaptive import AdaptivePolicy
from streamdialer.pacing.types import Observation, QueueView


class Adaptive(AdaptivePolicy):
    """See `pacing.adaptive`."""

    def __init__(self, min_ring_s: float = 0.0) -> None:
        """`min_ring_s`: calls that were placed so long ago may be taken back; 0: no call is."""
        super().__init__()
        self._min_ring_s = min_ring_s

    def place(self, view: QueueView, observations: Sequence[Observation]) -> Mapping[str, int]:
        if self._min_ring_s:
            campaigns = [
                msgspec.structs.replace(each, min_ring_s=self._min_ring_s) for each in view.campaigns
            ]
            view = msgspec.structs.replace(view, campaigns=campaigns)
        return super().place(view, observations)

    @property
    def risk_limit(self) -> float | None:
        """The risk limit of the first campaign."""
        return next((decision.risk_limit for decision in self.decisions.values()), None)
