"""The adaptive rule, starting with nothing learnt."""

from __future__ import annotations

from streamdialer.pacing.adaptive import AdaptivePolicy


class Adaptive(AdaptivePolicy):
    """See `pacing.adaptive`."""

    @property
    def risk_limit(self) -> float | None:
        """The risk limit of the first campaign."""
        return next((decision.risk_limit for decision in self.decisions.values()), None)
