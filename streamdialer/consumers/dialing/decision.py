"""The decision of a dial tick: from its inputs to the claim it asks for. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from streamdialer.consumers.dialing.adaptive import AdaptiveResult, adapt
from streamdialer.consumers.dialing.inputs import DialInputs
from streamdialer.consumers.dialing.queue_pacing import kept_agents, snapshot_of
from streamdialer.ledger.types import ClaimRequest
from streamdialer.pacing.decide import Decision, decide, decide_agentless
from streamdialer.pacing.dial_modes import calls_per_agent
from streamdialer.rules.calling_hours import pack_version
from streamdialer.rules.caps import caps_of

CLAIM_BATCH: Final = 500


class DialDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What one try of a dial tick has decided."""

    fixed: Decision
    """The decision by the campaign's mode and ratio."""
    adaptive: AdaptiveResult | None = None
    """The decision of adaptive pacing, where it decides or shadows."""
    is_new: bool = False
    """Adaptive pacing decided in this try; what it learnt is to be saved."""
    needs_timer: bool = False
    """Adaptive pacing must decide again soon, whatever happens."""
    claim: ClaimRequest | None
    """None: adaptive pacing decided a moment ago, so this try claims nothing."""

    @property
    def take_back(self) -> int:
        """How many ringing calls are unwanted by now."""
        return self.adaptive.decision.take_back if self.adaptive and self.is_new else 0

    def without_adaptive(self) -> DialDecision:
        """The decision when another process has decided for the queue meanwhile."""
        claim = None if self.needs_timer else self.claim
        return msgspec.structs.replace(self, adaptive=None, is_new=False, claim=claim)


def decide_claim(inputs: DialInputs, token: str, before: DialDecision | None = None) -> DialDecision:
    """How many calls the campaign may have in flight, and under which limits; `token` names the claim.

    `before` is the decision of an earlier try of this tick: adaptive pacing decides once per tick.
    """
    campaign, queue = inputs.campaign, inputs.queue
    is_adaptive = campaign.settings.is_adaptive
    snapshot = snapshot_of(queue, inputs.pacing)
    slots = campaign.settings.slots if campaign.settings.is_agentless else None
    fixed = (
        decide(snapshot, campaign.id)
        if slots is None
        else decide_agentless(snapshot.campaigns[campaign.id], slots)
    )
    claim = _claim(inputs, token, fixed.level)
    if not inputs.wants_adaptive:
        return DialDecision(fixed=fixed, claim=claim)
    own = next(state for state in queue.campaigns if state.id == campaign.id)
    may_take_back = inputs.min_ring_s is not None and own.ringing
    if is_adaptive and not own.ready and not may_take_back:
        # Nothing to decide, and no timer: the observations wait for the next decision.
        return DialDecision(fixed=fixed, claim=msgspec.structs.replace(claim, level=0))
    earlier = before.adaptive if before else None
    adaptive = earlier or adapt(queue, campaign.id, inputs.pacing, inputs.time_scale, inputs.min_ring_s)
    is_new = adaptive is not None and earlier is None
    if not is_adaptive:  # a shadow: it decides for the record only
        return DialDecision(fixed=fixed, adaptive=adaptive, is_new=is_new, claim=claim)
    adapted = adaptive.apply_to(claim) if adaptive else None
    return DialDecision(fixed=fixed, adaptive=adaptive, is_new=is_new, needs_timer=True, claim=adapted)


def _claim(inputs: DialInputs, token: str, level: int) -> ClaimRequest:
    campaign, queue, pacing = inputs.campaign, inputs.queue, inputs.pacing
    settings = campaign.settings
    return ClaimRequest(
        token=token,
        level=level,
        free_agents=queue.usable,
        calls_per_agent=calls_per_agent(settings.dial_mode, settings.pacing_ratio),
        max_concurrent=settings.max_concurrent_calls,
        kept_agents=kept_agents(queue, pacing),
        auto_pause=bool(settings.auto_pause),
        slots=settings.slots if settings.is_agentless else None,
        batch=CLAIM_BATCH,
        open_until_ms=campaign.opening.until_ms,
        retry=campaign.retry,
        rules=pack_version(campaign.hours.pack),
        caps=caps_of(campaign.hours.pack, settings),
        hours=inputs.zone_hours,
        hours_fingerprint=campaign.hours.fingerprint,
        rate_limits=inputs.rate_limits,
        caller_id=settings.caller_id,
        caller_ids=inputs.caller_ids,
        ring_timeout_s=settings.ring_timeout,
        on_machine=settings.machine_action,
        sharing=inputs.sharing,
        counts_listed=inputs.counts_listed,
        others={
            other.id: pacing[other.id].calls_per_agent if other.id in pacing else 1.0
            for other in queue.campaigns
            if other.id != campaign.id
        },
    )
