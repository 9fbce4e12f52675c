"""The dial tick: inputs, a pure decision, one claim, a record; again when the claim finds an input out of date."""

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final

import msgspec

from streamdialer.consumers.dialing.adaptive import next_decision_s, wants_adaptive
from streamdialer.consumers.dialing.agent_lists import AgentLists
from streamdialer.consumers.dialing.calling_hours import recheck_deferred
from streamdialer.consumers.dialing.campaign_cache import CampaignCache
from streamdialer.consumers.dialing.decision import DialDecision, decide_claim
from streamdialer.consumers.dialing.decision_lock import Acquired, DecisionLock
from streamdialer.consumers.dialing.idle import IdleCampaigns
from streamdialer.consumers.dialing.inputs import DialedCampaign, DialInputs, InputReader, Outdated
from streamdialer.consumers.dialing.outcome import OUTDATED_BY_REASON, DialOutcome, merge_claims
from streamdialer.consumers.dialing.pending_check import PendingCheck
from streamdialer.consumers.dialing.record import (
    record_closed_window,
    record_inactive,
    record_outcome,
)
from streamdialer.consumers.dialing.refill import Refill
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.services import Services
from streamdialer.errors import CampaignError, CredentialsRefused, RefusedByServer, Throttled, Unreachable
from streamdialer.ledger.ticks import ResultWithoutContacts, TickStart
from streamdialer.ledger.types import ClaimResult, ledger_limits
from streamdialer.model import Tick, TickResult
from streamdialer.observability import tracing
from streamdialer.rules.retry import retry_plan

log = logging.getLogger(__name__)
MAX_CLAIMS: Final = 3
MIN_RETRY_S: Final = 0.2
"""Shortest time after which a campaign dials again because of what its own claim said."""
READ_ON_S: Final = 1.0
"""When a campaign without ready contacts goes on reading a long list, or checks whether it has been rebuilt."""
LOCK_TTL_S: Final = 60.0


def reason_of(error: Unreachable | RefusedByServer, server: str) -> str:
    """The reason code of a tick that a server stopped."""
    if isinstance(error, CredentialsRefused):
        return f"{server}_credentials"
    if isinstance(error, Throttled):
        return f"{server}_throttled"
    return f"{server}_refused" if isinstance(error, RefusedByServer) else f"{server}_unreachable"


class DialTick:
    """Runs dial ticks."""

    def __init__(self, services: Services, refill: Refill, wakeups: WakeupScheduler) -> None:
        self._services = services
        self._refill = refill
        self._wakeups = wakeups
        self.agent_lists = AgentLists(services, wakeups)
        self.reader = InputReader(services, refill, self.agent_lists)
        self.campaigns = CampaignCache(services, wakeups)
        self._pending_check = PendingCheck(services)
        self._decision_lock = DecisionLock(LOCK_TTL_S)
        self._limits = ledger_limits(services.settings)
        self._idle = IdleCampaigns()

    def without_contacts(self, campaign: str, keep_s: float) -> ResultWithoutContacts | None:
        """The result of the next tick if no contact may be placed; None when the tick must decide."""
        settings = self.campaigns.known(campaign)
        if settings is None or self._refill.is_due(campaign, 0):
            return None
        idle = self._idle.decision_of(campaign, settings)
        if idle is None:
            return None
        return ResultWithoutContacts(
            result=msgspec.structs.replace(idle.result),  # the tick completes it
            decided_ms=idle.decided_ms,
            deadline_ms=self._limits.deadline_after(settings.ring_timeout),
            keep_s=keep_s,
        )

    async def dial(self, tick: Tick, start: TickStart) -> TickResult:
        """One decision of one campaign; never raises for what a campaign or a server does wrong."""
        result = TickResult(
            status="skipped", kind="dial", campaign_id=tick.campaign, dialed=0, failed=0, at=start.server_ms
        )
        self._idle.forget(tick.campaign)
        if start.status != "active":
            record_inactive(result, start.status)
            return result
        try:
            campaign = await self._campaign(tick.campaign, start)
            is_registered = await self.reader.register(campaign, before=start.queue)
            if not campaign.opening.is_open:
                record_closed_window(result, campaign)
                return result
            outdated = self.reader.outdated(campaign)
            if not is_registered:
                outdated.add("queue")
            with tracing.span("decide", campaign=tick.campaign):
                await self._decide_and_claim(tick, campaign, outdated, result)
                tracing.set_attributes(wanted=result.wanted, level=result.level, limit=result.limit)
        except CampaignError as error:
            result.status, result.reason, result.detail = "error", "invalid_campaign", str(error)
            if queue := await self.reader.unregister(tick.campaign):
                self._wakeups.queue(queue)
        except Unreachable as error:
            result.status, result.reason, result.detail = "error", reason_of(error, "backend"), str(error)
        return result

    async def _campaign(self, campaign: str, start: TickStart) -> DialedCampaign:
        """Raises CampaignError or Unreachable."""
        settings = await self.campaigns.settings_of(campaign)
        hours = self._refill.hours.of(campaign, settings, start.server_ms)
        return DialedCampaign(
            id=campaign,
            settings=settings,
            settings_age_s=self.campaigns.age_s(campaign),
            hours=hours,
            opening=hours.window.opening_at(start.server_ms),
            retry=retry_plan(settings),
            start=start,
        )

    async def _decide_and_claim(
        self, tick: Tick, campaign: DialedCampaign, outdated: set[Outdated], result: TickResult
    ) -> None:
        """Raises Unreachable when a server that is needed does not answer."""
        outcome, retries = DialOutcome(), list[Outdated]()
        counts_listed, is_refilled = True, False
        if "agents" in outdated and self.reader.can_go_ahead(campaign):
            outdated, counts_listed = outdated - {"agents"}, False
        for number in range(MAX_CLAIMS):
            is_refilled = await self.reader.refresh(campaign, outdated) or is_refilled
            outcome = await self._claim(campaign, f"{tick.id}.{number}", outcome, counts_listed=counts_listed)
            if outcome.outdated is None:
                break
            outdated = {outcome.outdated}
            retries.append(outcome.outdated)
        refilled = self._refill.last(campaign.id)
        record_outcome(result, campaign, outcome, retries, refilled, is_refilled=is_refilled)
        await self._follow_up(campaign, outcome)
        if outcome.is_idle:
            self._idle.note(campaign, result)

    async def _claim(
        self, campaign: DialedCampaign, token: str, before: DialOutcome, *, counts_listed: bool
    ) -> DialOutcome:
        """One try: reads the inputs at one instant, decides, claims."""
        async with self._lock(campaign) as acquired:
            if acquired == "duplicate":
                return msgspec.structs.replace(before, outdated=None, is_throttled=True)
            inputs = await self.reader.read(campaign, before.claimed, counts_listed=counts_listed)
            if inputs is None:
                return msgspec.structs.replace(before, outdated="queue")
            decision = decide_claim(inputs, token, before.decision)
            if not await self._save_learning(inputs, decision):
                decision = decision.without_adaptive()
            if decision.needs_timer:
                pause_s = next_decision_s(decision.adaptive, inputs.time_scale)
                self._wakeups.campaign_within(campaign.id, pause_s)
            if decision.claim is None:
                return msgspec.structs.replace(before, outdated=None, is_throttled=True)
            claimed = await self._services.campaigns.reserve_contacts(
                campaign.id, campaign.queue, decision.claim
            )
            if decision.take_back and inputs.min_ring_s is not None:
                min_ring_s = inputs.min_ring_s / inputs.time_scale
                await self._services.campaigns.take_back_calls(campaign.id, decision.take_back, min_ring_s)
        outdated = OUTDATED_BY_REASON.get(claimed.reason or "", "hours" if claimed.missing else None)
        merged = merge_claims(before.claimed, claimed)
        if claimed.stale and outdated is None and await self._verify_pending(campaign, merged):
            outdated = None if merged.dialed else "pending"
        return DialOutcome(inputs=inputs, decision=decision, claimed=merged, outdated=outdated)

    async def _save_learning(self, inputs: DialInputs, decision: DialDecision) -> bool:
        """False when another replica has decided for the queue meanwhile."""
        if not decision.is_new or decision.adaptive is None:
            return True
        return await self._services.queues.save_learning(
            inputs.campaign.queue, inputs.queue, decision.adaptive.learning
        )

    def _lock(self, campaign: DialedCampaign) -> AbstractAsyncContextManager[Acquired]:
        if not wants_adaptive(campaign.settings, self._services.settings):
            return nullcontext("acquired")
        return self._decision_lock.acquire(campaign.queue, campaign.id)

    async def _verify_pending(self, campaign: DialedCampaign, claimed: ClaimResult) -> bool:
        """Whether the backend settled any contact that the claim skipped as unverified.

        Raises Unreachable when no contact was dialed.
        """
        try:
            settled = await self._pending_check.confirm(
                campaign.id, campaign.settings, claimed.stale, claimed.ledger_ms
            )
        except Unreachable as error:
            if not claimed.dialed:
                raise
            log.warning(
                "contacts cannot be verified and wait", extra={"campaign": campaign.id, "error": str(error)}
            )
            return False
        return settled > 0

    async def _follow_up(self, campaign: DialedCampaign, outcome: DialOutcome) -> None:
        """Schedules the next tick where the claims showed that there is more to do."""
        claimed, soon_s = outcome.claimed, list[float]()
        if outcome.outdated is not None:
            soon_s.append(READ_ON_S if outcome.outdated == "not_rebuilt" else MIN_RETRY_S)
        if claimed and not claimed.ready and self._refill.last(campaign.id).goes_on_at:
            soon_s.append(READ_ON_S)
        if claimed and claimed.next_ms is not None:
            soon_s.append(max(MIN_RETRY_S, claimed.next_ms / 1000))
        if claimed and claimed.recheck:
            campaigns = self._services.campaigns
            if await recheck_deferred(campaigns, campaign.id, campaign.hours, claimed.server_ms):
                soon_s.append(MIN_RETRY_S)
        if soon_s:
            self._wakeups.campaign_within(campaign.id, min(soon_s), keeps_earlier=True)
        if claimed and claimed.skipped and claimed.limit == "no_contacts":
            self._wakeups.queue(campaign.queue)  # its agents are free for the queue's other campaigns
