"""Shares one queue's free agents among its campaigns: weighted max-min fairness, and no agent is left idle for it.

Agents are dealt one at a time to the campaign that has the fewest for its weight. Unanswered calls hold their agents
first, so the campaigns together never have more calls than the queue has agents for.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

import msgspec

from streamdialer.pacing.dial_modes import agents_for


class ClaimShare(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign's claim on the agents of the queue."""

    campaign: str
    weight: float = 1.0
    served_ms: int = 0
    """When it was last given calls."""
    demand_calls: int
    """Unanswered calls it could have: those it has, and one for each contact it may still call."""
    calls_per_agent: float = 1.0
    is_open: bool = True
    unanswered: int = 0
    """Unanswered calls it has; they hold agents even when it is not open."""


def share_agents(free_agents: int, campaigns: Sequence[ClaimShare]) -> dict[str, int]:
    """Whole agents for each campaign, together no more than `free_agents`.

    Agents that unanswered calls hold come first, then the rest up to each campaign's demand. A campaign that is not
    open, or has no demand, gets 0; the agents its ringing calls hold go to no other campaign.
    """
    shares = {c.campaign: 0 for c in campaigns}
    held = {c.campaign: agents_for(c.unanswered, c.calls_per_agent) for c in campaigns}
    needed = {c.campaign: agents_for(c.demand_calls, c.calls_per_agent) for c in campaigns if c.is_open}
    left = _deal(free_agents, campaigns, held, shares)
    _deal(left, campaigns, needed, shares)
    return {c.campaign: min(shares[c.campaign], needed.get(c.campaign, 0)) for c in campaigns}


def _deal(
    agents: int, campaigns: Sequence[ClaimShare], limits: Mapping[str, int], shares: dict[str, int]
) -> int:
    """Raises `shares` towards `limits`, one agent at a time to the least served; returns the agents left."""
    heap = [
        (shares[c.campaign] / c.weight, c.served_ms, c.campaign, c.weight)
        for c in campaigns
        if shares[c.campaign] < limits.get(c.campaign, 0)
    ]
    heapq.heapify(heap)
    while agents > 0 and heap:
        _, served_ms, campaign, weight = heap[0]
        shares[campaign] += 1
        agents -= 1
        if shares[campaign] < limits[campaign]:
            heapq.heapreplace(heap, (shares[campaign] / weight, served_ms, campaign, weight))
        else:
            heapq.heappop(heap)
    return max(0, agents)
