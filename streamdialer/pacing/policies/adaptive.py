"""The adaptive rule, with a learning state that begins empty."""

from __future__ import annotations

from streamdialer.pacing.adaptive import AdaptivePolicy


class Adaptive(AdaptivePolicy):
    """See `pacing.adaptive`."""

    def __init__(self) -> None:
        super().__init__()

    @property
    def theta(self) -> float | None:
        """The risk it accepts, of the first campaign."""
        return next((decision.risk_limit for decision in self.decisions.values()), None)
