"""Brings contacts from the backend into the ledger: those to be dialed, and those only the backend knows to be due."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import anyio
import msgspec

from streamdialer.consumers.services import Services
from streamdialer.gateways.backend import ContactPage
from streamdialer.ledger import Loaded, LoadRow
from streamdialer.model import CampaignSettings, Contact, normalise_id

log = logging.getLogger(__name__)


class Refilled(msgspec.Struct):
    """What a look at the backend's list brought."""

    added: int = 0
    invalid: int = 0
    unreadable: int = 0
    used_up: int = 0


def load_row(contact: Contact, *, reset: bool = False) -> LoadRow:
    """A contact as the ledger takes it; without a number that has digits it can never be called."""
    number = (contact.phone_number or "").strip()
    priority = 5 if contact.priority is None else contact.priority
    return LoadRow(
        contact=normalise_id(contact.id),
        priority=max(1, min(10, priority)),
        attempts=max(0, contact.attempts or 0),
        call=msgspec.json.encode({"id": contact.id, "phone_number": number}).decode(),
        problem="" if any(map(str.isdigit, number)) else "no phone number",
        reset=reset,
    )


class Refill:
    """Reads the head of a campaign's list when few contacts are ready, and now and then anyway."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._next_look: dict[str, float] = {}
        self._looking: set[str] = set()

    def is_due(self, campaign: str, ready: int) -> bool:
        """Whether to look now; a list that brought nothing new is left alone for a while."""
        if campaign in self._looking:
            return False
        settings, now = self._services.settings, anyio.current_time()
        looked = self._next_look.get(campaign)
        if looked is None or now >= looked:
            return True
        return ready < settings.ready_low and now >= looked - settings.refill_every_s

    async def pending(self, campaign: str, settings: CampaignSettings, ready: int) -> Refilled:
        """Reads pages from the head until enough contacts are ready or the list ends.

        The head is always read first: a contact with a higher priority than those waiting here is seen.
        Raises Unreachable.
        """
        services, total = self._services, Refilled()
        wanted = 2 * services.settings.ready_low - ready
        self._looking.add(campaign)
        try:
            pages = 0
            async for page in services.backend.pending(campaign, services.settings.page_size):
                pages += 1
                await self._load(campaign, settings, page, total, reset=False)
                if total.added >= wanted or pages >= services.settings.refill_pages:
                    break
        finally:
            self._looking.discard(campaign)
        if len(self._next_look) > 10_000:
            self._next_look.clear()
        # Nothing new: the whole pause. Something new: look again as soon as the contacts run low. After trouble (not
        # here): with the next tick, which says so again.
        pause_s = services.settings.refill_every_s
        self._next_look[campaign] = anyio.current_time() + (pause_s if total.added else 2 * pause_s)
        return total

    async def due_for_retry(self, campaign: str, settings: CampaignSettings, now_ms: int) -> Refilled:
        """Contacts that only the backend knows to be due become pending again; raises Unreachable."""
        services, total = self._services, Refilled()
        before = datetime.fromtimestamp(now_ms / 1000, UTC) - timedelta(seconds=settings.retry_delay)
        pages = services.backend.due_for_retry(
            campaign, before, settings.max_retries, services.settings.page_size
        )
        read = 0
        async for page in pages:
            read += 1
            await self._load(campaign, settings, page, total, reset=True)
            if read >= services.settings.refill_pages:
                break
        return total

    async def _load(
        self, campaign: str, settings: CampaignSettings, page: ContactPage, total: Refilled, *, reset: bool
    ) -> None:
        for line in page.unreadable:
            log.warning(
                "contact cannot be read and is not dialed", extra={"campaign": campaign, "error": line}
            )
        rows = [load_row(contact, reset=reset) for contact in page.contacts]
        loaded = Loaded(0, 0, 0, 0)
        if rows:
            loaded = await self._services.campaigns.load(campaign, rows, settings.max_retries)
        if loaded.invalid:
            names = ", ".join(row.contact for row in rows if row.problem)
            log.warning(
                "contacts without a phone number were marked invalid",
                extra={"campaign": campaign, "contacts": names},
            )
        total.added += loaded.added
        total.invalid += loaded.invalid
        total.used_up += loaded.used_up
        total.unreadable += len(page.unreadable)
