"""Whether an update of a contact may be sent: the backend's own word since its last known state may forbid it.

The backend finishes contacts, marks them as not to be called, or gives them to other campaigns by itself. It is asked
for the contact before each PATCH. What its answer means, `update_rules.py` says; after a data loss, which of the two is
newer.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from functools import partial
from typing import Final

from streamdialer.broker.connection import server_ms
from streamdialer.consumers.services import Services
from streamdialer.consumers.shared_reads import SharedReads
from streamdialer.consumers.update_rules import IN_CALL, SAME_MS, is_newer, is_over
from streamdialer.errors import RefusedByServer, Unreachable
from streamdialer.ledger.outbox import Delivery
from streamdialer.ledger.records import Doubt, Update
from streamdialer.model import Contact, normalise_id

log = logging.getLogger(__name__)
LIST_TTL_S: Final = 2.0
"""How long a list serves for all contacts on it."""


class UpdateOrder:
    """Compares updates with what the backend shows."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lists: SharedReads[dict[str, Contact] | None] = SharedReads(LIST_TTL_S)

    async def verdict(self, campaign: str, contact: str, update: Update) -> Delivery:
        """`taken` when the update may be sent; raises Unreachable, or RefusedByServer."""
        if update.status == "do_not_call":
            return "taken"
        if update.doubt is not None:
            is_sent = await self._is_newer(campaign, contact, update, update.doubt)
            return "taken" if is_sent else "outdated"
        return "over" if await self._is_over(campaign, contact, update) else "taken"

    async def _is_over(self, campaign: str, contact: str, update: Update) -> bool:
        backend, is_back = self._services.backend, update.status == "pending"
        shown: Contact | None = None
        if backend.may_show_contacts:
            try:
                shown = await backend.contact(campaign, contact)
            except ValueError as error:
                log.warning(
                    "contact cannot be read" + (" and is not called again" if is_back else ""),
                    extra={"campaign": campaign, "contact": contact, "error": str(error)},
                )
                return is_back
            except Unreachable:
                if backend.shows_contacts:
                    raise
        if shown is not None:
            return is_over(update, shown)
        if not is_back:
            return False  # if the contact is gone, the reply to the PATCH says so
        return backend.shows_contacts or await self._is_gone(campaign, contact, update)

    async def _is_gone(self, campaign: str, contact: str, update: Update) -> bool:
        """Whether a backend that shows no single contacts has finished the contact; False when its list is too long."""
        known = update.shown_status
        if known is None:
            return False  # the backend has taken nothing yet: the contact is not on a list of called ones
        statuses = sorted({known, *IN_CALL, *((update.disposition,) if update.disposition else ())})
        name = f"{campaign} {update.attempts} {statuses}"
        listed = await self._lists.get(name, partial(self._waiting, campaign, statuses, update.attempts))
        if listed is None:
            return False
        shown = listed.get(contact)
        return shown is None or is_over(update, shown)

    async def _waiting(
        self, campaign: str, statuses: list[str], attempts: int | None
    ) -> dict[str, Contact] | None:
        """Contacts of these statuses with at most one attempt more; None when that is more than a refill reads."""
        services, found, pages = self._services, dict[str, Contact](), 0
        now_ms = await server_ms(services.client) + SAME_MS
        listed = services.backend.due_for_retry(
            campaign,
            datetime.fromtimestamp(now_ms / 1000, UTC),
            10**6 if attempts is None else attempts + 2,
            services.settings.page_size,
            statuses,
        )
        async for page in listed:
            found.update({normalise_id(shown.id): shown for shown in page.contacts})
            pages += 1
            if page.next is not None and pages == services.settings.refill_max_pages:
                return None
        return found

    async def _is_newer(self, campaign: str, contact: str, update: Update, doubt: Doubt) -> bool:
        """Whether the update is newer than the contact in the backend; asked for updates after a data loss."""
        backend = self._services.backend
        try:
            shown = await backend.contact(campaign, contact)
        except ValueError as error:
            raise RefusedByServer(f"backend: contact {contact} cannot be read: {error}", 200) from error
        except Unreachable:
            if backend.shows_contacts:
                raise
            shown = None
        if shown is None:
            if backend.shows_contacts:
                return update.status != "pending"  # the contact is gone, and the reply to the PATCH says so
            shown = await self._listed(campaign, contact)
        return shown is not None and is_newer(update, doubt, shown)

    async def _listed(self, campaign: str, contact: str) -> Contact | None:
        """The contact in the backend's list of those that have not ended; None when it is not there."""
        services = self._services
        async for page in services.backend.unfinished(campaign, services.settings.page_size):
            for shown in page.contacts:
                if normalise_id(shown.id) == contact:
                    return shown
        return None
