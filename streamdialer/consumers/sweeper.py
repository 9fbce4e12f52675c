"""The sweeper acts on leases, deadlines, retries and final contacts as soon as they are due."""

from __future__ import annotations

import logging
import random
from typing import Final

from redis.exceptions import ResponseError

from streamdialer.broker.background_duty import BackgroundDuty
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.services import Services
from streamdialer.consumers.ttl_cache import TTLCache
from streamdialer.observability.metrics import ATTEMPTS_ENDED, SWEEPS_FAILED

log = logging.getLogger(__name__)
CAMPAIGNS_BATCH: Final = 50
CONTACTS_BATCH: Final = 200
MAX_ATTEMPTS_LOGGED: Final = 20
STALLED_TTL_S: Final = 60.0
"""A stalled campaign is swept every second."""


class Sweeper(BackgroundDuty):
    """Every replica that takes ticks sweeps; the scripts make sure that each thing happens once."""

    name = "sweeper"

    def __init__(self, services: Services, wakeups: WakeupScheduler) -> None:
        self._services = services
        self._wakeups = wakeups
        self._stalled: TTLCache[bool] = TTLCache(STALLED_TTL_S)
        self._has_only_ends: TTLCache[bool] = TTLCache(STALLED_TTL_S)
        self._has_failed: TTLCache[bool] = TTLCache(STALLED_TTL_S)

    async def turn(self) -> float:
        due = await self._services.campaigns.due_campaigns(CAMPAIGNS_BATCH)
        failed = 0
        for campaign in due:
            try:
                await self._sweep(campaign)
            except ResponseError as error:  # of this campaign's data: the others are swept
                self._note_failure(campaign, error)
                failed += 1
            else:
                self._note_success(campaign)
        is_more = len(due) == CAMPAIGNS_BATCH and failed < CAMPAIGNS_BATCH
        return 0.0 if is_more else self._services.settings.sweep_interval_s * random.uniform(0.8, 1.2)

    def _note_failure(self, campaign: str, error: ResponseError) -> None:
        SWEEPS_FAILED.inc()
        if self._has_failed.get(campaign) is None:
            log.error(
                "a campaign cannot be swept, trying again: its leases, deadlines and retries wait",
                extra={"campaign": campaign, "error": str(error)},
            )
        self._has_failed.put(campaign, True)

    def _note_success(self, campaign: str) -> None:
        if self._has_failed.get(campaign) is not None:
            log.warning("the campaign is swept again", extra={"campaign": campaign})
            self._has_failed.pop(campaign)

    async def _sweep(self, campaign: str) -> None:
        swept = await self._services.campaigns.sweep(campaign, CONTACTS_BATCH)
        if swept.wake:
            queue = await self._wakeups.queue_of(campaign)
            self._wakeups.queue(queue)
        attempts = _shorten(swept.attempts)
        ATTEMPTS_ENDED.labels("no_event").inc(swept.no_event)
        ATTEMPTS_ENDED.labels("too_long").inc(swept.too_long)
        if swept.no_event:
            log.warning(
                "attempts were ended: no event had come by their deadline",
                extra={"campaign": campaign, "count": swept.no_event, "attempts": attempts},
            )
        if swept.orphaned:
            log.warning(
                "no event came by their deadline for calls from before Redis lost its data: they may still be up. "
                "Their contacts are not called until an event comes or the longest call would be over",
                extra={"campaign": campaign, "count": swept.orphaned, "attempts": attempts},
            )
        if swept.released or swept.offers_expired or swept.promoted or swept.too_long:
            log.info(
                "swept",
                extra={
                    "campaign": campaign,
                    "released": swept.released,
                    "offers_expired": swept.offers_expired,
                    "promoted": swept.promoted,
                    "too_long": swept.too_long,
                    "attempts": attempts if swept.too_long else None,
                },
            )
        if swept.only_ends and self._has_only_ends.get(campaign) is None:
            log.error(
                "calls are past their deadline, and only ends of other calls have come since: the people may be on "
                "the phone. They count as up until their own end or the longest conversation; "
                "let the program that writes dialer:events write call_ringing or call_answered as well",
                extra={"campaign": campaign, "calls": swept.only_ends},
            )
        if swept.only_ends:
            self._has_only_ends.put(campaign, True)
        is_stalled = swept.stalled > swept.only_ends
        was_stalled = self._stalled.get(campaign) is not None
        if is_stalled:
            self._stalled.put(campaign, True)
        if is_stalled and not was_stalled:
            log.error(
                "calls were sent and no call event has come since: the campaign dials no more until events come; "
                "check the program that writes dialer:events",
                extra={"campaign": campaign, "calls": swept.stalled - swept.only_ends},
            )
        elif was_stalled and not is_stalled:
            log.warning("call events come again, the campaign dials again", extra={"campaign": campaign})
            self._stalled.pop(campaign)


def _shorten(attempts: list[str]) -> str:
    """As many as a log line has room for."""
    return ",".join(attempts[:MAX_ATTEMPTS_LOGGED]) + (",…" if len(attempts) > MAX_ATTEMPTS_LOGGED else "")
