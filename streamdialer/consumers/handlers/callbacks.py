"""Callbacks: a contact asked to be called at an instant, perhaps by one agent, perhaps on another number."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Final

from streamdialer.broker import BadEntry
from streamdialer.consumers.dialing.contact_rows import load_row
from streamdialer.consumers.services import Services
from streamdialer.ledger import CallbackStatus, LoadRow
from streamdialer.model import CallbackEvent
from streamdialer.rules.numbers import read_number

log = logging.getLogger(__name__)
REFUSED_TEXTS: Final = {
    "past": "it is more than a day ago",
    "distant": "it is more than a year ahead",
    "final": "the contact is not to be called any more",
    "unknown_campaign": "the campaign was never dialed here, or has been cleaned up",
    "unknown_contact": "neither this ledger nor the backend knows the contact in this campaign",
}
CALL_IS_LIVE: Final = frozenset({"dialing", "answered"})


def instant_ms(event: CallbackEvent) -> int:
    """When the callback is asked for, ms since 1970; raises BadEntry."""
    try:
        instant = datetime.fromisoformat(event.at.strip())
        if instant.tzinfo is None:
            raise BadEntry("wrong_time", f"at is {event.at!r}: its offset from UTC is missing (Z or +hh:mm)")
        return round(instant.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise BadEntry(
            "wrong_time", f"at is {event.at[:100]!r}, takes ISO 8601 such as 2030-01-31T15:00:00-05:00"
        ) from error


class Callbacks:
    """Notes callbacks in the ledger."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def schedule(self, event: CallbackEvent, entry: str) -> None:
        """Raises BadEntry for what can be no callback, Unreachable; `entry` is the event's id."""
        number = event.phone_number.strip()
        country = await self._services.country_of(event.campaign_id) if number else ""
        compared = read_number(number, country)
        if number and compared.problem:
            raise BadEntry("wrong_number", f"phone_number: {compared.problem}")

        async def request(row: LoadRow | None = None) -> CallbackStatus:
            return await self._services.callbacks.schedule(
                event.campaign_id,
                event.contact_id,
                instant_ms(event),
                entry=entry,
                agent=event.agent_id,
                phone_number=number,
                compared=str(compared),
                row=row,
            )

        noted = await request()
        if noted == "unknown_contact":  # not loaded yet, or forgotten after its end
            row = await self._row_of(event)
            noted = noted if row is None else await request(row)
        about = {"campaign": event.campaign_id, "contact": event.contact_id}
        if noted in REFUSED_TEXTS:
            where = f"(campaign {event.campaign_id}, {event.contact_id}, at {event.at})"
            raise BadEntry(f"callback_{noted}", f"{REFUSED_TEXTS[noted]} {where}")
        log.info("callback_requested", extra={**about, "due": event.at, "applied": noted})

    async def _row_of(self, event: CallbackEvent) -> LoadRow | None:
        """The contact as the backend shows it, None when it does not; raises Unreachable, BadEntry."""
        services, where = self._services, f"(campaign {event.campaign_id}, {event.contact_id})"
        try:
            found = await services.backend.contact(event.campaign_id, event.contact_id)
        except ValueError as error:
            raise BadEntry(
                "callback_unreadable_contact", f"the backend's contact: {error} {where}"
            ) from error
        if found is None:
            return None
        if found.status in CALL_IS_LIVE:
            raise BadEntry(
                "callback_unknown_call",
                f"the backend shows the contact as {found.status}, and no call of it is known here {where}",
            )
        row = load_row(found, country=await services.country_of(event.campaign_id), for_preview=True)
        problem = row.problem or (
            "the backend shows the contact as invalid" if found.status == "invalid" else ""
        )
        if problem:
            raise BadEntry("callback_final", f"{problem} {where}")
        return row
