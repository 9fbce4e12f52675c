"""Verifies ready contacts that the backend has not listed as pending lately, before they are dialed.

The first page of the list is read first: it covers many contacts. The others are requested one by one, or searched for
in the list when the backend does not show single contacts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Final

from streamdialer.consumers.dialing.contact_rows import load_row
from streamdialer.consumers.dialing.side_by_side import run_side_by_side
from streamdialer.consumers.services import Services
from streamdialer.model import CampaignSettings, Contact, normalise_id

log = logging.getLogger(__name__)
MAX_CONCURRENT_REQUESTS: Final = 16
MAX_LIST_READS: Final = 2
"""A list of several pages shifts while it is read. A contact dropped by mistake comes back with the next refill."""


class PendingCheck:
    """Keeps contacts from being dialed that the backend removed or ended while they were ready here."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def confirm(
        self, campaign: str, settings: CampaignSettings, stale: Sequence[str], stale_since_ms: int
    ) -> int:
        """How many contacts are settled: known to be pending, or taken out of the line; the others stay undialed.

        `stale_since_ms` is the ledger time at which they were found to be stale. Raises Unreachable after what was
        learnt is stored.
        """
        services, missing = self._services, dict.fromkeys(stale)
        listed: list[Contact] = []
        async for page in services.backend.pending(campaign, services.settings.page_size):
            listed = page.contacts
            break
        pending = [contact for contact in listed if normalise_id(contact.id) in missing]
        for contact in pending:
            del missing[normalise_id(contact.id)]
        await self._load(campaign, settings, pending, stale_since_ms)
        settled, gone = len(pending), list[str]()
        try:
            if missing and await self._shows_contacts(campaign, listed, missing):
                settled += await self._request_each(campaign, settings, missing, gone, stale_since_ms)
            elif missing:
                settled += await self._search_list(campaign, settings, missing, stale_since_ms)
                gone = list(missing)
        finally:
            settled += await self._drop(campaign, gone, stale_since_ms)
        return settled

    async def _drop(self, campaign: str, gone: list[str], stale_since_ms: int) -> int:
        """Takes contacts out of the line that are no longer pending; how many."""
        dropped = await self._services.backlog.remove_missing(campaign, stale_since_ms, gone) if gone else 0
        if dropped:
            log.info(
                "contacts are no longer pending in the backend: not dialed",
                extra={"campaign": campaign, "count": dropped, "contacts": ", ".join(gone)},
            )
        return dropped

    async def _shows_contacts(self, campaign: str, listed: Sequence[Contact], missing: Iterable[str]) -> bool:
        """Whether the backend shows single contacts, tried with one that it lists if any; raises Unreachable."""
        backend = self._services.backend
        if not backend.shows_contacts:
            tried = next((normalise_id(contact.id) for contact in listed), None) or next(iter(missing))
            try:
                await backend.contact(campaign, tried)
            except ValueError as error:
                log.warning("contact cannot be read", extra={"campaign": campaign, "error": str(error)})
        return backend.shows_contacts

    async def _request_each(
        self,
        campaign: str,
        settings: CampaignSettings,
        missing: dict[str, None],
        gone: list[str],
        asked_ms: int,
    ) -> int:
        """Requests the contacts one by one; how many are pending."""
        pending: list[Contact] = []
        request_some = partial(self._request, campaign, iter(missing), pending, gone)
        try:
            await run_side_by_side([request_some] * min(MAX_CONCURRENT_REQUESTS, len(missing)))
        finally:
            await self._load(campaign, settings, pending, asked_ms)
        return len(pending)

    async def _request(
        self, campaign: str, to_request: Iterator[str], pending: list[Contact], gone: list[str]
    ) -> None:
        for contact in to_request:
            try:
                contact_shown = await self._services.backend.contact(campaign, contact, {"pending"})
            except ValueError as error:
                log.warning(
                    "contact cannot be read and is not dialed",
                    extra={"campaign": campaign, "contact": contact, "error": str(error)},
                )
                continue
            if contact_shown is None:
                gone.append(contact)
            else:
                pending.append(contact_shown)

    async def _search_list(
        self, campaign: str, settings: CampaignSettings, missing: dict[str, None], asked_ms: int
    ) -> int:
        """Reads the list as far as a refill does; how many are on it. Removes them from `missing`."""
        services, before = self._services, len(missing)
        for _ in range(MAX_LIST_READS):
            pages = 0
            async for page in services.backend.pending(campaign, services.settings.page_size):
                pages += 1
                await self._load(campaign, settings, page.contacts, asked_ms)
                for contact in page.contacts:
                    missing.pop(normalise_id(contact.id), None)
                if not missing or pages == services.settings.refill_max_pages:
                    break
            if not missing or pages == 1:
                break
        return before - len(missing)

    async def _load(
        self, campaign: str, settings: CampaignSettings, contacts: Sequence[Contact], asked_ms: int
    ) -> None:
        country, is_preview = settings.country or "", settings.dial_mode == "preview"
        rows = [load_row(contact, country=country, for_preview=is_preview) for contact in contacts]
        if rows:
            await self._services.campaigns.load(campaign, rows, settings.max_retries, asked_ms=asked_ms)
