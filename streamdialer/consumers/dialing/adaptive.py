"""Adaptive pacing over the ledger: turns a queue's state into what the policy sees, and its decision into levels."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

import msgspec

from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.queue_pacing import CampaignPacing, kept_agents
from streamdialer.ledger.queues import CampaignState, QueueState
from streamdialer.ledger.types import ClaimRequest
from streamdialer.model import CampaignSettings
from streamdialer.pacing.adaptive import AdaptiveDecision, decide_adaptively
from streamdialer.pacing.learning import QueueLearning
from streamdialer.pacing.types import CampaignView, Observation, QueueView
from streamdialer.rules.rule_pack import load_pack

log = logging.getLogger(__name__)
MIN_INTERVAL_S: Final = 0.25
"""Shortest time between two decisions of a campaign, on pacing's clock."""
MAX_INTERVAL_S: Final = 1.0
"""A decision is made after this time even without an event: ringing calls and conversations get older."""
MIN_INTERVAL_REAL_S: Final = 0.05
"""Shortest time between two decisions in real time, however fast pacing's clock runs."""
MIN_ANSWER_RATE: Final = 0.05


class AdaptiveResult(msgspec.Struct, frozen=True):
    """A decision for one campaign, and what it learnt."""

    decision: AdaptiveDecision
    learning: bytes
    ringing: int
    """Unanswered calls the campaign has."""
    queue_ringing: int
    """Unanswered calls of all campaigns of the queue."""
    free_agents: int
    """Those it was made for: a later try of the tick may find fewer."""

    def apply_to(self, claim: ClaimRequest) -> ClaimRequest:
        """The claim with this decision's levels; the script lowers them for each free agent who has gone since."""
        place = self.decision.place
        return msgspec.structs.replace(
            claim,
            level=self.ringing + place,
            queue_level=self.queue_ringing + place,
            free_agents=self.free_agents,
            calls_per_agent=1 / max(MIN_ANSWER_RATE, self.decision.p),
        )


def wants_adaptive(settings: CampaignSettings, ours: Settings) -> bool:
    """Whether adaptive pacing decides for the campaign, or shadows the pacing that does."""
    has_shadow = ours.pacing_shadow == "adaptive" and settings.dial_mode not in ("preview", "agentless")
    return settings.is_adaptive or has_shadow


def min_ring_s(settings: CampaignSettings, ours: Settings) -> float | None:
    """After how long adaptive pacing may take a call back, by the rule pack; None: never."""
    if not (ours.pacing_take_back and settings.is_adaptive):
        return None
    ring = load_pack(settings.rule_pack or "none").min_ring
    return ring.seconds if ring else None


def next_decision_s(adaptive: AdaptiveResult | None, time_scale: float) -> float:
    """When the campaign needs another decision even without an event; `adaptive` None: it decided a moment ago."""
    return max(MIN_INTERVAL_REAL_S, (MIN_INTERVAL_S if adaptive is None else MAX_INTERVAL_S) / time_scale)


def adapt(
    state: QueueState,
    campaign: str,
    pacing: Mapping[str, CampaignPacing],
    time_scale: float,
    min_ring_s: float | None = None,
) -> AdaptiveResult | None:
    """Decides for one campaign of the queue; None when it decided a moment ago.

    Calls of it that have rung `min_ring_s` on pacing's clock may be taken back. Other campaigns are not decided here;
    their current and likely calls still count.
    """
    learning = _learning_of(state)
    earlier = learning.campaigns.get(campaign)
    now = state.ledger_ms / 1000 * time_scale
    min_interval_s = max(MIN_INTERVAL_S, MIN_INTERVAL_REAL_S * time_scale)
    if earlier is not None and earlier.decided is not None and 0 <= now - earlier.decided < min_interval_s:
        return None
    dealt = {name: learnt.dealt for name, learnt in learning.campaigns.items() if name != campaign}
    view = queue_view(state, campaign, pacing, time_scale, min_ring_s)
    decisions = decide_adaptively(learning, view, _observations(state, time_scale))
    for name, tag in dealt.items():
        if name in learning.campaigns:
            learning.campaigns[name].dealt = tag
    learning.campaign(campaign).decided = now
    placed = {member.id: len(member.ringing) for member in state.campaigns}
    return AdaptiveResult(
        decisions[campaign],
        msgspec.json.encode(learning),
        placed[campaign],
        sum(placed.values()),
        state.usable,
    )


def _learning_of(state: QueueState) -> QueueLearning:
    if state.learning is None:
        return QueueLearning()
    try:
        return msgspec.json.decode(state.learning, type=QueueLearning)
    except msgspec.DecodeError as error:  # written by another version: it learns again, cautiously
        log.warning("what pacing had learnt cannot be read: it starts again", extra={"error": str(error)})
        return QueueLearning()


def queue_view(
    state: QueueState,
    campaign: str,
    pacing: Mapping[str, CampaignPacing],
    time_scale: float,
    min_ring_s: float | None = None,
) -> QueueView:
    """The queue on pacing's clock. Campaigns with another pacing keep their calls and get no new ones here.

    `min_ring_s`: how long calls of `campaign` must have rung to be taken back.
    """

    def callable_by(member: CampaignState, member_pacing: CampaignPacing) -> int:
        if not (
            (member_pacing.is_adaptive or member.id == campaign)
            and member_pacing.is_open
            and member.status == "active"
            and not member.is_rate_limited
        ):
            return 0
        return max(0, min(member.ready, member_pacing.max_concurrent - member.placed - member.connected))

    def clock(times_ms: list[int]) -> list[float]:
        return [at / 1000 * time_scale for at in times_ms]

    return QueueView(
        now=state.ledger_ms / 1000 * time_scale,
        free=state.usable,
        waiting=state.waiting + kept_agents(state, pacing),  # as if an incoming call waited for each
        talking=clock(state.talking),
        wrapping=clock(state.wrapping),
        campaigns=[
            CampaignView(
                id=member.id,
                ringing=clock(member.ringing),
                callable=callable_by(member, pacing[member.id]),
                ratio=pacing[member.id].ratio,
                weight=pacing[member.id].weight,
                cap=pacing[member.id].cap,
                answered_by_person=member.answered_by_person,
                abandoned=member.abandoned,
                min_ring_s=min_ring_s if member.id == campaign else None,
            )
            for member in state.campaigns
            if member.id in pacing
        ],
    )


def _observations(state: QueueState, time_scale: float) -> list[Observation]:
    return [
        Observation(at / 1000 * time_scale, what, took / 1000 * time_scale, campaign)
        for what, at, took, campaign in state.observations
    ]
