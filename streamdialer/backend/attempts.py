"""Stores ended attempts as rows: history, exports and statistics come from them."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any, Final

import msgspec
from django.db import DatabaseError, close_old_connections, transaction

from streamdialer.backend.models import Attempt, Campaign, Contact

log = logging.getLogger(__name__)
GROUP: Final = "streamdialer-backend"
"""The consumer group that reads for these rows."""
_FIELDS: Final = (
    *("contact_id", "phone_number", "call_id", "agent_id", "disposition", "cause", "sent_at", "answered_at"),
    *("ended_at", "duration", "attempt", "next_at", "final", "entry_id"),
)


class Outcome(msgspec.Struct, frozen=True):
    """One ended attempt, as the dialer writes it."""

    attempt_id: str
    campaign_id: int
    contact_id: int | None = None
    phone_number: str | None = None
    call_id: str | None = None
    agent_id: str | int | None = None
    disposition: str | None = None
    cause: str | int | None = None
    sent_at: datetime | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    duration: float | None = None
    attempt: int | None = None
    next_at: datetime | None = None
    final: bool = False


def store_outcomes(entries: list[tuple[str, dict[str, str]]]) -> None:
    """A later entry of an attempt corrects an earlier one, in whatever order they come.

    Raises OSError when the database cannot be written; the same entries may come again.
    """
    newest: dict[str, tuple[str, Outcome]] = {}
    for entry_id, fields in entries:
        outcome = _read(entry_id, fields)
        if outcome is not None:
            newest[outcome.attempt_id] = entry_id, outcome
    try:
        close_old_connections()
        with transaction.atomic():
            _store(newest)
    except DatabaseError as error:
        raise OSError(str(error).strip()) from error


def _read(entry_id: str, fields: dict[str, str]) -> Outcome | None:
    if fields.get("type") != "attempt_ended":
        return None
    try:
        return msgspec.convert(msgspec.json.decode(fields.get("data", "")), Outcome, strict=False)
    except msgspec.MsgspecError as error:  # of a campaign that is not ours, or of another version
        log.warning(
            "an outcome cannot be read and is not stored", extra={"entry": entry_id, "error": str(error)}
        )
        return None


def _store(newest: dict[str, tuple[str, Outcome]]) -> None:
    outcomes = [outcome for _, outcome in newest.values()]
    campaigns = set(
        Campaign.objects.filter(pk__in={each.campaign_id for each in outcomes}).values_list("pk", flat=True)
    )
    contacts = set(
        Contact.objects.filter(pk__in={each.contact_id for each in outcomes}).values_list("pk", flat=True)
    )
    stored = dict(Attempt.objects.filter(attempt_id__in=newest).values_list("attempt_id", "entry_id"))
    rows = [
        Attempt(
            attempt_id=name, campaign_id=outcome.campaign_id, entry_id=entry_id, **_values(outcome, contacts)
        )
        for name, (entry_id, outcome) in newest.items()
        if outcome.campaign_id in campaigns and _order(entry_id) > _order(stored.get(name, "0-0"))
    ]
    Attempt.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["attempt_id"], update_fields=_FIELDS
    )


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
            )
        },
        "cause": "" if outcome.cause is None else str(outcome.cause)[:256],
    }


def _order(entry_id: str) -> tuple[int, ...]:
    return tuple(map(int, entry_id.split("-")))
