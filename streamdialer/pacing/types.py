"""What a pacing policy sees and returns: the same in production, in the simulator and in tests.

A view is one queue at one instant; the observations since the last view come with it. Nothing here says how a call will
end: a policy that knows more is a bound for the others, not a rule.
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
    """From placing the call to its answer or its end; for agents, the length of the talk or the wrap-up."""
    campaign: str = ""
    """Empty for an agent's talk or wrap-up."""


class CampaignView(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign of the queue."""

    id: str
    ringing: Sequence[float] = ()
    """When each unanswered call was placed, seconds, oldest first."""
    callable: int = 0
    """Calls that could be placed now: ready contacts within the cap of live calls; 0 when it may not dial."""
    ratio: float = 1.0
    """`pacing_ratio`; an adaptive policy does not use it."""
    weight: float = 1.0
    cap: float = 0.03
    """Most abandoned calls per call answered by a person, within the window of the rule pack."""
    answered_by_person: float = 0.0
    """Calls answered by a person within that window."""
    abandoned: float = 0.0
    """Those of them that were abandoned."""
    min_ring_s: float | None = None
    """Calls that have rung for so long may be taken back; None: no call may."""


class QueueView(msgspec.Struct, frozen=True, kw_only=True):
    """One queue at one instant. All times are seconds on one clock."""

    now: float
    free: int
    """Agents who could take a call now."""
    waiting: int = 0
    """People who answered and have no agent yet."""
    talking: Sequence[float] = ()
    """When the talk of each talking agent began."""
    wrapping: Sequence[float] = ()
    """When the wrap-up of each agent in wrap-up began."""
    lines: int = 1_000_000_000
    """Calls the trunk can still take."""
    campaigns: Sequence[CampaignView] = ()


class Policy(Protocol):
    """Decides how many calls to place. One object serves one queue for as long as the queue is dialed."""

    @property
    def interval_s(self) -> float | None:
        """Seconds between its ticks. None: it decides on events, at most four times a second, and every second."""

    def place(self, view: QueueView, observations: Sequence[Observation]) -> Mapping[str, int]:
        """Calls to place now, by campaign; a campaign that is left out places none."""
