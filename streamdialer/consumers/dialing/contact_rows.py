"""Turns contacts of the backend into the rows that scripts load."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from zlib import crc32

import msgspec

from streamdialer.ledger.recovery import InFlightRow
from streamdialer.ledger.types import LoadRow
from streamdialer.model import Contact, ContactData, normalise_id
from streamdialer.rules.numbers import NO_NUMBER, read_number

log = logging.getLogger(__name__)


def load_row(
    contact: Contact, *, reset: bool = False, country: str = "", for_preview: bool = False
) -> LoadRow:
    """A contact as the ledger takes it; `country` is that of numbers without a country code.

    `for_preview` keeps `custom_data`, which the agent sees.
    """
    read = [(spelled, read_number(spelled, country)) for spelled in contact.numbers]
    good: dict[str, str] = {}  # one number in two spellings is one
    for spelling, number in read:
        if not number.problem:
            good.setdefault(str(number), spelling)
    spelled = list(good.values()) or [spelling for spelling, _ in read]
    call = ContactData(
        id=contact.id,
        phone_number=spelled[0] if spelled else "",
        phones=spelled if len(good) > 1 else [],
        n=list(good),
        timezone=contact.timezone or "",
        dnc=contact.is_suppressed,
        custom_data=(contact.custom_data or {}) if for_preview else None,
    )
    priority = 5 if contact.priority is None else contact.priority
    return LoadRow(
        contact=normalise_id(contact.id),
        priority=max(1, min(10, priority)),
        attempts=max(0, contact.attempts or 0),
        call=msgspec.json.encode(call).decode(),
        problem="" if good else read[0][1].problem if read else NO_NUMBER,
        reset=reset,
        shown=row_mark(contact),
    )


def row_mark(contact: Contact) -> str:
    """Changes when the backend changes the contact's status, attempts or last attempt; short, there are many."""
    text = f"{contact.status} {contact.attempts or 0} {contact.last_attempt or ''}"
    return f"{crc32(text.encode('utf-8', 'replace')):08x}"


def in_flight_row(contact: Contact, country: str = "", *, for_preview: bool = False) -> InFlightRow:
    """A contact that the backend shows as dialing or answered."""
    row = load_row(contact, country=country, for_preview=for_preview)
    return InFlightRow(row, contact.status == "answered", last_attempt_ms(contact))


def last_attempt_ms(contact: Contact) -> int | None:
    """Time of the last attempt by the server's clock; None when the backend does not say."""
    if not isinstance(contact.last_attempt, str):
        return None
    try:
        instant = datetime.fromisoformat(contact.last_attempt)
    except ValueError:
        log.warning("last_attempt is no ISO 8601 time", extra={"contact": contact.id})
        return None
    instant = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return round(instant.timestamp() * 1000)
