"""Reads an entry of `events` into the event it holds."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec

from streamdialer.broker.entries import BadEntry, Entry
from streamdialer.model import (
    AGENT_EVENTS,
    CALL_EVENTS,
    CALLBACK_EVENTS,
    CONTACT_EVENTS,
    PREVIEW_EVENTS,
    AgentEvent,
    CallbackEvent,
    CallEvent,
    DoNotCallEvent,
    PreviewEvent,
    normalise_id,
)

Event = CallEvent | AgentEvent | CallbackEvent | DoNotCallEvent | PreviewEvent
_IDS: Final = ("campaign_id", "contact_id", "agent_id")
_TEXTS: Final = ("call_id", "attempt_id", "queue", "cause", "phone_number", "reason")
_EVENT_CLASSES: Final[dict[str, type[Event]]] = {
    **dict.fromkeys(CALL_EVENTS, CallEvent),
    **dict.fromkeys(AGENT_EVENTS, AgentEvent),
    **dict.fromkeys(CALLBACK_EVENTS, CallbackEvent),
    **dict.fromkeys(CONTACT_EVENTS, DoNotCallEvent),
    **dict.fromkeys(PREVIEW_EVENTS, PreviewEvent),
}


def read_event(entry: Entry) -> Event:
    """Reads `type` with `data` (a JSON object) or with flat fields; raises BadEntry."""
    kind = entry.fields.get("type", "")
    if kind not in _EVENT_CLASSES:
        raise BadEntry("unknown_type", f"type is {kind[:100]!r}, takes {', '.join(_EVENT_CLASSES)}")
    fields = _read_data(entry)
    fields["type"] = kind
    try:
        for name in _IDS:
            if name in fields:
                fields[name] = normalise_id(fields[name])
        for name in _TEXTS:
            if isinstance(fields.get(name), int | float):
                fields[name] = str(fields[name])
        event = msgspec.convert(fields, _EVENT_CLASSES[kind], strict=False)
    except (ValueError, msgspec.ValidationError) as error:
        raise BadEntry("wrong_type", str(error)[:500]) from error
    if isinstance(event, CallbackEvent):
        instant_ms(event)
    if isinstance(event, DoNotCallEvent) and not event.has_target:
        raise BadEntry("wrong_type", "takes a phone_number, or a campaign_id and a contact_id")
    return event


def _read_data(entry: Entry) -> dict[str, Any]:
    raw = entry.fields.get("data")
    if raw is None:
        return dict(entry.fields)
    try:
        data = msgspec.json.decode(raw.encode())
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadEntry("broken_json", f"data is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise BadEntry("broken_json", f"data is a JSON {type(data).__name__}, takes an object")
    return {name: value for name, value in data.items() if value is not None}


def instant_ms(event: CallbackEvent) -> int:
    """The requested time, ms since 1970; raises BadEntry."""
    try:
        instant = datetime.fromisoformat(event.at.strip())
        if instant.tzinfo is None:
            raise BadEntry("wrong_time", f"at is {event.at!r}: its offset from UTC is missing (Z or +hh:mm)")
        return round(instant.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise BadEntry(
            "wrong_time", f"at is {event.at[:100]!r}, takes ISO 8601 such as 2030-01-31T15:00:00-05:00"
        ) from error
