"""Stores ended attempts as rows: history, exports and statistics come from them."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from django.db import DatabaseError, DataError, IntegrityError, close_old_connections, transaction
from msgspec import Meta

from streamdialer.backend.models import Attempt, Campaign, Contact

log = logging.getLogger(__name__)
GROUP: Final = "streamdialer-backend"
"""The consumer group that reads for these rows."""
_FIELDS: Final = (
    *("contact_id", "phone_number", "call_id", "agent_id", "disposition", "cause", "sent_at", "answered_at"),
    *("ended_at", "duration", "attempt", "allowed_by", "next_at", "final", "entry_id"),
)
Id = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Instant = Annotated[datetime, Meta(tz=True)]


class Outcome(msgspec.Struct, frozen=True):
    """One ended attempt, as the dialer writes it."""

    attempt_id: Annotated[str, Meta(min_length=1, max_length=600)]
    campaign_id: Id
    contact_id: Id | None = None
    phone_number: str | None = None
    call_id: str | None = None
    agent_id: str | int | None = None
    disposition: str | None = None
    cause: str | int | None = None
    sent_at: Instant | None = None
    answered_at: Instant | None = None
    ended_at: Instant | None = None
    duration: float | None = None
    attempt: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    allowed_by: str | None = None
    next_at: Instant | None = None
    final: bool = False


def store_outcomes(entries: list[tuple[str, dict[str, str]]]) -> None:
    """A later entry of an attempt corrects an earlier one, in whatever order they come.

    An entry that cannot be stored is logged and left out, and costs no other entry. Raises OSError when the database
    takes nothing now: the same entries may come again.
    """
    newest: dict[str, tuple[str, Outcome]] = {}
    for entry_id, fields in sorted(entries, key=lambda entry: _order(entry[0])):
        outcome = _read(entry_id, fields)
        if outcome is not None:
            before = newest.get(outcome.attempt_id)
            if before and not outcome.allowed_by:  # a correction may not name it
                outcome = msgspec.structs.replace(outcome, allowed_by=before[1].allowed_by)
            newest[outcome.attempt_id] = entry_id, outcome
    close_old_connections()
    _store_each(dict(sorted(newest.items())))  # sorted: two writers do not wait for each other's rows


def _read(entry_id: str, fields: dict[str, str]) -> Outcome | None:
    if fields.get("type") != "attempt_ended":
        return None
    try:
        document = msgspec.json.decode(fields.get("data", ""))
        return msgspec.convert(document, Outcome, strict=False)
    except (
        msgspec.MsgspecError,
        UnicodeError,
    ) as error:  # of a campaign that is not ours, or another program has written it
        log.warning(
            "an outcome cannot be read and is not stored", extra={"entry": entry_id, "error": str(error)}
        )
        return None


def _store_each(newest: dict[str, tuple[str, Outcome]]) -> None:
    try:
        with transaction.atomic():
            _store(newest)
    except (DataError, IntegrityError, ValueError, OverflowError) as error:  # one of them is refused
        if len(newest) > 1:
            for name, entry in newest.items():
                _store_each({name: entry})
            return
        log.error(
            "the database refuses an outcome: it is not stored",
            extra={"attempt": next(iter(newest)), "error": str(error).strip()},
        )
    except DatabaseError as error:
        raise OSError(str(error).strip()) from error


def _store(newest: dict[str, tuple[str, Outcome]]) -> None:
    """Another process may store the same attempts now: a row is locked before its age is compared."""
    outcomes = [outcome for _, outcome in newest.values()]
    campaigns = set(
        Campaign.objects.filter(pk__in={each.campaign_id for each in outcomes}).values_list("pk", flat=True)
    )
    contacts = set(
        Contact.objects.filter(pk__in={each.contact_id for each in outcomes}).values_list("pk", flat=True)
    )
    rows = [
        Attempt(
            attempt_id=name, campaign_id=outcome.campaign_id, entry_id=entry_id, **_values(outcome, contacts)
        )
        for name, (entry_id, outcome) in newest.items()
        if outcome.campaign_id in campaigns
    ]
    Attempt.objects.bulk_create(rows, ignore_conflicts=True)
    stored = {
        row.attempt_id: row
        for row in Attempt.objects.select_for_update()
        .filter(attempt_id__in=[row.attempt_id for row in rows])
        .order_by("attempt_id")
        .only("attempt_id", "entry_id", "allowed_by")
    }
    corrected = [row for row in rows if _order(row.entry_id) > _order(stored[row.attempt_id].entry_id)]
    for row in corrected:
        row.pk = stored[row.attempt_id].pk
        row.allowed_by = row.allowed_by or stored[row.attempt_id].allowed_by
    Attempt.objects.bulk_update(corrected, _FIELDS)


def _values(outcome: Outcome, contacts: set[int]) -> dict[str, Any]:
    return {
        "contact_id": outcome.contact_id if outcome.contact_id in contacts else None,
        **{name: getattr(outcome, name) for name in ("sent_at", "answered_at", "ended_at", "next_at")},
        **{name: getattr(outcome, name) for name in ("duration", "attempt", "final")},
        **{
            name: str(getattr(outcome, name) or "")[:limit]
            for name, limit in (
                ("phone_number", 40),
                ("call_id", 256),
                ("agent_id", 256),
                ("disposition", 40),
                ("allowed_by", 400),
            )
        },
        "cause": "" if outcome.cause is None else str(outcome.cause)[:256],
    }


def _order(entry_id: str) -> tuple[int, ...]:
    return tuple(map(int, entry_id.split("-")))
