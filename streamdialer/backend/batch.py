"""Many contacts at once, in one statement: a list of a million has no time for an object per row."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from streamdialer.backend.models import Contact, ContactList
from streamdialer.rules.numbers import Number, read_number

Text = Annotated[str, msgspec.Meta(max_length=200)]
_SAME_TAIL: Final = 6
_DIALED: Final = re.compile(r"\+?[0-9]{7,20}")


class ContactRow(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """One contact of a batch."""

    phone_number: Annotated[str, msgspec.Meta(max_length=40)]
    number: Annotated[str, msgspec.Meta(max_length=20)] = ""
    """The same number in E.164, where the sender has read it; reading it anew takes most of the time."""
    phone_2: Annotated[str, msgspec.Meta(max_length=40)] = ""
    phone_3: Annotated[str, msgspec.Meta(max_length=40)] = ""
    priority: Annotated[int, msgspec.Meta(ge=1, le=10)] = 5
    timezone: Annotated[str, msgspec.Meta(max_length=60)] = ""
    region: Annotated[str, msgspec.Meta(max_length=20)] = ""
    do_not_call: bool = False
    consent: bool | datetime = False
    subject: Text = ""
    caller_id: Annotated[str, msgspec.Meta(max_length=100)] = ""
    custom_data: msgspec.Raw = msgspec.Raw(b"{}")
    """An object; it is stored as it is."""


class Refused(msgspec.Struct, frozen=True):
    row: int
    """From 0, in the batch."""
    problem: str


class Inserted(msgspec.Struct, frozen=True):
    added: int
    duplicates: int
    refused: list[Refused]


def insert_contacts(contact_list: ContactList, rows: list[ContactRow]) -> Inserted:
    """Adds the contacts, each number once in the campaign, and counts them in the list."""
    refused, values, now = list[Refused](), list[tuple[Any, ...]](), timezone.now()
    country = contact_list.campaign.country
    adapt = connection.ops.adapt_datetimefield_value
    created = adapt(now)
    campaign_id, list_id = contact_list.campaign_id, contact_list.pk
    for at, row in enumerate(rows):
        number = read_row_number(row, country)
        problem = number.problem or ("" if _is_object(row.custom_data) else "custom_data is no object")
        if problem:
            refused.append(Refused(at, problem))
            continue
        consent_at = row.consent if isinstance(row.consent, datetime) else None
        who = (campaign_id, list_id, number.dialed, str(number), row.phone_2, row.phone_3)
        status = "do_not_call" if row.do_not_call else "pending"
        when = (status, row.priority, 0, None, row.timezone, row.region)
        may = (row.do_not_call, bool(row.consent), consent_at and adapt(consent_at))
        data = (row.subject, row.caller_id, bytes(row.custom_data).decode(), created, created)
        values.append(who + when + may + data)
    added = _insert(contact_list, values)
    return Inserted(added, len(values) - added, refused)


def read_row_number(row: ContactRow, country: str) -> Number:
    """The number of a row, from its E.164 form where that is the same number."""
    if row.number:
        number = read_number(row.number)
        is_same = number.is_e164 and number.digits[-_SAME_TAIL:] == row.phone_number[-_SAME_TAIL:]
        if is_same and _DIALED.fullmatch(row.phone_number):
            return Number(number.digits, is_e164=True, dialed=row.phone_number)
    return read_number(row.phone_number, country)


def _is_object(raw: msgspec.Raw) -> bool:
    return bytes(memoryview(raw)[:1]) == b"{"


_COLUMNS: Final = (
    *("campaign_id", "contact_list_id", "phone_number", "number", "phone_2", "phone_3"),
    *("status", "priority", "attempts", "last_attempt", "timezone", "region"),
    *("do_not_call", "has_consent", "consent_at", "subject", "caller_id"),
    *("custom_data", "created_at", "updated_at"),
)


def _insert(contact_list: ContactList, values: list[tuple[Any, ...]]) -> int:
    """The number of contacts that were not there."""
    table = connection.ops.quote_name(Contact._meta.db_table)
    names, marks = ", ".join(_COLUMNS), ", ".join(["%s"] * len(_COLUMNS))
    sql = f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT (campaign_id, number) DO NOTHING"
    with transaction.atomic(), connection.cursor() as cursor:
        added = 0
        if values:
            cursor.executemany(sql, values)
            added = max(0, cursor.rowcount)
        ContactList.objects.filter(pk=contact_list.pk).update(
            added=F("added") + added, duplicates=F("duplicates") + len(values) - added
        )
    return added
