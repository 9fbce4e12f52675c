"""An adaptive dial level as users of VICIdial describe it in public; a description turned into code.

Public sources say: the dial level is the number of lines per active agent, talking ones included. An adaptive campaign
corrects it every 15 seconds by how many agents wait, within 1 and a maximum (3 unless set). When the day's share of
dropped calls passes the limit, ADAPT_HARD_LIMIT dials at level 1 until it is under the limit again, ADAPT_AVERAGE
only backs off, so that the average ends up near it, and ADAPT_TAPERED lets the early part of the shift go over and
closes in on the limit towards its end. They do not say by how much: the two factors below are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from streamdialer.errors import SettingsError
from streamdialer.pacing.types import Observation, QueueView

ADAPT_S: Final = 15.0
BACK_OFF: Final = 0.9
"""What the two gentler methods multiply the level by while above the limit."""
LENIENCE: Final = 2.0
"""How many limits ADAPT_TAPERED forgives when the shift begins."""
METHODS: Final = ("hard_limit", "average", "tapered")


class Vicidial:
    """Lines = level × (free and talking agents), less the calls that are up."""

    def __init__(
        self,
        method: str = "hard_limit",
        max_level: float = 3.0,
        start_level: float = 1.0,
        shift_hours: float = 8.0,
        every_s: float = 2.5,
    ) -> None:
        """`every_s`: seconds between two looks for lines to fill; `shift_hours` is for `tapered`."""
        if method not in METHODS:
            raise SettingsError(f"method: got {method!r}, takes one of {', '.join(METHODS)}")
        self.every_s: float | None = every_s
        self.level = max(1.0, min(max_level, start_level))
        self._method = method
        self._max_level = max_level
        self._shift_s = shift_hours * 3600
        self._began_at: float | None = None
        self._adapted_at = 0.0

    def place(self, view: QueueView, seen: Sequence[Observation]) -> Mapping[str, int]:  # noqa: ARG002
        """Calls are divided among the campaigns by weight, what one cannot place goes to the next."""
        if self._began_at is None:
            self._began_at = self._adapted_at = view.now
        if view.now - self._adapted_at >= ADAPT_S:
            self._adapted_at = view.now
            self._adapt(view)
        active = view.free + len(view.talking)
        ringing = sum(len(each.ringing) for each in view.campaigns)
        calls = min(int(active * self.level) - ringing - view.waiting - len(view.talking), view.lines)
        placed = {}
        weight = sum(each.weight for each in view.campaigns)
        for each in view.campaigns:
            share = max(0, min(round(calls * each.weight / weight), each.callable))
            placed[each.id] = share
            calls -= share
            weight -= each.weight
        return placed

    def _adapt(self, view: QueueView) -> None:
        agents = view.free + len(view.talking) + len(view.wrapping)
        if not self._is_over(view):
            self.level *= 1 + (view.free - view.waiting) / max(1, agents)
        elif self._method == "hard_limit":
            self.level = 1.0
        else:
            self.level *= BACK_OFF
        self.level = max(1.0, min(self._max_level, self.level))

    def _is_over(self, view: QueueView) -> bool:
        humans = sum(each.humans for each in view.campaigns)
        limit = min(each.cap for each in view.campaigns)
        if self._method == "tapered":
            over = min(1.0, (view.now - (self._began_at or 0.0)) / self._shift_s)
            limit *= LENIENCE + (1 - LENIENCE) * over
        return humans > 0 and sum(each.abandoned for each in view.campaigns) / humans > limit
