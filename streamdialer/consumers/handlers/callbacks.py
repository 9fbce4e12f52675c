"""Handles `callback_requested`: a contact wants a call at a given time, perhaps from one agent or on another number."""

from __future__ import annotations

import logging
from typing import Final

from streamdialer.broker.entries import BadEntry
from streamdialer.consumers.dialing.contact_rows import load_row
from streamdialer.consumers.event_entry import instant_ms
from streamdialer.consumers.services import Services
from streamdialer.ledger.callbacks import CallbackStatus
from streamdialer.ledger.types import LoadRow
from streamdialer.model import CallbackEvent
from streamdialer.rules.numbers import read_number

log = logging.getLogger(__name__)
REFUSED_TEXTS: Final = {
    "past": "the time is more than a day ago",
    "distant": "the time is more than a year ahead",
    "final": "the contact may not be called any more",
    "unknown_campaign": "this campaign was never dialed here, or was cleaned up",
    "unknown_contact": "neither the ledger nor the backend knows this contact in this campaign",
}
CALL_IS_LIVE: Final = frozenset({"dialing", "answered"})


class Callbacks:
    """Schedules callbacks in the ledger."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def schedule(self, event: CallbackEvent, entry: str) -> None:
        """Raises BadEntry for a request that cannot be kept, and Unreachable; `entry` is the event's id."""
        has_number = event.phone_number != ""
        country = await self._services.country_of(event.campaign_id) if has_number else ""
        number_read = read_number(event.phone_number, country)
        if has_number and number_read.problem:
            raise BadEntry("wrong_number", f"phone_number: {number_read.problem}")

        async def request(row: LoadRow | None = None) -> CallbackStatus:
            return await self._services.callbacks.schedule(
                event.campaign_id,
                event.contact_id,
                instant_ms(event),
                entry=entry,
                agent=event.agent_id,
                phone_number=number_read.dialed,
                compared=str(number_read),
                row=row,
            )

        status = await request()
        if status == "unknown_contact":  # not loaded yet, or dropped after its end
            row = await self._row_of(event)
            status = status if row is None else await request(row)
        about = {"campaign": event.campaign_id, "contact": event.contact_id}
        if status in REFUSED_TEXTS:
            where = f"(campaign {event.campaign_id}, {event.contact_id}, at {event.at})"
            raise BadEntry(f"callback_{status}", f"{REFUSED_TEXTS[status]} {where}")
        log.info("callback_requested", extra={**about, "due": event.at, "applied": status})

    async def _row_of(self, event: CallbackEvent) -> LoadRow | None:
        """The contact as the backend shows it, None when it does not know it; raises Unreachable, BadEntry."""
        services, where = self._services, f"(campaign {event.campaign_id}, {event.contact_id})"
        try:
            contact = await services.backend.contact(event.campaign_id, event.contact_id)
        except ValueError as error:
            raise BadEntry(
                "callback_unreadable_contact", f"the backend's contact: {error} {where}"
            ) from error
        if contact is None:
            return None
        if contact.status in CALL_IS_LIVE:
            raise BadEntry(
                "callback_unknown_call",
                f"the backend shows the contact as {contact.status}, and no call of it is known here {where}",
            )
        row = load_row(contact, country=await services.country_of(event.campaign_id), for_preview=True)
        problem = row.problem or (
            "the backend shows the contact as invalid" if contact.status == "invalid" else ""
        )
        if problem:
            raise BadEntry("callback_final", f"{problem} {where}")
        return row
