"""What the campaigns of a queue know about each other's pacing, and the queue as pacing sees it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from streamdialer.ledger.queues import QueueState
from streamdialer.ledger.types import Limits
from streamdialer.model import CampaignSettings, DialMode
from streamdialer.pacing.decide import CampaignLoad, Snapshot
from streamdialer.pacing.dial_modes import calls_per_agent
from streamdialer.rules.abandonment import abandon_limit

MAX_NAME_CHARS: Final = 80


class CampaignPacing(msgspec.Struct, frozen=True, kw_only=True):
    """What the other campaigns of a queue must know about one campaign's pacing; stored in the ledger."""

    mode: DialMode
    ratio: float
    weight: float
    max_concurrent: int
    is_open: bool
    is_adaptive: bool
    cap: float
    window_h: int
    calls_per_agent: float = 1.0
    """How many unanswered calls one free agent stands for; `lua/lib/shared_agents.lua` reads it."""
    reserve_agents: int = 0
    """Free agents its queue keeps for incoming calls; `lua/lib/shared_agents.lua` reads it and `is_open`, too."""
    deadline_ms: int | None = None
    """From sending to the deadline of a silent attempt, None: the setting's; `lua/queue_snapshot.lua` reads it."""
    name: str = ""
    """The campaign's name, for `top` and the dashboard."""


@lru_cache(maxsize=4096)
def read_pacing(stored: str) -> CampaignPacing:
    """What `CampaignLedger.register` stored; the ticks of a queue read the same texts again and again."""
    return msgspec.json.decode(stored, type=CampaignPacing)


def campaign_pacing(settings: CampaignSettings, limits: Limits, *, is_open: bool) -> CampaignPacing:
    """The pacing of one campaign."""
    cap, window_h = abandon_limit(settings)
    return CampaignPacing(
        mode=settings.dial_mode,
        ratio=settings.pacing_ratio,
        weight=settings.weight,
        max_concurrent=settings.max_concurrent_calls,
        is_open=is_open,
        is_adaptive=settings.is_adaptive,
        cap=cap,
        window_h=window_h,
        calls_per_agent=calls_per_agent(settings.dial_mode, settings.pacing_ratio),
        reserve_agents=settings.reserve_agents,
        deadline_ms=limits.deadline_after(settings.ring_timeout),
        name=settings.name[:MAX_NAME_CHARS] if isinstance(settings.name, str) else "",
    )


def queue_pacing(
    state: QueueState, campaign: str, settings: CampaignSettings, limits: Limits
) -> dict[str, CampaignPacing]:
    """The pacing of each campaign of the queue that is registered; of `campaign`, the newest."""
    shared = {member.id: read_pacing(member.pacing) for member in state.campaigns if member.pacing}
    return shared | {campaign: campaign_pacing(settings, limits, is_open=True)}


def kept_agents(state: QueueState, shared: Mapping[str, CampaignPacing]) -> int:
    """Free agents that all campaigns of the queue leave free: the most that one of those that are dialed asks for."""
    dialed = [shared[each.id] for each in state.campaigns if each.id in shared and each.status == "active"]
    return max((pacing.reserve_agents for pacing in dialed if pacing.is_open), default=0)


def snapshot_of(state: QueueState, shared: Mapping[str, CampaignPacing]) -> Snapshot:
    """The queue as the fixed modes see it."""
    return Snapshot(
        free_agents=max(0, state.usable - kept_agents(state, shared)),
        campaigns={
            member.id: CampaignLoad(
                mode=shared[member.id].mode,
                ratio=shared[member.id].ratio,
                weight=shared[member.id].weight,
                unanswered=member.placed,
                live=member.placed + member.connected,
                ready=member.ready,
                max_concurrent=shared[member.id].max_concurrent,
                served_ms=member.served,
                is_open=member.status == "active"
                and not member.is_rate_limited
                and shared[member.id].is_open,
            )
            for member in state.campaigns
            if member.id in shared
        },
    )
