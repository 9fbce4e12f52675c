"""The fixed modes: as many unanswered calls as the free agents, times a ratio, allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamdialer.errors import SettingsError
from streamdialer.model import DialMode
from streamdialer.pacing.dial_modes import calls_per_agent, level
from streamdialer.pacing.sharing import ClaimShare, share_agents
from streamdialer.pacing.types import Observation, QueueView


class Fixed:
    """Progressive `A − L`, predictive and power `int(A × ratio) − L`, on events (A free agents, L unanswered calls)."""

    every_s: float | None = None

    def __init__(self, mode: str = "progressive", ratio: float = 0.0) -> None:
        """`ratio` 0 takes that of each campaign."""
        modes: dict[str, DialMode] = {
            "progressive": "progressive",
            "predictive": "predictive",
            "power": "power",
        }
        if mode not in modes:
            raise SettingsError(f"mode: got {mode!r}, takes one of {', '.join(modes)}")
        self._mode = modes[mode]
        self._ratio = ratio

    def place(self, view: QueueView, seen: Sequence[Observation]) -> Mapping[str, int]:  # noqa: ARG002
        """The agents are shared among the campaigns by weight."""
        free = max(0, view.free - view.waiting)
        if len(view.campaigns) == 1:
            shares = {view.campaigns[0].id: free}
        else:
            shares = share_agents(
                free,
                [
                    ClaimShare(
                        campaign=each.id,
                        weight=each.weight,
                        demand_calls=len(each.ringing) + min(each.callable, view.lines),
                        calls_per_agent=calls_per_agent(self._mode, self._ratio or each.ratio),
                        is_open=each.callable > 0,
                        unanswered=len(each.ringing),
                    )
                    for each in view.campaigns
                ],
            )
        lines = view.lines
        placed = {}
        for each in view.campaigns:
            calls = level(self._mode, shares[each.id], self._ratio or each.ratio) - len(each.ringing)
            if (calls := min(calls, each.callable, lines)) > 0:
                placed[each.id] = calls
                lines -= calls
        return placed
