"""The dial tick: read settings, agents and queue; decide; claim. In that order and nothing between."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime
from typing import Final

import anyio
import msgspec

from streamdialer.consumers.dialing.adaptive import AdaptivePacing
from streamdialer.consumers.dialing.calling_hours import recheck_deferred
from streamdialer.consumers.dialing.campaign_cache import CampaignCache
from streamdialer.consumers.dialing.decision_lock import Acquired, DecisionLock
from streamdialer.consumers.dialing.pending_check import PendingCheck
from streamdialer.consumers.dialing.queue_pacing import (
    CampaignPacing,
    campaign_pacing,
    queue_pacing,
    snapshot_of,
)
from streamdialer.consumers.dialing.reasons import WHY
from streamdialer.consumers.dialing.refill import Refill, RefillResult
from streamdialer.consumers.dialing.trunks import Trunks
from streamdialer.consumers.services import Services, ledger_limits
from streamdialer.consumers.ttl_cache import TTLCache
from streamdialer.consumers.wakeups import WakeupScheduler
from streamdialer.errors import CampaignError, CredentialsRefused, RefusedByServer, Unreachable
from streamdialer.ledger import ClaimRequest, ClaimResult, QueueState
from streamdialer.model import CampaignSettings, Tick, TickResult
from streamdialer.observability import tracing
from streamdialer.pacing import Decision, calls_per_agent, decide
from streamdialer.rules import CallingHours, caps_of
from streamdialer.rules.retry import RetryPlan, retry_plan
from streamdialer.rules.window import Opening, Window

log = logging.getLogger(__name__)
CLAIM_BATCH: Final = 500
CLAIM_TRIES: Final = 5
MIN_RETRY_S: Final = 0.2
"""Shortest time after which a campaign looks whether its pace allows another call."""
CACHE_TTL_S: Final = 60.0
"""How long a campaign or queue that is not dialed any more stays in this process's memory."""


def reason_of(error: Unreachable | RefusedByServer, server: str) -> str:
    """The reason code of a tick that a server stopped."""
    if isinstance(error, CredentialsRefused):
        return f"{server}_credentials"
    return f"{server}_refused" if isinstance(error, RefusedByServer) else f"{server}_unreachable"


class DialTick:
    """Runs dial ticks."""

    def __init__(self, services: Services, refill: Refill, wakes: WakeupScheduler) -> None:
        self._services = services
        self._refill = refill
        self._confirming = PendingCheck(services)
        self._adaptive = AdaptivePacing(services, wakes)
        self._wakes = wakes
        self._trunks = Trunks(services)
        self._campaigns = CampaignCache(services)
        self._registered: TTLCache[tuple[str, str]] = TTLCache(CACHE_TTL_S)
        self._members: TTLCache[list[str]] = TTLCache(CACHE_TTL_S)
        self._polling: TTLCache[anyio.Lock] = TTLCache(CACHE_TTL_S)
        self._turns = DecisionLock(CACHE_TTL_S)

    async def settings_of(self, campaign: str) -> CampaignSettings:
        """Raises CampaignError or Unreachable."""
        return await self._campaigns.settings_of(campaign)

    async def dial(self, tick: Tick, now_ms: int) -> TickResult:
        """One decision of one campaign; never raises for what a campaign or a server does wrong."""
        result = TickResult(
            status="skipped", kind="dial", campaign_id=tick.campaign, dialed=0, failed=0, at=now_ms
        )
        services = self._services
        status = await services.queues.status_of(tick.campaign)
        if status != "active":
            result.reason = "unknown_campaign" if status is None else "not_active"
            said = (
                "it has no status in Redis" if status is None else f"its status is {status!r}, not 'active'"
            )
            result.detail = f"campaign {tick.campaign} is not dialed: {said}"
            return result
        try:
            campaign = await self.settings_of(tick.campaign)
            hours = self._refill.hours.of(tick.campaign, campaign, now_ms)
            opening = hours.window.around(now_ms)
            retry = retry_plan(campaign)
            await self._register(tick.campaign, campaign, is_open=opening.is_open)
            if not opening.is_open:
                result.reason = "window_closed"
                result.detail = f"{WHY['window_closed']}; {_opening_in_words(hours.window, opening)}"
                return result
            with tracing.span("decide", campaign=tick.campaign):
                await self._decide_and_claim(tick, campaign, retry, hours, opening.until_ms, result)
                tracing.set_attributes(wanted=result.wanted, level=result.level, limit=result.limit)
        except CampaignError as error:
            result.status, result.reason, result.detail = "error", "invalid_campaign", str(error)
            await self._unregister_pacing(tick.campaign)
        except Unreachable as error:
            result.status, result.reason, result.detail = "error", reason_of(error, "backend"), str(error)
        return result

    async def _decide_and_claim(
        self,
        tick: Tick,
        campaign: CampaignSettings,
        retry: RetryPlan,
        hours: CallingHours,
        open_until_ms: int | None,
        result: TickResult,
    ) -> None:
        services = self._services
        for number in range(CLAIM_TRIES):
            state = await self._refresh_snapshot(tick.campaign, campaign, result)
            async with self._turn(tick.campaign, campaign) as turn:
                if turn == "taken":
                    result.reason, result.detail = "throttled", WHY["throttled"]
                    return
                if turn == "waited":
                    state = await self._queue_state(tick.campaign, campaign)
                shared = queue_pacing(state, tick.campaign, campaign)
                decision = decide(snapshot_of(state, shared), tick.campaign)
                wanted = ClaimRequest(
                    token=f"{tick.id}.{number}",
                    level=decision.level,
                    free_agents=state.free,
                    calls_per_agent=calls_per_agent(campaign.dial_mode, campaign.pacing_ratio),
                    max_concurrent=campaign.max_concurrent_calls,
                    batch=CLAIM_BATCH,
                    open_until_ms=open_until_ms,
                    retry=retry,
                    caps=caps_of(hours.pack, campaign),
                    hours_mark=hours.mark,
                    others={
                        other.id: shared[other.id].calls_per_agent if other.id in shared else 1.0
                        for other in state.campaigns
                        if other.id != tick.campaign
                    },
                )
                adapted = await self._adapt(wanted, campaign, state, tick.campaign, shared, result)
                if adapted is None:
                    result.reason, result.detail = "throttled", WHY["throttled"]
                    return
                wanted = adapted
                claimed = await self._trunks.claim(tick.campaign, campaign, wanted, hours, result.at or 0)
            if claimed.next_ms is not None:
                self._wakes.campaign_within(tick.campaign, max(MIN_RETRY_S, claimed.next_ms / 1000))
            if claimed.recheck and await recheck_deferred(
                services.campaigns, tick.campaign, hours, claimed.server_ms
            ):
                self._wakes.campaign_within(tick.campaign, MIN_RETRY_S)
            if claimed.reason == "not_rebuilt":
                await self._refill.rebuild(tick.campaign, campaign)
                continue
            if claimed.reason != "queue_changed":
                is_last = number + 1 == CLAIM_TRIES
                if (
                    claimed.stale
                    and await self._verify_stale(tick.campaign, campaign, claimed)
                    and not is_last
                ):
                    continue
                _record_claim(result, campaign, decision, wanted, claimed)
                return
            self._registered.pop(tick.campaign)
            self._members.pop(campaign.queue_name)
            await self._register(tick.campaign, campaign, is_open=True)
        result.status, result.reason = "error", "queue_changed"
        result.detail = (
            f"the campaigns of queue {campaign.queue_name} kept changing; the next tick tries again"
        )

    def _turn(self, campaign: str, settings: CampaignSettings) -> AbstractAsyncContextManager[Acquired]:
        if not self._adaptive.is_enabled_for(settings):
            return nullcontext("at once")
        return self._turns.turn(settings.queue_name, campaign)

    async def _adapt(
        self,
        wanted: ClaimRequest,
        settings: CampaignSettings,
        state: QueueState,
        campaign: str,
        shared: Mapping[str, CampaignPacing],
        result: TickResult,
    ) -> ClaimRequest | None:
        """The reservation as adaptive pacing wants it; None when it has decided a moment ago."""
        own = next(one for one in state.campaigns if one.id == campaign)
        if settings.is_adaptive and not own.ready:
            # Nothing to decide, and no timer: what was seen waits for the next decision.
            return msgspec.structs.replace(wanted, level=0)
        if not self._adaptive.is_enabled_for(settings):
            return wanted
        adapted = await self._adaptive.decide(settings.queue_name, state, campaign, shared)
        decision = None if adapted is None else msgspec.to_builtins(adapted.decision)
        if not settings.is_adaptive:
            result.shadow = decision
            return wanted
        result.adaptive = decision
        return None if adapted is None else adapted.apply_to(wanted)

    async def _verify_stale(self, campaign: str, settings: CampaignSettings, claimed: ClaimResult) -> bool:
        """Asks the backend for whom the claim passed over; whether to claim again.

        Raises Unreachable when nobody was dialed.
        """
        try:
            settled = await self._confirming.confirm(campaign, settings, claimed.stale, claimed.ledger_ms)
        except Unreachable as error:
            if not claimed.dialed:
                raise
            log.warning(
                "contacts cannot be looked up and wait", extra={"campaign": campaign, "error": str(error)}
            )
            return False
        return settled > 0 and not claimed.dialed

    async def _refresh_snapshot(
        self, campaign: str, settings: CampaignSettings, result: TickResult
    ) -> QueueState:
        """The queue with an agent list and a ready set that are new enough; raises Unreachable."""
        state = await self._queue_state(campaign, settings)
        again = False
        if state.ledger_ms - state.polled > self._services.settings.agents_cache_ttl_s * 1000:
            await self._poll_agents(settings.queue_name, state)
            again = True
        own = next(one for one in state.campaigns if one.id == campaign)
        if self._refill.is_due(campaign, own.ready):
            refilled = await self._refill.pending(campaign, settings, own.ready, state.ledger_ms)
            again = again or refilled.added > 0
            _record_refill(result, refilled)
            if refilled.is_whole and not refilled.added:
                await self._announce_end(campaign)
        return await self._queue_state(campaign, settings) if again else state

    async def _announce_end(self, campaign: str) -> None:
        if await self._services.lists.publish_exhausted(campaign) == "published":
            log.info("campaign is exhausted: nobody is left to be called", extra={"campaign": campaign})

    async def _queue_state(self, campaign: str, settings: CampaignSettings) -> QueueState:
        queue = settings.queue_name
        for _ in range(CLAIM_TRIES):
            members = self._members.get(queue) or []
            members = list(dict.fromkeys([campaign, *members]))
            state = await self._services.queues.snapshot(
                queue,
                members,
                windows_h=self._adaptive.abandon_windows_h(members)
                if self._adaptive.is_enabled_for(settings)
                else None,
                deadline_ms=ledger_limits(self._services.settings).deadline_ms,
            )
            if state is not None:
                return state
            self._members.put(queue, await self._services.queues.campaigns(queue))
        raise Unreachable(f"the campaigns of queue {queue} keep changing")

    async def _poll_agents(self, queue: str, seen: QueueState) -> None:
        """Reads the queue's agents, one reader at a time; raises Unreachable: nothing is guessed."""
        services = self._services
        async with self._polling.put(queue, self._polling.get(queue) or anyio.Lock()):
            asked = await services.queues.begin_agent_poll(queue)
            if asked.polled > seen.polled:
                return
            agents = await services.backend.agents(queue)
            await services.queues.replace_agents(queue, agents, asked.ledger_ms)

    async def _unregister_pacing(self, campaign: str) -> None:
        """A campaign that cannot be dialed claims no agents of its queue; its next good tick registers it anew."""
        services = self._services
        queue = await services.queues.queue_of(campaign)
        raw = await services.queues.pacing_of(queue, campaign)
        if not raw:
            return
        closed = msgspec.structs.replace(msgspec.json.decode(raw, type=CampaignPacing), is_open=False)
        await services.campaigns.register(campaign, queue, msgspec.json.encode(closed).decode(), before=queue)
        self._registered.pop(campaign)

    async def _register(self, campaign: str, settings: CampaignSettings, *, is_open: bool) -> None:
        shared = campaign_pacing(settings, is_open=is_open)
        wanted = (settings.queue_name, msgspec.json.encode(shared).decode())
        if self._registered.get(campaign) == wanted:
            return
        services = self._services
        for _ in range(CLAIM_TRIES):
            before = await services.queues.queue_of(campaign)
            if await services.campaigns.register(campaign, *wanted, before=before):
                break
        self._registered.put(campaign, wanted)


def _opening_in_words(window: Window, closed: Opening) -> str:
    if closed.until_ms is None:
        return "they do not open again"
    opens = datetime.fromtimestamp(closed.until_ms / 1000, window.zone)
    return f"they open {opens.isoformat(timespec='seconds')} ({window.zone.key})"


def _record_refill(result: TickResult, refilled: RefillResult) -> None:
    result.refilled = refilled.added
    skipped = {
        "no_phone_number": refilled.invalid,
        "unreadable": refilled.unreadable,
        "max_attempts": refilled.used_up,
        **refilled.refused,
    }
    result.skipped = {name: number for name, number in skipped.items() if number} or None


def _record_claim(
    result: TickResult,
    campaign: CampaignSettings,
    decision: Decision,
    wanted: ClaimRequest,
    claimed: ClaimResult,
) -> None:
    result.mode = campaign.dial_mode
    result.dialed = claimed.dialed
    result.available_agents = claimed.free
    result.active_calls = claimed.dialing
    result.live_calls = claimed.live
    result.ready = claimed.ready
    result.deferred = claimed.deferred
    result.orphaned = claimed.orphaned or None
    result.level = wanted.level
    result.pacing_ratio, result.max_concurrent_calls = campaign.pacing_ratio, campaign.max_concurrent_calls
    result.share = decision.share
    result.steps = claimed.steps or None
    result.wanted, result.limit = decision.wanted, decision.limit
    if result.adaptive is not None:
        result.wanted, result.limit = result.adaptive["place"], result.adaptive["limit"]
    if claimed.limit not in ("level", "queue", None):
        result.limit = claimed.limit
    if claimed.skipped:
        result.skipped = dict(Counter(result.skipped or {}) + Counter(claimed.skipped))
    result.why = claimed.why
    reason = claimed.reason
    if reason is None and claimed.dialed == 0 and campaign.dial_mode != "preview":
        if claimed.free == 0 and not campaign.is_adaptive:
            reason = "no_agents"
        elif claimed.ready == 0:
            reason = "no_contacts"
        elif claimed.limit == "needs_verification":
            reason = "needs_verification"
    result.status = "ok" if reason is None else "skipped"
    result.reason = reason
    result.detail = WHY.get(reason or "")
    if reason == "no_contacts" and claimed.deferred:
        result.detail = (
            f"{WHY[reason]}; {claimed.deferred} wait for a retry, a callback, their calling hours or a cap"
        )
    if result.detail and claimed.wait_ms:
        result.detail += f"; {math.ceil(claimed.wait_ms / 1000)} s more"
