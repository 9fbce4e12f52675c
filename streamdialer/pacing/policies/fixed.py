"""The fixed modes: as many unanswered calls as there are free agents, or that number times a ratio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamdialer.errors import SettingsError
from streamdialer.model import DialMode
from streamdialer.pacing.dial_modes import calls_per_agent, level
from streamdialer.pacing.sharing import ClaimShare, share_agents
from streamdialer.pacing.types import Observation, QueueView


class Fixed:
    """Progressive `A − L`, predictive and power `int(A × ratio) − L`: A free agents, L unanswered calls."""

    interval_s: float | None = None

    def __init__(self, mode: str = "progressive", ratio: float = 0.0) -> None:
        """`ratio` 0: each campaign uses its own."""
        modes: dict[str, DialMode] = {
            "progressive": "progressive",
            "predictive": "predictive",
            "power": "power",
        }
        if mode not in modes:
            raise SettingsError(f"mode: got {mode!r}, takes one of {', '.join(modes)}")
        self._mode = modes[mode]
        self._ratio = ratio

    def place(self, view: QueueView, observations: Sequence[Observation]) -> Mapping[str, int]:  # noqa: ARG002
        """The campaigns share the agents by weight."""
        free = max(0, view.free - view.waiting)
        if len(view.campaigns) == 1:
            shares = {view.campaigns[0].id: free}
        else:
            shares = share_agents(
                free,
                [
                    ClaimShare(
                        campaign=campaign.id,
                        weight=campaign.weight,
                        demand_calls=len(campaign.ringing) + min(campaign.callable, view.lines),
                        calls_per_agent=calls_per_agent(self._mode, self._ratio or campaign.ratio),
                        is_open=campaign.callable > 0,
                        unanswered=len(campaign.ringing),
                    )
                    for campaign in view.campaigns
                ],
            )
        lines = view.lines
        placed = {}
        for campaign in view.campaigns:
            calls = level(self._mode, shares[campaign.id], self._ratio or campaign.ratio) - len(
                campaign.ringing
            )
            if (calls := min(calls, campaign.callable, lines)) > 0:
                placed[campaign.id] = calls
                lines -= calls
        return placed
