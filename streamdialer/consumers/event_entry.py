"""Reads an entry of `events` into the event it holds, as far as it can be read.

A field that the event's effect depends on must be readable, else the entry is a dead letter. Any other field that
cannot be read is left out and counted.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import msgspec

from streamdialer.broker.entries import BadEntry, Entry, check_size
from streamdialer.model import (
    AGENT_EVENTS,
    CALL_EVENTS,
    CALLBACK_EVENTS,
    CONTACT_EVENTS,
    MAX_WORD,
    PREVIEW_EVENTS,
    QUEUE_EVENTS,
    SOURCE_EVENTS,
    Agent,
    AgentEvent,
    AgentState,
    CallbackEvent,
    CallEvent,
    DoNotCallEvent,
    ListEvent,
    PreviewEvent,
    QueueAgentsEvent,
    SourceEvent,
    normalise_id,
)
from streamdialer.observability.redaction import mask_field
from streamdialer.rules.any_json import decode_json
from streamdialer.rules.dispositions import is_known_end, who_answered

log = logging.getLogger(__name__)
Event = (
    CallEvent | AgentEvent | CallbackEvent | DoNotCallEvent | PreviewEvent | SourceEvent | QueueAgentsEvent
)
_EVENT_CLASSES: Final[dict[str, type[Event]]] = {
    **dict.fromkeys(CALL_EVENTS, CallEvent),
    **dict.fromkeys(AGENT_EVENTS, AgentEvent),
    **dict.fromkeys(CALLBACK_EVENTS, CallbackEvent),
    **dict.fromkeys(CONTACT_EVENTS, DoNotCallEvent),
    **dict.fromkeys(PREVIEW_EVENTS, PreviewEvent),
    **dict.fromkeys(SOURCE_EVENTS, SourceEvent),
    **dict.fromkeys(QUEUE_EVENTS, QueueAgentsEvent),
}
_BESIDE_THE_EFFECT: Final[dict[type[Event], frozenset[str]]] = {
    CallEvent: frozenset({"call_id", "agent_id", "queue", "answered_by", "duration", "disposition", "cause"}),
    AgentEvent: frozenset({"agent_id", "queue", "campaign_id"}),
    CallbackEvent: frozenset({"agent_id"}),
    DoNotCallEvent: frozenset({"campaign_id", "contact_id", "phone_number", "reason"}),
    PreviewEvent: frozenset({"reason"}),
    SourceEvent: frozenset(),
    QueueAgentsEvent: frozenset(),
}
"""Fields that never cost the event. A request not to call must have one target that can be read."""

_REQUIRED: Final = {
    each: {field.name for field in msgspec.structs.fields(each) if field.required}
    for each in _BESIDE_THE_EFFECT
}


def read_event(entry: Entry, count_unread: Callable[[str], None] = lambda _name: None) -> Event:
    """Reads `type` with `data` (a JSON object) or with flat fields; raises BadEntry.

    `count_unread` gets the name of each field that is left out because it cannot be read.
    """
    check_size(entry)
    kind = entry.fields.get("type", "")
    if kind not in _EVENT_CLASSES:
        raise BadEntry("unknown_type", f"type is {kind[:100]!r}, takes {', '.join(_EVENT_CLASSES)}")
    event_class = _EVENT_CLASSES[kind]
    values = _read_fields(kind, event_class, _read_data(entry), count_unread)
    try:
        event = msgspec.convert({**values, "type": kind}, event_class)
    except msgspec.ValidationError as error:
        raise BadEntry("wrong_type", str(error)[:500]) from error
    if isinstance(event, CallbackEvent):
        instant_ms(event)
    if isinstance(event, ListEvent) and not (
        event.part <= event.parts and (event.list_id or event.parts == 1)
    ):
        raise BadEntry("wrong_type", "a part of a list takes list_id, and part from 1 to parts")
    if isinstance(event, SourceEvent):
        since_ms(event)
    if isinstance(event, DoNotCallEvent) and not event.has_target:
        raise BadEntry("wrong_type", "takes a phone_number, or a campaign_id and a contact_id")
    return event


def _read_fields(
    kind: str, event_class: type[Event], fields: dict[str, Any], count_unread: Callable[[str], None]
) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, read in _READERS.items():
        raw = fields.get(name)
        if name not in event_class.__struct_fields__ or raw is None:
            continue
        if raw == "" and name not in _REQUIRED[event_class]:
            continue
        try:
            values[name] = _read_agents(raw, count_unread) if name == "agents" else read(raw)
        except (ValueError, RecursionError) as error:
            if name not in _BESIDE_THE_EFFECT[event_class]:
                raise BadEntry("wrong_type", f"{name}: {error}"[:500]) from error
            count_unread(name)
            log.warning(
                "a field of an event cannot be read, the event counts without it",
                extra={"event": kind, "reason": name, "value": _shown(name, raw)},
            )
    return values


def _shown(name: str, raw: object) -> str:
    """The value for a log line."""
    is_plain = isinstance(raw, str | int | float)
    return mask_field(name, str(raw)[:100]) if is_plain else f"a JSON {type(raw).__name__}"


def _read_data(entry: Entry) -> dict[str, Any]:
    raw = entry.fields.get("data")
    if raw is None:
        return dict(entry.fields)
    try:
        data = decode_json(raw)
    except ValueError as error:
        raise BadEntry("broken_json", f"data is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise BadEntry("broken_json", f"data is a JSON {type(data).__name__}, takes an object")
    return data


def _read_word(raw: object) -> str:
    """Text, or a number as text; raises ValueError."""
    if isinstance(raw, float) and raw.is_integer():
        raw = int(raw)
    is_plain = isinstance(raw, str | int | float) and not isinstance(raw, bool)
    if not is_plain:
        raise ValueError(f"takes text or a number, got a JSON {type(raw).__name__}")
    text = str(raw).strip().encode("utf-8", "replace").decode()
    if len(text) > MAX_WORD:
        raise ValueError(f"has {len(text)} characters, takes {MAX_WORD} at most")
    return text


def _read_phone_number(raw: object) -> str | int | float:
    """As it is written: a number in JSON may have lost digits."""
    text = _read_word(raw)
    return raw if isinstance(raw, int | float) else text


def _read_call_id(raw: object) -> str:
    """A call id that is too long still tells calls apart."""
    if isinstance(raw, str) and len(raw) > MAX_WORD:
        return "sha256:" + hashlib.sha256(raw.encode("utf-8", "replace")).hexdigest()
    return _read_word(raw)


def _read_end(raw: object) -> str:
    word = _read_word(raw)
    if not is_known_end(word):
        raise ValueError("no word of the table in docs/retries.md")
    return word


def _read_answered_by(raw: object) -> str:
    answered_by = who_answered(_read_word(raw))
    if answered_by is None:
        raise ValueError("takes human, machine or unknown")
    return answered_by


def _read_duration(raw: object) -> float:
    """Seconds, as a number or as people and Django write them: `42`, `12s`, `1,5`, `00:01:42`, `1 00:01:42`."""
    total = 0.0
    days, _, clock = _read_word(raw).lower().removesuffix("s").strip().replace(",", ".").rpartition(" ")
    for part in clock.split(":"):
        total = 60 * total + float(part)
    total += 86_400 * float(days or 0)
    if not 0 <= total < 1e9:
        raise ValueError("takes seconds")
    return total


def _read_calls(raw: object) -> list[str]:
    """The ids of a list. Raises ValueError."""
    calls = _read_list(raw, "a list of ids of attempts or calls")
    return [_read_call_id(each) for each in calls]


def _read_agents(
    raw: object, count_unread: Callable[[str], None] = lambda _name: None
) -> dict[str, AgentState]:
    """Agent -> state. A row that cannot be read is left out, an unknown state counts as offline. Raises ValueError."""
    agents: dict[str, AgentState] = {}
    for row in _read_list(raw, "a list of {agent_id, state}"):
        try:
            agent = Agent(_read_word(row["agent_id"]), _read_word(row["state"]))
            agents[normalise_id(agent.id)] = agent.state
            unread = "" if agent.has_known_status else "state"
        except (ValueError, TypeError, KeyError):
            unread = "agents"
        if unread:
            count_unread(unread)
            log.warning("an agent of queue_agents cannot be read", extra={"value": str(row)[:100]})
    return agents


def _read_list(raw: object, takes: str) -> list[Any]:
    """A list; among flat fields it is JSON text. Raises ValueError."""
    try:
        items = decode_json(raw) if isinstance(raw, str) else raw
    except ValueError as error:
        raise ValueError(f"got {str(raw)[:100]!r}, takes {takes} in JSON") from error
    if not isinstance(items, list):
        raise ValueError(f"takes {takes}")  # noqa: TRY004 - of another program
    return items


def _read_count(raw: object) -> int:
    return int(_read_word(raw))


_READERS: Final[dict[str, Callable[[object], object]]] = {
    "campaign_id": normalise_id,
    "contact_id": normalise_id,
    "agent_id": normalise_id,
    "call_id": _read_call_id,
    "attempt_id": _read_word,
    "queue": _read_word,
    "answered_by": _read_answered_by,
    "duration": _read_duration,
    "disposition": _read_end,
    "cause": _read_end,
    "phone_number": _read_phone_number,
    "reason": _read_word,
    "at": _read_word,
    "source": _read_word,
    "since": _read_word,
    "calls": _read_calls,
    "agents": _read_agents,
    "list_id": _read_word,
    "part": _read_count,
    "parts": _read_count,
}


def instant_ms(event: CallbackEvent) -> int:
    """The requested time, ms since 1970; raises BadEntry."""
    return round(_read_instant(event.at, "at").timestamp() * 1000)


def since_ms(event: SourceEvent) -> int:
    """Since when the source has watched without a gap, ms since 1970; raises BadEntry."""
    return round(_read_instant(event.since, "since").timestamp() * 1000)


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
