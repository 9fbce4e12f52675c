"""One contact as the ledger has it: its state, how its calls ended, when it may be called next and why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.errors import CannotBeDone
from streamdialer.ledger.records import (
    CONTACT_STATES,
    Attempt,
    CallbackRequest,
    ContactRecord,
    ContactState,
    decode_contact,
    decode_update,
)
from streamdialer.model import ContactData, plain_id, wire_id
from streamdialer.observability.redaction import mask_number
from streamdialer.operations.eligibility import eligibility_at
from streamdialer.rules.calling_hours import CallingHours

STATE_TEXTS: Final[dict[ContactState, str]] = {
    "ready": "may be called now",
    "deferred": "may be called from {until}",
    "previewing": "agent {agent} sees it and may call it; ready again at {until}",
    "reserved": "is about to be called; ready again at {until} if its request has not left",
    "dialing": "is being called; the attempt ends at {until} if no event comes",
    "connected": "is on the phone, until {until} at the latest",
    "orphaned": "may be on the phone: Redis lost the record of its call; not called before {until}",
    "final": "is not called any more",
}
"""When the next call may come."""


class AttemptDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt; times are ISO 8601 in UTC."""

    attempt: str
    number: str
    """Masked."""
    state: str
    disposition: str | None
    call_id: str | None
    reserved_at: str | None
    sent_at: str | None
    answered_at: str | None
    ended_at: str | None


class NotConfirmed(msgspec.Struct, frozen=True, kw_only=True):
    """An update for the backend that it has not confirmed."""

    status: str
    attempts: int | None


class CallbackDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A callback that was asked for and has not been placed yet; times are ISO 8601 in UTC."""

    at: str
    number: str
    """Masked; '' is the contact's own."""
    agent: str
    """'' is any agent."""
    for_agent_until: str | None
    """After that any agent may take it; None when that was so from the start."""


class ContactDetail(msgspec.Struct, frozen=True, kw_only=True):
    """What `contact show` prints; times are ISO 8601 in UTC."""

    campaign_id: int | str
    contact_id: int | str
    campaign_status: str | None
    state: str
    state_text: str
    """When it may be called next, as a sentence."""
    until: str | None
    """When it leaves this state, or when a ready contact may be called; None when there is no such time."""
    reason: str | None
    """The code of why it waits, is final, or is ready and may not be called."""
    detail: str | None
    priority: int | None
    attempts_counted: int
    numbers: list[str]
    """Masked, in the order in which they are called."""
    shown_pending_at: str | None
    """When the backend last showed it as pending, or confirmed that it is."""
    callback: CallbackDetail | None
    not_confirmed: NotConfirmed | None
    attempts: list[AttemptDetail]
    """The last eight at most, the newest last."""


async def contact_detail(
    client: Redis,
    keys: Keys,
    campaign: str,
    contact: str,
    fetch_hours: Callable[[], Awaitable[CallingHours | str]],
) -> ContactDetail:
    """One contact; raises CannotBeDone when the ledger does not know it, redis.RedisError.

    `fetch_hours` returns the campaign's hours, or a sentence why they are not known. Only a ready contact needs them.
    """
    pipe = client.pipeline(transaction=False)
    for key in (keys.records(campaign), keys.contacts(campaign), keys.outbox(campaign)):
        pipe.hget(key, contact)
    pipe.hget(keys.campaign(campaign), "status")
    pipe.hget(keys.server, "clock_offset")
    pipe.time()
    for state in CONTACT_STATES:
        pipe.zscore(getattr(keys, state)(campaign), contact)
    answers: list[Any] = await pipe.execute()
    raw, call, update, status, clock_offset, (seconds, micros) = answers[:6]
    scores = dict(zip(CONTACT_STATES, answers[6:], strict=True))
    if raw is None:
        raise CannotBeDone(
            f"contact {plain_id(contact)} of campaign {plain_id(campaign)} is not known here: it has not been "
            "loaded yet, or was final and its record has expired"
        )
    record = decode_contact(raw)
    numbers = _masked_numbers(call)

    def iso_of(ledger_ms: float | None) -> str | None:
        if ledger_ms is None or ledger_ms == float("inf"):
            return None
        return _iso(ledger_ms - int(clock_offset or 0))

    server_ms = seconds * 1000 + micros // 1000
    until, (reason, detail) = iso_of(scores[record.state]), _reason(record)
    hours: CallingHours | str = ""
    if record.state == "ready":
        hours = await fetch_hours()
        ineligibility = await eligibility_at(
            client,
            keys,
            campaign,
            contact,
            call=call or "{}",
            zones=record.zones,
            hours=hours,
            server_ms=server_ms,
        )
        until = None if ineligibility.due_ms is None else _iso(ineligibility.due_ms)
        reason, detail = ineligibility.reason or None, ineligibility.detail
    return ContactDetail(
        campaign_id=wire_id(campaign),
        contact_id=wire_id(contact),
        campaign_status=status,
        state=record.state,
        state_text=_describe_state(record, status, until, reason, hours, server_ms),
        until=until,
        reason=reason,
        detail=detail,
        priority=record.priority,
        attempts_counted=record.attempts,
        numbers=numbers,
        shown_pending_at=iso_of(record.seen_ms),
        callback=_callback_detail(record.open_callback),
        not_confirmed=_not_confirmed(update),
        attempts=[
            AttemptDetail(
                attempt=attempt.id,
                number=_number_of(attempt, record.callback, numbers),
                state=attempt.state,
                disposition=attempt.disposition,
                call_id=attempt.call_id or attempt.reply_call_id,
                reserved_at=iso_of(attempt.reserved_ms),
                sent_at=iso_of(attempt.sent_ms),
                answered_at=iso_of(attempt.answered_ms),
                ended_at=iso_of(attempt.ended_ms),
            )
            for attempt in record.history
        ],
    )


def _masked_numbers(call: str | None) -> list[str]:
    if call is None:
        return []
    data = msgspec.json.decode(call, type=ContactData)
    return [mask_number(number) for number in data.phones or [data.phone_number] if number]


def _not_confirmed(raw: str | None) -> NotConfirmed | None:
    if raw is None:
        return None
    update = decode_update(raw)
    return NotConfirmed(status=update.status, attempts=update.attempts)


def _describe_state(
    record: ContactRecord,
    status: str | None,
    until: str | None,
    reason: str | None,
    hours: CallingHours | str,
    server_ms: int,
) -> str:
    if record.state == "ready" and status != "active":
        return f"may be called once the campaign is active: its status is {status!r}"
    if record.state == "ready" and reason:
        return STATE_TEXTS["final"] if until is None else STATE_TEXTS["deferred"].format(until=until)
    request = record.open_callback
    if record.state == "ready" and request and request.agent and server_ms < request.agent_until_ms:
        anyone_from = _iso(request.agent_until_ms)
        return f"may be called now for agent {request.agent}, and for any agent from {anyone_from}"
    if record.state == "ready" and isinstance(hours, str):
        return f"may be called now if its calling hours allow it, which are not known: {hours}"
    agent = record.offer.agent if record.offer else ""
    return STATE_TEXTS[record.state].format(until=until, agent=agent)


def _reason(record: ContactRecord) -> tuple[str | None, str | None]:
    """Code and detail of why the contact waits or is final."""
    if record.wait is not None:
        return record.wait.reason, record.wait.detail
    if record.is_suppressed:
        return "do_not_call", None
    if record.state != "final":
        return None, None
    if record.is_removed:
        return "gone", "the backend no longer showed it as pending"
    if record.problem:
        return "invalid", record.problem
    newest = record.newest
    return (newest.disposition if newest and newest.disposition else "max_attempts"), None


def _callback_detail(request: CallbackRequest | None) -> CallbackDetail | None:
    if request is None:
        return None
    return CallbackDetail(
        at=_iso(request.due_ms),
        number=mask_number(request.number or ""),
        agent=request.agent or "",
        for_agent_until=_iso(request.agent_until_ms) if request.agent else None,
    )


def _number_of(attempt: Attempt, newest_request: CallbackRequest | None, numbers: list[str]) -> str:
    """The number that was called, masked; '' when it came with an older callback and is no longer known."""
    index = 1 if attempt.phone_index is None else attempt.phone_index
    if index > 0:
        return numbers[index - 1] if index <= len(numbers) else ""
    is_known = newest_request is not None and newest_request.entry == attempt.callback_entry
    return mask_number(newest_request.number or "") if newest_request and is_known else ""


def _iso(ms: float) -> str:
    """`ms` is the server's time."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
