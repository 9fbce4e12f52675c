"""What the campaigns of a queue know of each other's pacing, and the queue as pacing sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from streamdialer.ledger import QueueState
from streamdialer.model import CampaignSettings, DialMode
from streamdialer.pacing import CampaignLoad, Snapshot, calls_per_agent
from streamdialer.rules import abandon_limit

LONGEST_NAME: Final = 80


class PacingShared(msgspec.Struct, frozen=True, kw_only=True):
    """What the other campaigns of a queue must know of one campaign's pacing; kept in the ledger."""

    mode: DialMode
    ratio: float
    weight: float
    max_concurrent: int
    is_open: bool
    is_adaptive: bool
    cap: float
    window_h: int
    name: str = ""
    """What people call the campaign, for whoever looks."""

    @property
    def calls_per_agent(self) -> float:
        return calls_per_agent(self.mode, self.ratio)


def shared_of(settings: CampaignSettings, *, is_open: bool) -> PacingShared:
    """One campaign's part."""
    cap, window_h = abandon_limit(settings)
    return PacingShared(
        mode=settings.dial_mode,
        ratio=settings.pacing_ratio,
        weight=settings.weight,
        max_concurrent=settings.max_concurrent_calls,
        is_open=is_open,
        is_adaptive=settings.is_adaptive,
        cap=cap,
        window_h=window_h,
        name=settings.name[:LONGEST_NAME] if isinstance(settings.name, str) else "",
    )


def shared_by_all(state: QueueState, campaign: str, settings: CampaignSettings) -> dict[str, PacingShared]:
    """The parts of all campaigns of the queue that have said theirs; the newest of `campaign`, which is dialed."""
    shared = {
        one.id: msgspec.json.decode(one.pacing, type=PacingShared) for one in state.campaigns if one.pacing
    }
    return shared | {campaign: shared_of(settings, is_open=True)}


def snapshot_of(state: QueueState, shared: Mapping[str, PacingShared]) -> Snapshot:
    """The queue as the fixed modes see it."""
    return Snapshot(
        free_agents=state.free,
        busy_agents=state.busy,
        campaigns={
            one.id: CampaignLoad(
                mode=shared[one.id].mode,
                ratio=shared[one.id].ratio,
                weight=shared[one.id].weight,
                unanswered=one.placed,
                live=one.placed + one.connected,
                ready=one.ready,
                max_concurrent=shared[one.id].max_concurrent,
                served_ms=one.served,
                is_open=one.status == "active" and not one.held and shared[one.id].is_open,
            )
            for one in state.campaigns
            if one.id in shared
        },
    )
