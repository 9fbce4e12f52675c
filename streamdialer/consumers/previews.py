"""Preview mode: an agent asks for a contact, sees it, and takes or skips it. Nothing is dialed before that."""

from __future__ import annotations

import logging

from streamdialer.consumers.campaign_settings import KnownCampaigns
from streamdialer.consumers.services import Services
from streamdialer.errors import CampaignError, Unreachable
from streamdialer.ledger import PreviewTerms
from streamdialer.model import PreviewEvent
from streamdialer.rules.window import campaign_window

log = logging.getLogger(__name__)


class Previews:
    """Handles what agents of preview campaigns say; the answers go to the stream of previews."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._campaigns = KnownCampaigns(services)

    async def handle(self, event: PreviewEvent, entry: str) -> None:
        """`entry` is the event's id. What cannot be done is told to the agent, and is no bad entry."""
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
            terms = await self._terms(event.campaign_id)
        except CampaignError as error:
            reason, detail = "campaign_unusable", str(error)
        except Unreachable as error:
            reason, detail = "backend_unreachable", str(error)
        else:
            if terms is not None:
                answer = previews.offer if event.type == "preview_requested" else previews.accept
                return await answer(event, entry, terms)
            reason, detail = "not_preview", f"campaign {event.campaign_id} is not in preview mode"
        await previews.refuse(event, entry, reason, detail)
        return reason

    async def _terms(self, campaign: str) -> PreviewTerms | None:
        """None when the campaign dials by itself. Raises CampaignError or Unreachable."""
        settings = await self._campaigns.settings_of(campaign)
        if settings.dial_mode != "preview":
            return None
        seconds, micros = await self._services.client.time()
        window = campaign_window(settings, self._services.settings.timezone)
        opening = window.around(int(seconds) * 1000 + int(micros) // 1000)
        return PreviewTerms(
            open_until_ms=opening.until_ms if opening.is_open else 0,
            max_attempts=settings.max_retries,
            retry_delay_ms=round(settings.retry_delay * 1000),
            max_concurrent=settings.max_concurrent_calls,
        )
