"""The ticks stage runs one campaign once and stores the result under the tick's id."""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any, Final

import msgspec

from streamdialer.broker.entries import BadEntry, Entry, check_size
from streamdialer.consumers.dialing.dial_tick import DialTick, reason_of
from streamdialer.consumers.dialing.refill import Refill
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.services import Services
from streamdialer.consumers.statistics import own_statistics
from streamdialer.consumers.ttl_cache import TTLCache
from streamdialer.errors import CampaignError, RefusedByServer, Unreachable
from streamdialer.ledger.ticks import ResultWithoutContacts, TickStart
from streamdialer.ledger.types import CLEANUP_TEXTS
from streamdialer.model import TICK_KINDS, Tick, TickResult, normalise_id
from streamdialer.observability import metrics, tracing

log = logging.getLogger(__name__)
REASONS_TTL_S: Final = 330.0
"""A little longer than the interval of the rarest kind of tick (retry, 300 s)."""


def read_tick(entry: Entry) -> Tick:
    """Raises BadEntry for an entry that is no tick."""
    check_size(entry)
    kind = entry.fields.get("kind", "")
    if kind not in TICK_KINDS:
        raise BadEntry("unknown_kind", f"kind is {kind[:100]!r}, takes {', '.join(TICK_KINDS)}")
    try:
        campaign = normalise_id(entry.fields.get("campaign_id", ""))
    except ValueError as error:
        raise BadEntry("wrong_type", f"campaign_id: {error}") from error
    return Tick(entry.id, next(known for known in TICK_KINDS if known == kind), campaign)


class TicksStage:
    """Handles entries of `ticks`; also runs ticks that are not in the stream."""

    def __init__(self, services: Services, wakeups: WakeupScheduler) -> None:
        self._services = services
        self._refill = Refill(services)
        self._dial_tick = DialTick(services, self._refill, wakeups)
        self.duties = [self._dial_tick.agent_lists, self._dial_tick.campaigns]
        """What must run beside the stage for ticks that need not wait for an agent list or for settings."""
        self._last_reason: TTLCache[str] = TTLCache(REASONS_TTL_S)

    async def handle(self, entry: Entry) -> None:
        settings = self._services.settings
        keep_s = settings.wakeup_result_ttl_s if "wake" in entry.fields else settings.result_ttl_s
        tick, began = read_tick(entry), monotonic()
        with tracing.entry_span("tick", entry.fields, tick=tick.id, kind=tick.kind, campaign=tick.campaign):
            offer = self._dial_tick.without_contacts(tick.campaign, keep_s) if tick.kind == "dial" else None
            start = await self._start(tick, offer)
            if offer and start.is_over:
                self._finish(tick, offer.result, start)
                return  # it is stored
            result = await self._run(tick, start)
        if "wake" in entry.fields and result.dialed:
            waited_s = max(0, (result.at or 0) - int(tick.id.partition("-")[0])) / 1000
            metrics.REACTION_SECONDS.observe(waited_s + monotonic() - began)
        await self._services.ticks.save_result(
            tick.id, result, keep_s=keep_s, decisions=settings.decisions_maxlen
        )

    async def run(self, tick: Tick) -> TickResult:
        """Runs the tick; an error of a campaign or a server becomes its result."""
        return await self._run(tick, await self._start(tick))

    async def _start(self, tick: Tick, without_contacts: ResultWithoutContacts | None = None) -> TickStart:
        queue = self._dial_tick.reader.queue_of(tick.campaign)
        start = await self._services.ticks.start(tick.campaign, tick.id, queue, without_contacts)
        self._services.backend.pause(start.backend_paused_ms / 1000)
        if self._services.dialer_api is not None:
            self._services.dialer_api.pause(start.dialer_api_paused_ms / 1000)
        return start

    async def _run(self, tick: Tick, start: TickStart) -> TickResult:
        try:
            match tick.kind:
                case "dial":
                    result = await self._dial_tick.dial(tick, start)
                case "retry":
                    result = await self._retry(tick, start.server_ms)
                case "stats":
                    result = await self._stats(tick)
                case "cleanup":
                    result = await self._cleanup(tick)
        except CampaignError as error:
            result = _failed(tick, "invalid_campaign", str(error))
        except (Unreachable, RefusedByServer) as error:
            result = _failed(tick, reason_of(error, "backend"), str(error))
        self._finish(tick, result, start)
        return result

    def _finish(self, tick: Tick, result: TickResult, start: TickStart) -> None:
        """Counts and logs the tick."""
        result.at = start.server_ms
        tracing.set_attributes(status=result.status, reason=result.reason, dialed=result.dialed)
        _count(result)
        self._log(tick, result)

    async def _retry(self, tick: Tick, now_ms: int) -> TickResult:
        campaign = await self._dial_tick.campaigns.settings_of(tick.campaign)
        refilled = await self._refill.due_for_retry(tick.campaign, campaign, now_ms)
        return TickResult(status="ok", kind="retry", campaign_id=tick.campaign, reset=refilled.added)

    async def _stats(self, tick: Tick) -> TickResult:
        services = self._services
        await services.campaigns.sweep(tick.campaign, 100)  # this writes the public hash as well
        queue = await services.queues.queue_of(tick.campaign)
        try:
            document = await self._statistics(tick.campaign)
        except (Unreachable, RefusedByServer) as error:
            await services.samples.take(tick.campaign, queue)
            return _failed(tick, reason_of(error, "dialer_api"), str(error))
        await services.samples.take(tick.campaign, queue, document.get("pending_calls"))
        await services.backend.post_statistics(tick.campaign, document)
        return TickResult(status="ok", kind="stats", campaign_id=tick.campaign, statistics=dict(document))

    async def _statistics(self, campaign: str) -> dict[str, Any]:
        """The Dialer API's; our own where Asterisk places the calls. Raises Unreachable or RefusedByServer."""
        services = self._services
        if services.dialer_api is not None:
            return await services.dialer_api.statistics(campaign)
        public_hash: Any = await services.client.hgetall(services.keys.campaign(campaign))
        return own_statistics(public_hash, await services.samples.history(campaign))

    async def _cleanup(self, tick: Tick) -> TickResult:
        services = self._services
        queue = await services.queues.queue_of(tick.campaign)
        answer = await services.campaigns.delete(tick.campaign, queue)
        if answer == "ok":
            return TickResult(status="ok", kind="cleanup", campaign_id=tick.campaign, removed=1)
        return TickResult(
            status="skipped",
            kind="cleanup",
            campaign_id=tick.campaign,
            reason=answer,
            detail=CLEANUP_TEXTS[answer],
        )

    def _log(self, tick: Tick, result: TickResult) -> None:
        """Logs a line when something was done or the reason changed, not one per tick."""
        key = f"{tick.kind}:{tick.campaign}"
        reason = result.reason or "none"
        changed = self._last_reason.get(key) != reason
        self._last_reason.put(key, reason)
        level = logging.DEBUG
        if result.status == "error" and changed:
            level = logging.ERROR
        elif changed or result.dialed or result.reset or result.removed:
            level = logging.INFO
        fields = {name: value for name, value in msgspec.structs.asdict(result).items() if value is not None}
        for name in ("statistics", "at"):
            fields.pop(name, None)
        if "level" in fields:
            fields["pacing_level"] = fields.pop("level")
        log.log(level, "tick", extra={"tick": tick.id, **fields})


def _count(result: TickResult) -> None:
    metrics.TICKS.labels(result.kind, result.status, result.reason or "none").inc()
    if result.limit:
        metrics.PACING_LIMITS.labels(result.limit).inc()
    if result.mode:
        metrics.CALLS_WANTED.labels(result.mode).inc(result.wanted or 0)
        metrics.CALLS_RESERVED.labels(result.mode).inc(result.dialed or 0)


def _failed(tick: Tick, reason: str, detail: str) -> TickResult:
    return TickResult(status="error", kind=tick.kind, campaign_id=tick.campaign, reason=reason, detail=detail)
