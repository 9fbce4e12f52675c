"""The decision of a dial tick with fixed pacing: a snapshot of a queue in, a level for one campaign out.

The claim places calls up to the level. It checks the cap of live calls, the calling window and the status again. They
count here too, so that no agent is set aside for calls that cannot be placed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from streamdialer.model import DialMode
from streamdialer.pacing.dial_modes import calls_per_agent, level
from streamdialer.pacing.sharing import ClaimShare, share_agents

Limit = Literal[
    "preview", "closed", "no_agents", "no_contacts", "concurrency", "agents_shared", "agents", "slots"
]
"""What limits the calls. `preview`: the mode dials nothing by itself. `closed`: the campaign may not dial now.
`no_agents`: no agent is free. `no_contacts`: fewer contacts are ready than could be called. `concurrency`: the cap of
live calls. `agents_shared`: other campaigns use the agents. `agents`: the mode's formula over all free agents.
`slots`: those of an agentless campaign."""


class CampaignLoad(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign of the queue, as pacing needs it."""

    mode: DialMode
    ratio: float
    weight: float = 1.0
    unanswered: int = 0
    """Reserved, sent and ringing calls."""
    live: int = 0
    """Those and the connected calls."""
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
    campaigns: Mapping[str, CampaignLoad]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """How many calls one campaign may have now, and why."""

    level: int
    """Most reserved and unanswered calls it may have after the claim."""
    wanted: int
    """Calls it would place now if it had the queue to itself."""
    share: int
    """Its share of the free agents."""
    limit: Limit


def decide(snapshot: Snapshot, campaign: str) -> Decision:
    """How many unanswered calls `campaign` may have now; KeyError when it is not in the snapshot."""
    load = snapshot.campaigns[campaign]
    share = _shares(snapshot)[campaign]
    wanted = 0
    if load.is_open:
        alone = level(load.mode, snapshot.free_agents, load.ratio)
        wanted = max(0, min(alone - load.unanswered, load.room))
    return Decision(
        level=level(load.mode, share, load.ratio),
        wanted=wanted,
        share=share,
        limit=_limit(snapshot.free_agents, load, share),
    )


def decide_agentless(load: CampaignLoad, slots: int) -> Decision:
    """How many calls an agentless campaign may have: no agent counts, its slots do. They ramp up in the claim."""
    wanted = max(0, min(slots - load.live, load.room)) if load.is_open else 0
    limit: Limit = "slots"
    if not load.is_open:
        limit = "closed"
    elif wanted > load.ready:
        limit = "no_contacts"
    elif load.room < slots - load.live:
        limit = "concurrency"
    return Decision(level=slots, wanted=wanted, share=0, limit=limit)


def calls_to_place(snapshot: Snapshot) -> tuple[dict[str, int], int]:
    """How many calls each campaign may place now, and the free agents that are left: `decide` for all campaigns."""
    shares = _shares(snapshot)
    calls = {
        campaign: max(0, min(level(load.mode, shares[campaign], load.ratio) - load.unanswered, load.room))
        for campaign, load in snapshot.campaigns.items()
    }
    return calls, max(0, snapshot.free_agents - sum(shares.values()))


def _shares(snapshot: Snapshot) -> dict[str, int]:
    return share_agents(
        snapshot.free_agents, [_claim_share(name, load) for name, load in snapshot.campaigns.items()]
    )


def _claim_share(campaign: str, load: CampaignLoad) -> ClaimShare:
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
    """The first limit, from the widest to the narrowest, that explains why no more calls are placed."""
    if load.mode == "preview":
        return "preview"
    if not load.is_open:
        return "closed"
    if free_agents <= 0:
        return "no_agents"
    if max(0, level(load.mode, share, load.ratio) - load.unanswered) >= min(load.ready, load.room):
        return "concurrency" if load.room < load.ready else "no_contacts"
    return "agents_shared" if share < free_agents else "agents"
