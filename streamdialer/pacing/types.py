"""What a pacing policy sees and what it answers: the same in production, in the simulator and in tests.

A view is one queue in one instant; what was seen since the last view is told beside it. Nothing here knows how a call
will end: a policy that is told more than this is a bound, not a rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from streamdialer.model import ObservationKind


class Observation(msgspec.Struct, frozen=True, gc=False):
    """Something that happened since the last view."""

    at: float
    """Seconds, on the view's clock."""
    what: ObservationKind
    seconds: float = 0.0
    """From the placing of the call to the answer or to its end; of the talk or the wrap-up."""
    campaign: str = ""
    """Empty for the work of an agent."""


class CampaignView(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign of the queue."""

    id: str
    ringing: Sequence[float] = ()
    """When each unanswered call was placed, seconds, oldest first."""
    callable: int = 0
    """Calls that could be placed now: contacts ready, within the cap of live calls; 0 when it may not dial."""
    ratio: float = 1.0
    """`pacing_ratio`; an adaptive policy does without."""
    weight: float = 1.0
    cap: float = 0.03
    """Most abandoned calls per call answered by a person, within the window of the rule pack."""
    humans: float = 0.0
    """Calls answered by a person within that window."""
    abandoned: float = 0.0
    """Those of them that were abandoned."""


class QueueView(msgspec.Struct, frozen=True, kw_only=True):
    """One queue in one instant. All times are seconds on one clock."""

    now: float
    free: int
    """Agents who could take a call this instant."""
    waiting: int = 0
    """People who have answered and have no agent yet."""
    talking: Sequence[float] = ()
    """Since when each talking agent talks."""
    wrapping: Sequence[float] = ()
    """Since when each agent in wrap-up is."""
    lines: int = 1_000_000_000
    """Calls the trunk can still take."""
    campaigns: Sequence[CampaignView] = ()


class Policy(Protocol):
    """Decides how many calls to place. One object serves one queue for as long as the queue is dialed."""

    @property
    def every_s(self) -> float | None:
        """Seconds between its ticks; None: it is asked on events, at most four times a second, and every second."""

    def place(self, view: QueueView, seen: Sequence[Observation]) -> Mapping[str, int]:
        """Calls to place now, by campaign; what is left out places none."""
