"""Brings contacts from the backend into the ledger: those to be dialed, and those only the backend knows to be due."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import anyio
import msgspec

from streamdialer.consumers.recent import Recent
from streamdialer.consumers.services import Services
from streamdialer.errors import Unreachable
from streamdialer.gateways.backend import ContactPage
from streamdialer.ledger import DoubtRow, Loaded, LoadRow
from streamdialer.model import CampaignSettings, Contact, normalise_id

log = logging.getLogger(__name__)
REBUILD_PASSES: Final = 10


class Refilled(msgspec.Struct):
    """What a look at the backend's list brought."""

    added: int = 0
    invalid: int = 0
    unreadable: int = 0
    used_up: int = 0


def load_row(contact: Contact, *, reset: bool = False, for_preview: bool = False) -> LoadRow:
    """A contact as the ledger takes it; without a number that has digits it can never be called.

    `for_preview` keeps what an agent is shown.
    """
    number = (contact.phone_number or "").strip()
    call: dict[str, Any] = {"id": contact.id, "phone_number": number}
    if for_preview:
        call["custom_data"] = contact.custom_data or {}
    priority = 5 if contact.priority is None else contact.priority
    return LoadRow(
        contact=normalise_id(contact.id),
        priority=max(1, min(10, priority)),
        attempts=max(0, contact.attempts or 0),
        call=msgspec.json.encode(call).decode(),
        problem="" if any(map(str.isdigit, number)) else "no phone number",
        reset=reset,
    )


def doubt_row(contact: Contact, *, for_preview: bool = False) -> DoubtRow:
    """A contact the backend shows as being called, with when that began as far as it says so."""
    last_ms: int | None = None
    if isinstance(contact.last_attempt, str):
        try:
            instant = datetime.fromisoformat(contact.last_attempt)
        except ValueError:
            log.warning("last_attempt is no ISO 8601 time", extra={"contact": contact.id})
        else:
            instant = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
            last_ms = round(instant.timestamp() * 1000)
    return DoubtRow(load_row(contact, for_preview=for_preview), contact.status == "answered", last_ms)


class Refill:
    """Reads the head of a campaign's list when few contacts are ready, and now and then anyway."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._next_look: Recent[float] = Recent(4 * services.settings.refill_every_s)
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
        # Nothing new: the whole pause. Something new: look again as soon as the contacts run low. After trouble (not
        # here): with the next tick, which says so again.
        pause_s = services.settings.refill_every_s
        self._next_look.put(campaign, anyio.current_time() + (pause_s if total.added else 2 * pause_s))
        return total

    async def due_for_retry(self, campaign: str, settings: CampaignSettings, now_ms: int) -> Refilled:
        """Contacts that only the backend knows to be due become pending again; raises Unreachable."""
        services, total = self._services, Refilled()
        before = datetime.fromtimestamp(now_ms / 1000, UTC) - timedelta(seconds=settings.retry_delay)
        statuses = ["no_answer", "busy"]
        if (await services.memory.state()).rebuild:
            statuses.append("failed")  # Redis knew when they were to be tried again, and has forgotten it
        pages = services.backend.due_for_retry(
            campaign, before, settings.max_retries, services.settings.page_size, statuses
        )
        read = 0
        async for page in pages:
            read += 1
            await self._load(campaign, settings, page, total, reset=True)
            if read >= services.settings.refill_pages:
                break
        return total

    async def rebuild(self, campaign: str, settings: CampaignSettings) -> None:
        """After Redis may have forgotten something: takes the backend's word for who is being called and who is not.

        Raises Unreachable; then it is to be done again.
        """
        services, memory = self._services, self._services.memory
        mark = (await memory.state()).rebuild
        await memory.forget_ready(campaign)
        is_preview = settings.dial_mode == "preview"
        held = calm = 0
        for _ in range(REBUILD_PASSES):
            found = pages = 0
            async for page in services.backend.in_flight(campaign, services.settings.page_size):
                if page.unreadable:
                    raise Unreachable(
                        f"backend: a contact that is being called cannot be read: {page.unreadable[0]}"
                    )
                pages += 1
                rows = [doubt_row(contact, for_preview=is_preview) for contact in page.contacts]
                found += await memory.doubt(
                    campaign, rows, settings.max_retries, round(settings.retry_delay * 1000)
                )
            held += found
            calm = 0 if found else calm + 1
            if calm == (2 if pages > 1 else 1):  # pages shift while the list changes under the reader
                break
        else:
            raise Unreachable(f"backend: the contacts being called in campaign {campaign} keep changing")
        self._next_look.pop(campaign)
        if await memory.mark_rebuilt(campaign, mark):
            log.warning(
                "Redis may have forgotten calls: the campaign was rebuilt from the backend",
                extra={"campaign": campaign, "in_doubt": held},
            )

    async def _load(
        self, campaign: str, settings: CampaignSettings, page: ContactPage, total: Refilled, *, reset: bool
    ) -> None:
        for line in page.unreadable:
            log.warning(
                "contact cannot be read and is not dialed", extra={"campaign": campaign, "error": line}
            )
        is_preview = settings.dial_mode == "preview"
        rows = [load_row(contact, reset=reset, for_preview=is_preview) for contact in page.contacts]
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
