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
    SOURCE_EVENTS,
    AgentEvent,
    CallbackEvent,
    CallEvent,
    DoNotCallEvent,
    PreviewEvent,
    SourceEvent,
    normalise_id,
)

Event = CallEvent | AgentEvent | CallbackEvent | DoNotCallEvent | PreviewEvent | SourceEvent
_IDS: Final = ("campaign_id", "contact_id", "agent_id")
_TEXTS: Final = ("call_id", "attempt_id", "queue", "cause", "phone_number", "reason")
_EVENT_CLASSES: Final[dict[str, type[Event]]] = {
    **dict.fromkeys(CALL_EVENTS, CallEvent),
    **dict.fromkeys(AGENT_EVENTS, AgentEvent),
    **dict.fromkeys(CALLBACK_EVENTS, CallbackEvent),
    **dict.fromkeys(CONTACT_EVENTS, DoNotCallEvent),
    **dict.fromkeys(PREVIEW_EVENTS, PreviewEvent),
    **dict.fromkeys(SOURCE_EVENTS, SourceEvent),
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
        if kind in SOURCE_EVENTS:
            fields["calls"] = _read_calls(fields.get("calls"))
        event = msgspec.convert(fields, _EVENT_CLASSES[kind], strict=False)
    except (ValueError, msgspec.ValidationError) as error:
        raise BadEntry("wrong_type", str(error)[:500]) from error
    if isinstance(event, CallbackEvent):
        instant_ms(event)
    if isinstance(event, SourceEvent):
        _read_instant(event.since, "since")
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


def _read_calls(raw: object) -> list[str]:
    """The ids of a list; among flat fields it is JSON text. Raises ValueError."""
    try:
        calls = msgspec.json.decode(raw) if isinstance(raw, str) else raw
    except msgspec.DecodeError as error:
        raise ValueError(f"calls is {str(raw)[:100]!r}, takes a JSON list of ids") from error
    if not isinstance(calls, list) or not all(
        isinstance(each, str | int) and not isinstance(each, bool) for each in calls
    ):
        raise ValueError("calls takes a list of ids of attempts or calls")
    return [str(each) for each in calls]


def instant_ms(event: CallbackEvent) -> int:
    """The requested time, ms since 1970; raises BadEntry."""
    return round(_read_instant(event.at, "at").timestamp() * 1000)


def _read_instant(text: str, name: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text.strip())
        if instant.tzinfo is None:
            raise BadEntry("wrong_time", f"{name} is {text!r}: its offset from UTC is missing (Z or +hh:mm)")
        instant.timestamp()  # may be out of range
    except (ValueError, OverflowError) as error:
        raise BadEntry(
            "wrong_time", f"{name} is {text[:100]!r}, takes ISO 8601 such as 2030-01-31T15:00:00-05:00"
        ) from error
    return instant
