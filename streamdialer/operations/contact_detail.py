"""One contact as the ledger has it: where it is, what became of its calls, when it may be called next and why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.errors import CannotBeDone
from streamdialer.ledger import Update
from streamdialer.model import wire_id
from streamdialer.observability.redaction import mask_number
from streamdialer.operations.eligibility import eligibility_at
from streamdialer.rules import CallingHours

STATES: Final = ("ready", "deferred", "previewing", "reserved", "dialing", "connected", "orphaned", "final")
STATE_TEXTS: Final = {
    "ready": "may be called now",
    "deferred": "may be called from {until}",
    "previewing": "is shown to agent {agent}, and called when they take it; ready again at {until}",
    "reserved": "is about to be called; ready again at {until} when its request has not left",
    "dialing": "is being called; without any news the attempt ends at {until}",
    "connected": "is on the phone, until {until} at the longest",
    "orphaned": "may be on the phone, Redis has forgotten its call; not called before {until}",
    "final": "is not called any more",
}
"""What a place means for the next call."""


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
    """What the backend will be told, or has been and has not confirmed."""

    status: str
    attempts: int | None


class CallbackDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A callback that was asked for and has not been placed yet; times are ISO 8601 in UTC."""

    at: str
    number: str
    """Masked; '' is the contact's own."""
    agent: str
    """'' is anyone."""
    for_agent_until: str | None
    """After that anyone has it; None when anyone has it from the start."""


class ContactDetail(msgspec.Struct, frozen=True, kw_only=True):
    """Everything `contact show` tells; times are ISO 8601 in UTC."""

    campaign_id: int | str
    contact_id: int | str
    campaign_status: str | None
    state: str
    state_text: str
    """When it may be called next, as a sentence."""
    until: str | None
    """End of its stay in this place, of ready ones when they may be called; None when there is none."""
    reason: str | None
    """Why it waits or is done, or may not be called though it is ready, as a code."""
    detail: str | None
    priority: int | None
    attempts_counted: int
    numbers: list[str]
    """Masked, in the order they are called."""
    shown_pending_at: str | None
    """When the backend last showed it as pending, or was told so."""
    callback: CallbackDetail | None
    not_confirmed: NotConfirmed | None
    attempts: list[AttemptDetail]
    """The newest last; older ones are forgotten after some."""


class _Wait(msgspec.Struct):
    reason: str = msgspec.field(name="y")
    detail: str | None = msgspec.field(name="s", default=None)


class _Attempt(msgspec.Struct):
    id: str
    state: str = msgspec.field(name="s")
    disposition: str | None = msgspec.field(name="d", default=None)
    call_id: str | None = msgspec.field(name="c", default=None)
    reply_id: str | None = msgspec.field(name="rc", default=None)
    phone: int = msgspec.field(name="ph", default=1)
    callback: str | None = msgspec.field(name="cb", default=None)
    reserved_ms: float | None = msgspec.field(name="rm", default=None)
    sent_ms: float | None = msgspec.field(name="sm", default=None)
    answered_ms: float | None = msgspec.field(name="am", default=None)
    ended_ms: float | None = msgspec.field(name="em", default=None)


class _Callback(msgspec.Struct):
    entry: str = msgspec.field(name="e")
    at_ms: float = msgspec.field(name="at")
    grace_ends_ms: float = msgspec.field(name="gr")
    agent: str = msgspec.field(name="ag", default="")
    number: str = msgspec.field(name="num", default="")
    was_placed: bool = msgspec.field(name="had", default=False)


class _Offer(msgspec.Struct):
    agent: str = msgspec.field(name="ag")


class _Record(msgspec.Struct):
    """As `lua/lib/campaign.lua` describes it."""

    state: str = msgspec.field(name="p")
    attempts: int = msgspec.field(name="a")
    priority: int | None = msgspec.field(name="pr", default=None)
    seen_ms: float | None = msgspec.field(name="sn", default=None)
    wait: _Wait | None = msgspec.field(name="w", default=None)
    gone: int = msgspec.field(name="x", default=0)
    problem: str | None = msgspec.field(name="why", default=None)
    is_suppressed: bool = msgspec.field(name="dnc", default=False)
    zones: str | None = msgspec.field(name="z", default=None)
    offer: _Offer | None = msgspec.field(name="of", default=None)
    callback: _Callback | None = msgspec.field(name="cb", default=None)
    history: list[_Attempt] = msgspec.field(name="h", default_factory=list)


class _Call(msgspec.Struct):
    phone_number: str = ""
    phones: list[str] = []


async def contact_detail(
    client: Redis,
    keys: Keys,
    campaign: str,
    contact: str,
    ask_hours: Callable[[], Awaitable[CallingHours | str]],
) -> ContactDetail:
    """One contact; raises CannotBeDone when the ledger does not know it, redis.RedisError.

    `ask_hours` gives the campaign's hours, or in a sentence why they are not known; asked only for ready contacts.
    """
    pipe = client.pipeline(transaction=False)
    for key in (keys.records(campaign), keys.contacts(campaign), keys.outbox(campaign)):
        pipe.hget(key, contact)
    pipe.hget(keys.campaign(campaign), "status")
    pipe.hget(keys.server, "clock_offset")
    pipe.time()
    for place in STATES:
        pipe.zscore(getattr(keys, place)(campaign), contact)
    answers: list[Any] = await pipe.execute()
    raw, call, news, status, ahead, (seconds, micros) = answers[:6]
    scores = dict(zip(STATES, answers[6:], strict=True))
    if raw is None:
        raise CannotBeDone(
            f"contact {contact} of campaign {campaign} is not known here: it has not been loaded yet, "
            "or is done and was forgotten"
        )
    record = msgspec.json.decode(raw, type=_Record)
    known = msgspec.json.decode(call or "{}", type=_Call)
    numbers = [mask_number(number) for number in known.phones or [known.phone_number] if number]

    def clock(ms: float | None) -> str | None:
        """Ledger ms on the server's clock."""
        if ms is None or ms == float("inf"):
            return None
        return _iso(ms - int(ahead or 0))

    wall_ms = seconds * 1000 + micros // 1000
    until, (reason, detail) = clock(scores[record.state]), _why(record)
    hours: CallingHours | str = ""
    if record.state == "ready":
        hours = await ask_hours()
        hindrance = await eligibility_at(
            client,
            keys,
            campaign,
            contact,
            call=call or "{}",
            zones=record.zones,
            hours=hours,
            wall_ms=wall_ms,
        )
        until = None if hindrance.due_ms is None else _iso(hindrance.due_ms)
        reason, detail = hindrance.reason or None, hindrance.detail
    return ContactDetail(
        campaign_id=wire_id(campaign),
        contact_id=wire_id(contact),
        campaign_status=status,
        state=record.state,
        state_text=_describe_state(record, status, until, reason, hours, wall_ms),
        until=until,
        reason=reason,
        detail=detail,
        priority=record.priority,
        attempts_counted=record.attempts,
        numbers=numbers,
        shown_pending_at=clock(record.seen_ms),
        callback=_callback(record),
        not_confirmed=_not_confirmed(news),
        attempts=[
            _attempt(attempt, _number_of(attempt, record.callback, numbers), clock)
            for attempt in record.history
        ],
    )


def _not_confirmed(news: str | None) -> NotConfirmed | None:
    if news is None:
        return None
    update = msgspec.json.decode(news, type=Update)
    return NotConfirmed(status=update.status, attempts=update.attempts)


def _describe_state(
    record: _Record,
    status: str | None,
    until: str | None,
    reason: str | None,
    hours: CallingHours | str,
    wall_ms: int,
) -> str:
    """When it may be called next; `wall_ms` is the server's own time."""
    if record.state == "ready" and status != "active":
        return f"may be called once the campaign is active: its status is {status!r}"
    if record.state == "ready" and reason:
        return STATE_TEXTS["final"] if until is None else STATE_TEXTS["deferred"].format(until=until)
    asked = record.callback if _callback(record) else None
    if record.state == "ready" and asked and asked.agent and wall_ms < asked.grace_ends_ms:
        return f"may be called now for agent {asked.agent}, and for anyone from {_iso(asked.grace_ends_ms)}"
    if record.state == "ready" and isinstance(hours, str):
        return f"may be called now if its calling hours allow it, which are not known: {hours}"
    offered_to = record.offer.agent if record.offer else ""
    return STATE_TEXTS[record.state].format(until=until, agent=offered_to)


def _why(record: _Record) -> tuple[str | None, str | None]:
    """Code and detail of why the contact waits or is done."""
    if record.wait is not None:
        return record.wait.reason, record.wait.detail
    if record.is_suppressed:
        return "do_not_call", None
    if record.state != "final":
        return None, None
    if record.gone:
        return "gone", "the backend no longer showed it as pending"
    if record.problem:
        return "invalid", record.problem
    last = record.history[-1] if record.history else None
    return (last.disposition if last and last.disposition else "max_attempts"), None


def _callback(record: _Record) -> CallbackDetail | None:
    """As `owed` in `lua/lib/campaign.lua`; its times are the server's own already."""
    asked = record.callback
    if asked is None or asked.was_placed:
        return None
    for attempt in record.history:
        if attempt.callback == asked.entry and attempt.state not in ("reserved", "released"):
            return None
    return CallbackDetail(
        at=_iso(asked.at_ms),
        number=mask_number(asked.number),
        agent=asked.agent,
        for_agent_until=_iso(asked.grace_ends_ms) if asked.agent else None,
    )


def _number_of(attempt: _Attempt, asked: _Callback | None, numbers: list[str]) -> str:
    """The number that was called, masked; '' when it was another callback's and is not known any more."""
    if attempt.phone == 0:
        is_known = asked is not None and asked.entry == attempt.callback
        return mask_number(asked.number) if asked and is_known else ""
    return numbers[attempt.phone - 1] if attempt.phone <= len(numbers) else ""


def _iso(ms: float) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def _attempt(attempt: _Attempt, number: str, clock: Callable[[float | None], str | None]) -> AttemptDetail:
    return AttemptDetail(
        attempt=attempt.id,
        number=number,
        state=attempt.state,
        disposition=attempt.disposition,
        call_id=attempt.call_id or attempt.reply_id,
        reserved_at=clock(attempt.reserved_ms),
        sent_at=clock(attempt.sent_ms),
        answered_at=clock(attempt.answered_ms),
        ended_at=clock(attempt.ended_ms),
    )
