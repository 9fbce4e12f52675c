"""Sharing one queue's free agents among its campaigns: weighted max-min fairness, and no agent idle by rule.

Agents are dealt one at a time to the claimant that has least for its weight. Calls that are already
unanswered hold their agents first, whoever placed them, so that campaigns together never outgrow the queue.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

import msgspec

from streamdialer.pacing.dial_modes import agents_for


class ClaimShare(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign asking for agents of the queue."""

    campaign: str
    weight: float = 1.0
    served_ms: int = 0
    """When it was last given calls."""
    demand_calls: int
    """Unanswered calls it could have: those it has and the contacts it may still call."""
    calls_per_agent: float = 1.0
    is_open: bool = True
    unanswered: int = 0
    """Unanswered calls it has; they hold agents even when it is not open."""


def share_agents(free_agents: int, campaigns: Sequence[ClaimShare]) -> dict[str, int]:
    """Whole agents for each campaign, together no more than `free_agents`.

    First come the agents that unanswered calls hold, then the rest up to each one's demand. A claimant that
    is not open, or demands nothing, gets 0; agents its ringing calls hold are given to nobody else.
    """
    given = {claimant.campaign: 0 for claimant in campaigns}
    held = {c.campaign: agents_for(c.unanswered, c.calls_per_agent) for c in campaigns}
    needed = {c.campaign: agents_for(c.demand_calls, c.calls_per_agent) for c in campaigns if c.is_open}
    left = _deal(free_agents, campaigns, held, given)
    _deal(left, campaigns, needed, given)
    return {c.campaign: min(given[c.campaign], needed.get(c.campaign, 0)) for c in campaigns}


def _deal(
    agents: int, campaigns: Sequence[ClaimShare], limits: Mapping[str, int], given: dict[str, int]
) -> int:
    """Raises `given` towards `limits`, an agent at a time to the least served; returns the agents left."""
    heap = [
        (given[c.campaign] / c.weight, c.served_ms, c.campaign, c.weight)
        for c in campaigns
        if given[c.campaign] < limits.get(c.campaign, 0)
    ]
    heapq.heapify(heap)
    while agents > 0 and heap:
        _, served_ms, campaign, weight = heap[0]
        given[campaign] += 1
        agents -= 1
        if given[campaign] < limits[campaign]:
            heapq.heapreplace(heap, (given[campaign] / weight, served_ms, campaign, weight))
        else:
            heapq.heappop(heap)
    return max(0, agents)
