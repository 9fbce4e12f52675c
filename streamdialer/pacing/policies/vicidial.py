"""An adaptive dial level, written from what users of VICIdial say about it in public.

Public sources say: the dial level is the number of lines per active agent, talking agents included. An adaptive
campaign corrects it every 15 seconds by how many agents wait, between 1 and a maximum (3 unless set). When the day's
share of dropped calls is above the limit, ADAPT_HARD_LIMIT dials at level 1 until it is below the limit again.
ADAPT_AVERAGE only backs off, so the average ends near the limit. ADAPT_TAPERED allows more early in the shift and
approaches the limit towards its end. The sources do not say by how much: the two factors below are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from streamdialer.errors import SettingsError
from streamdialer.pacing.policies.weights import share_by_weight
from streamdialer.pacing.types import Observation, QueueView

ADAPT_INTERVAL_S: Final = 15.0
BACK_OFF_FACTOR: Final = 0.9
"""The two gentler methods multiply the level by this while above the limit."""
EARLY_LIMIT_FACTOR: Final = 2.0
"""ADAPT_TAPERED multiplies the limit by this when the shift begins."""
METHODS: Final = ("hard_limit", "average", "tapered")


class Vicidial:
    """Lines = level × (free and talking agents), less the calls that are up."""

    def __init__(
        self,
        method: str = "hard_limit",
        max_level: float = 3.0,
        start_level: float = 1.0,
        shift_hours: float = 8.0,
        interval_s: float = 2.5,
    ) -> None:
        """`interval_s`: seconds between two decisions; `shift_hours` is for `tapered`."""
        if method not in METHODS:
            raise SettingsError(f"method: got {method!r}, takes one of {', '.join(METHODS)}")
        self.interval_s: float | None = interval_s
        self.level = max(1.0, min(max_level, start_level))
        self._method = method
        self._max_level = max_level
        self._shift_s = shift_hours * 3600
        self._began_at: float | None = None
        self._adapted_at = 0.0

    def place(self, view: QueueView, observations: Sequence[Observation]) -> Mapping[str, int]:  # noqa: ARG002
        """The campaigns share the calls by weight; calls that one cannot place go to the next."""
        if self._began_at is None:
            self._began_at = self._adapted_at = view.now
        if view.now - self._adapted_at >= ADAPT_INTERVAL_S:
            self._adapted_at = view.now
            self._adapt(view)
        active = view.free + len(view.talking)
        ringing = sum(len(campaign.ringing) for campaign in view.campaigns)
        return share_by_weight(int(active * self.level) - ringing - view.waiting - len(view.talking), view)

    def _adapt(self, view: QueueView) -> None:
        agents = view.free + len(view.talking) + len(view.wrapping)
        if not self._is_over(view):
            self.level *= 1 + (view.free - view.waiting) / max(1, agents)
        elif self._method == "hard_limit":
            self.level = 1.0
        else:
            self.level *= BACK_OFF_FACTOR
        self.level = max(1.0, min(self._max_level, self.level))

    def _is_over(self, view: QueueView) -> bool:
        answered = sum(campaign.answered_by_person for campaign in view.campaigns)
        limit = min(campaign.cap for campaign in view.campaigns)
        if self._method == "tapered":
            over = min(1.0, (view.now - (self._began_at or 0.0)) / self._shift_s)
            limit *= EARLY_LIMIT_FACTOR + (1 - EARLY_LIMIT_FACTOR) * over
        return answered > 0 and sum(campaign.abandoned for campaign in view.campaigns) / answered > limit
