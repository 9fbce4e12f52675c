"""Looks up contacts that are ready here and that the backend has not shown as pending for long, before they are dialed.

One page of the list is read first, since it tells of many; whoever is not on it is asked for one by one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Final

import anyio

from streamdialer.consumers.refill import load_row
from streamdialer.consumers.services import Services
from streamdialer.errors import Unreachable
from streamdialer.model import CampaignSettings, Contact, normalise_id

log = logging.getLogger(__name__)
ASKED_AT_ONCE: Final = 16


class Confirming:
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
        pending: list[Contact] = []
        async for page in services.backend.pending(campaign, services.settings.page_size):
            pending += [one for one in page.contacts if normalise_id(one.id) in missing]
            break
        for one in pending:
            del missing[normalise_id(one.id)]
        gone: list[str] = []
        troubles: list[Unreachable] = []
        unasked = iter(missing)

        async def ask() -> None:
            try:
                await self._ask(campaign, unasked, pending, gone)
            except Unreachable as error:
                troubles.append(error)

        async with anyio.create_task_group() as tasks:
            for _ in range(min(ASKED_AT_ONCE, len(missing))):
                tasks.start_soon(ask)
        if pending:
            is_preview = settings.dial_mode == "preview"
            rows = [load_row(one, country=settings.country or "", for_preview=is_preview) for one in pending]
            await services.campaigns.load(campaign, rows, settings.max_retries)
        dropped = await services.lists.drop_gone(campaign, asked_ms, gone) if gone else 0
        if dropped:
            log.info(
                "no longer pending in the backend: not dialed",
                extra={"campaign": campaign, "count": dropped, "contacts": ", ".join(gone)},
            )
        if troubles:
            raise troubles[0]
        return len(pending) + dropped

    async def _ask(
        self, campaign: str, unasked: Iterator[str], pending: list[Contact], gone: list[str]
    ) -> None:
        for contact in unasked:
            try:
                found = await self._services.backend.pending_contact(campaign, contact)
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
