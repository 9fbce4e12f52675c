"""The decision of a dial tick: a snapshot of a queue and its campaigns in, a level for one campaign out.

The level is what the claim may fill up to. The claim itself checks the cap of live calls, the window and the
status once more; here they shape the share, so that no agent is kept for calls that could not be placed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from streamdialer.model import DialMode
from streamdialer.pacing.dial_modes import calls_per_agent, calls_wanted, level
from streamdialer.pacing.sharing import ClaimShare, share_agents

Limit = Literal["preview", "closed", "no_agents", "no_contacts", "concurrency", "agents_shared", "agents"]
"""What bound: `preview` dials nothing by itself; `closed`, the campaign may not dial now; `no_agents`, none
is free; `no_contacts`, fewer are ready than could be called; `concurrency`, the cap of live calls;
`agents_shared`, other campaigns have the agents; `agents`, the mode's own formula over all free agents."""


class CampaignLoad(msgspec.Struct, frozen=True, kw_only=True):
    """What pacing must know of one campaign of the queue."""

    mode: DialMode
    ratio: float
    weight: float = 1.0
    unanswered: int = 0
    """Reserved, sent and ringing calls."""
    live: int = 0
    """Those and the connected ones."""
    ready: int = 0
    """Contacts that may be called now."""
    max_concurrent: int
    served_ms: int = 0
    is_open: bool = True
    """Active, its window open, not on hold."""

    @property
    def room(self) -> int:
        """Calls the cap of live calls still allows."""
        return max(0, self.max_concurrent - self.live)


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One queue at one instant: its agents and every campaign that uses them."""

    free_agents: int
    busy_agents: int = 0
    campaigns: Mapping[str, CampaignLoad]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What one campaign may do now."""

    level: int
    """Most reserved and unanswered calls it may have after the claim."""
    wanted: int
    """Calls its formula alone would place now, had it the queue to itself."""
    share: int
    """Free agents it was given."""
    limit: Limit
    """What bound."""


def decide(snapshot: Snapshot, campaign: str) -> Decision:
    """How many unanswered calls `campaign` may have now; KeyError when the snapshot does not know it."""
    load = snapshot.campaigns[campaign]
    shares = share_agents(
        snapshot.free_agents, [_claimant(name, other) for name, other in snapshot.campaigns.items()]
    )
    share = shares[campaign]
    wanted = 0
    if load.is_open:
        wanted = calls_wanted(
            load.mode, snapshot.free_agents, load.ratio, load.unanswered, load.live, load.max_concurrent
        )
    return Decision(
        level=level(load.mode, share, load.ratio),
        wanted=wanted,
        share=share,
        limit=_limit(snapshot.free_agents, load, share),
    )


def _claimant(campaign: str, load: CampaignLoad) -> ClaimShare:
    callable_now = 0 if load.mode == "preview" else min(load.ready, load.room)
    return ClaimShare(
        campaign=campaign,
        weight=load.weight,
        served_ms=load.served_ms,
        demand_calls=load.unanswered + callable_now,
        calls_per_agent=calls_per_agent(load.mode, load.ratio),
        is_open=load.is_open,
        unanswered=load.unanswered,
    )


def _limit(free_agents: int, load: CampaignLoad, share: int) -> Limit:
    """The first of the limits, from the widest to the narrowest, that says why no more calls are placed."""
    if load.mode == "preview":
        return "preview"
    if not load.is_open:
        return "closed"
    if free_agents <= 0:
        return "no_agents"
    if max(0, level(load.mode, share, load.ratio) - load.unanswered) >= min(load.ready, load.room):
        return "concurrency" if load.room < load.ready else "no_contacts"
    return "agents_shared" if share < free_agents else "agents"
