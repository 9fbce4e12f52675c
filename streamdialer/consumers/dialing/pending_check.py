"""Looks up contacts that are ready here and that the backend has not shown as pending for long, before they are dialed.

One page of the list is read first, since it tells of many; whoever is not on it is asked for one by one, or, where the
backend does not show single contacts, looked for in the list.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import anyio

from streamdialer.consumers.dialing.contact_rows import load_row
from streamdialer.consumers.services import Services
from streamdialer.errors import Unreachable
from streamdialer.model import CampaignSettings, Contact, normalise_id

log = logging.getLogger(__name__)
MAX_CONCURRENT_REQUESTS: Final = 16
MAX_LIST_READS: Final = 2
"""Of a list of several pages: they shift while others leave it. Whoever is dropped by mistake comes back with it."""


class PendingCheck:
    """Nobody is dialed whom the backend has removed or finished while they were ready here."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def confirm(
        self, campaign: str, settings: CampaignSettings, stale: Sequence[str], asked_ms: int
    ) -> int:
        """How many of the contacts are seen as pending now, or out of the line; the others stay undialed.

        `asked_ms` is when they were found to be stale, ledger's. Raises Unreachable once what was learnt is noted.
        """
        services, missing = self._services, dict.fromkeys(stale)
        listed: list[Contact] = []
        async for page in services.backend.pending(campaign, services.settings.page_size):
            listed = page.contacts
            break
        pending = [one for one in listed if normalise_id(one.id) in missing]
        for one in pending:
            del missing[normalise_id(one.id)]
        await self._load(campaign, settings, pending)
        seen, gone = len(pending), list[str]()
        troubles: list[Unreachable] = []
        try:
            if missing and await self._shows_contacts(campaign, listed, missing):
                seen += await self._ask_for(campaign, settings, missing, gone, troubles)
            elif missing:
                seen += await self._look_for(campaign, settings, missing)
                gone = list(missing)
        except Unreachable as error:
            troubles.append(error)
        dropped = await services.lists.remove_missing(campaign, asked_ms, gone) if gone else 0
        if dropped:
            log.info(
                "no longer pending in the backend: not dialed",
                extra={"campaign": campaign, "count": dropped, "contacts": ", ".join(gone)},
            )
        if troubles:
            raise troubles[0]
        return seen + dropped

    async def _shows_contacts(self, campaign: str, listed: Sequence[Contact], missing: Iterable[str]) -> bool:
        """Whether a contact can be asked for by its id, tried with one that is there if any is; raises Unreachable."""
        backend = self._services.backend
        if not backend.shows_contacts:
            tried = next((normalise_id(one.id) for one in listed), None) or next(iter(missing))
            try:
                await backend.contact(campaign, tried)
            except ValueError as error:
                log.warning("contact cannot be read", extra={"campaign": campaign, "error": str(error)})
        return backend.shows_contacts

    async def _ask_for(
        self,
        campaign: str,
        settings: CampaignSettings,
        missing: dict[str, None],
        gone: list[str],
        troubles: list[Unreachable],
    ) -> int:
        """Asks one by one; how many are pending."""
        pending: list[Contact] = []
        unasked = iter(missing)

        async def ask() -> None:
            try:
                await self._ask(campaign, unasked, pending, gone)
            except Unreachable as error:
                troubles.append(error)

        async with anyio.create_task_group() as tasks:
            for _ in range(min(MAX_CONCURRENT_REQUESTS, len(missing))):
                tasks.start_soon(ask)
        await self._load(campaign, settings, pending)
        return len(pending)

    async def _ask(
        self, campaign: str, unasked: Iterator[str], pending: list[Contact], gone: list[str]
    ) -> None:
        for contact in unasked:
            try:
                found = await self._services.backend.contact(campaign, contact, {"pending"})
            except ValueError as error:
                log.warning(
                    "contact cannot be read and is not dialed",
                    extra={"campaign": campaign, "contact": contact, "error": str(error)},
                )
                continue
            if found is None:
                gone.append(contact)
            else:
                pending.append(found)

    async def _look_for(self, campaign: str, settings: CampaignSettings, missing: dict[str, None]) -> int:
        """Reads the list as far as a refill does; how many are on it. They are taken out of `missing`."""
        services, before = self._services, len(missing)
        for _ in range(MAX_LIST_READS):
            pages = 0
            async for page in services.backend.pending(campaign, services.settings.page_size):
                pages += 1
                await self._load(campaign, settings, page.contacts)
                for one in page.contacts:
                    missing.pop(normalise_id(one.id), None)
                if not missing or pages == services.settings.refill_max_pages:
                    break
            if not missing or pages == 1:
                break
        return before - len(missing)

    async def _load(self, campaign: str, settings: CampaignSettings, contacts: Sequence[Contact]) -> None:
        country, is_preview = settings.country or "", settings.dial_mode == "preview"
        rows = [load_row(one, country=country, for_preview=is_preview) for one in contacts]
        if rows:
            await self._services.campaigns.load(campaign, rows, settings.max_retries)
