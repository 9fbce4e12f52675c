"""Turns contacts of the backend into the rows that scripts load."""

from __future__ import annotations

import logging
import math
import re
from datetime import UTC, datetime
from typing import Final
from zlib import crc32

import msgspec

from streamdialer.ledger.recovery import InFlightRow
from streamdialer.ledger.types import LoadRow
from streamdialer.model import Contact, ContactData, has_control, normalise_id, wire_id
from streamdialer.rules.number_text import NO_NUMBER
from streamdialer.rules.numbers import read_number
from streamdialer.rules.zones import read_region

log = logging.getLogger(__name__)
MAX_VARIABLES: Final = 32
MAX_VARIABLE_CHARS: Final = 256
OWN_VARIABLES: Final = frozenset({"ATTEMPT_ID", "AGENT_ID"})
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")


def load_row(
    contact: Contact, *, reset: bool = False, country: str = "", for_preview: bool = False
) -> LoadRow:
    """A contact as the ledger takes it; `country` is that of numbers without a country code.

    `for_preview` keeps `custom_data`, which the agent sees.
    """
    read = [read_number(raw, country) for raw in contact.numbers]
    good: dict[str, str] = {}  # one number in two spellings is one
    for number in read:
        if not number.problem:
            good.setdefault(str(number), number.dialed)
    dialed, campaign = list(good.values()), contact.campaign_id
    is_as_written = campaign is None or wire_id(normalise_id(campaign)) == campaign
    call = ContactData(
        id=contact.id,
        campaign_id=None if is_as_written else campaign,
        phone_number=dialed[0] if dialed else "",
        phones=dialed if len(good) > 1 else [],
        n=list(good),
        timezone=contact.timezone or "",
        region=read_region(contact.region or "", country.upper()),
        subject=contact.subject or None,
        caller_id=contact.caller_id or "",
        consent_ms=consent_ms(contact),
        dnc=contact.is_suppressed,
        variables={} if for_preview else variables_of(contact.custom_data),
        custom_data=(contact.custom_data or {}) if for_preview else None,
    )
    priority = 5 if contact.priority is None else contact.priority
    return LoadRow(
        contact=normalise_id(contact.id),
        priority=max(1, min(10, priority)),
        attempts=max(0, contact.attempts or 0),
        call=msgspec.json.encode(call).decode(),
        problem="" if good else read[0].problem if read else NO_NUMBER,
        reset=reset,
        shown=row_mark(contact),
        shown_status=contact.status,
    )


def variables_of(custom_data: object) -> dict[str, str]:
    """The part of a contact's own data that the telephone system gets, with blanks for control characters."""
    variables: dict[str, str] = {}
    for name, value in custom_data.items() if isinstance(custom_data, dict) else ():
        if isinstance(value, float) and not math.isfinite(value):
            continue
        if isinstance(value, str):
            text = (
                "".join(" " if has_control(each) else each for each in value) if has_control(value) else value
            )
        elif isinstance(value, bool | int | float):
            text = msgspec.json.encode(value).decode()
        else:
            continue
        is_sent = _VARIABLE.fullmatch(name) and name not in OWN_VARIABLES and len(text) <= MAX_VARIABLE_CHARS
        if is_sent and len(variables) < MAX_VARIABLES:
            variables[name] = text
    return variables


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
    return _instant_ms("last_attempt", contact.last_attempt, contact)


def consent_ms(contact: Contact) -> int | None:
    """When the contact gave its consent, 0 when the backend does not say when; None without a consent."""
    if contact.consent is True or str(contact.consent).strip().lower() == "true":
        return 0
    return _instant_ms("consent", contact.consent, contact) if contact.consent else None


def _instant_ms(field: str, raw: object, contact: Contact) -> int | None:
    if not isinstance(raw, str):
        return None
    try:
        instant = datetime.fromisoformat(raw.strip())
    except ValueError:
        log.warning(f"{field} is no ISO 8601 time", extra={"contact": contact.id})
        return None
    instant = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return round(instant.timestamp() * 1000)
