"""Handles preview events: an agent requests a contact, sees it, and accepts or skips it. Only then is it dialed."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from streamdialer.broker.connection import server_ms
from streamdialer.consumers.dialing.caller_id_pool import caller_id_pool
from streamdialer.consumers.dialing.calling_hours import build_zone_hours
from streamdialer.consumers.dialing.campaign_cache import CampaignCache
from streamdialer.consumers.dialing.pending_check import PendingCheck
from streamdialer.consumers.dialing.trunks import Trunks
from streamdialer.consumers.services import Services
from streamdialer.errors import CampaignError, Unreachable
from streamdialer.ledger.previews import PreviewLimits, PreviewMissing
from streamdialer.ledger.zone_hours import MissingHours
from streamdialer.model import CampaignSettings, PreviewEvent
from streamdialer.rules.calling_hours import CallingHours, calling_hours, pack_version
from streamdialer.rules.caps import caps_of
from streamdialer.rules.retry import retry_plan

log = logging.getLogger(__name__)
MAX_TRIES: Final = 5


class Previews:
    """Answers the agents of preview campaigns; the answers go to the stream of previews."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._campaigns = CampaignCache(services)
        self._pending_check = PendingCheck(services)
        self._trunks = Trunks(services)

    async def handle(self, event: PreviewEvent, entry: str) -> None:
        """`entry` is the event's id. The agent gets a refusal as an answer: it is no bad entry."""
        if event.type == "preview_skipped":
            outcome = await self._services.previews.skip(event, entry)
        else:
            outcome = await self._offer_or_call(event, entry)
        log.info(
            event.type,
            extra={
                "campaign": event.campaign_id,
                "agent": event.agent_id,
                "contact": event.contact_id,
                "outcome": outcome,
            },
        )

    async def _offer_or_call(self, event: PreviewEvent, entry: str) -> str:
        previews = self._services.previews
        try:
            settings = await self._campaigns.settings_of(event.campaign_id)
            if settings.dial_mode == "preview":
                hours = calling_hours(
                    settings, self._services.settings.timezone, await server_ms(self._services.client)
                )
                request = previews.offer if event.type == "preview_requested" else previews.accept
                return await self._answer(partial(request, event, entry), event.campaign_id, settings, hours)
            reason, detail = "not_preview", f"campaign {event.campaign_id} is not in preview mode"
        except CampaignError as error:
            reason, detail = "invalid_campaign", str(error)
        except Unreachable as error:
            reason, detail = "backend_unreachable", str(error)
        await previews.refuse(event, entry, reason, detail)
        return reason

    async def _answer(
        self,
        request: Callable[[PreviewLimits], Awaitable[str | PreviewMissing]],
        campaign: str,
        settings: CampaignSettings,
        hours: CallingHours,
    ) -> str:
        """Repeats the request with what the ledger said it lacked. Raises Unreachable."""
        missing: MissingHours | None = None
        for _ in range(MAX_TRIES):
            answer = await request(await self._limits(campaign, settings, hours, missing))
            if isinstance(answer, str):
                return answer
            missing = answer.missing or missing
            if answer.trunk_changed:
                await self._trunks.refresh_members(settings)
            if answer.stale:
                await self._pending_check.confirm(campaign, settings, answer.stale, answer.ledger_ms)
        raise Unreachable("backend: the contacts to show keep changing")

    async def _limits(
        self,
        campaign: str,
        settings: CampaignSettings,
        hours: CallingHours,
        missing: MissingHours | None = None,
    ) -> PreviewLimits:
        now_ms = await server_ms(self._services.client)
        opening = hours.window.opening_at(now_ms)
        contacts, zones = (missing.contacts, missing.zones) if missing else ({}, {})
        return PreviewLimits(
            open_until_ms=opening.until_ms if opening.is_open else 0,
            retry=retry_plan(settings),
            max_concurrent=settings.max_concurrent_calls,
            hours=build_zone_hours(hours, contacts, zones, now_ms),
            rules=pack_version(hours.pack),
            caps=caps_of(hours.pack, settings),
            rate_limits=self._trunks.rate_limits_of(campaign, settings),
            caller_id=settings.caller_id,
            caller_ids=caller_id_pool(settings, hours.window.zone, now_ms),
            ring_timeout_s=settings.ring_timeout,
            on_machine=settings.machine_action,
        )
