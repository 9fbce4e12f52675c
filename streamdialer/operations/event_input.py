"""Reads events from the command line or a file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from streamdialer.broker.entries import BadEntry, Entry
from streamdialer.consumers.event_entry import read_event
from streamdialer.errors import SettingsError
from streamdialer.producers.events import EVENT_TYPES
from streamdialer.rules.any_json import decode_json


def read_value(text: str) -> int | float | bool | str | None:
    """A typed value: a number, true, false or null where the text is exactly that, else the text itself.

    `1e5` and `1.50` stay text: numbers would be written differently, and a call id may look like one.
    """
    try:
        value = decode_json(text)
    except ValueError:
        return text
    is_plain = value is None or isinstance(value, bool | int | float)
    return value if is_plain and msgspec.json.encode(value).decode() == text else text


def read_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    """`key=value` arguments as event data; raises SettingsError."""
    data: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise SettingsError(f"event data: got {pair!r}, takes key=value")
        data[name] = read_value(value)
    return data


def read_object(text: str | bytes) -> dict[str, Any]:
    """A JSON object; raises SettingsError."""
    try:
        document = decode_json(text)
    except ValueError as error:
        raise SettingsError(f"event data: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise SettingsError("event data: takes a JSON object")
    return document


def checked_event(kind: object, data: object) -> dict[str, Any]:
    """An event as `Producer.events` takes it; raises SettingsError for one that the events stage would refuse."""
    if not isinstance(data, dict):
        raise SettingsError("event data: takes a JSON object")
    if kind not in EVENT_TYPES:
        got = "none" if kind is None else f"got {kind!r}"
        raise SettingsError(f"event type: {got}, takes {', '.join(EVENT_TYPES)}")
    try:
        text = json_text(data)
        read_event(Entry("0-0", {"type": str(kind), "data": text}))
    except BadEntry as bad:
        raise SettingsError(f"event {kind}: {bad.detail}") from bad
    except ValueError as error:
        raise SettingsError(f"event {kind}: {error}") from error
    return {**data, "type": kind}


def json_text(data: dict[str, Any]) -> str:
    """Raises ValueError for data that JSON cannot hold."""
    try:
        return msgspec.json.encode(data).decode()
    except UnicodeError as error:
        raise ValueError("its text is not UTF-8") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_event_lines(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """One JSON object per line, its data beside `type` or in `data`; raises SettingsError with the line."""
    events = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            document = read_object(line)
            kind = document.pop("type", None)
            events.append(checked_event(kind, document.get("data", document)))
        except SettingsError as error:
            raise SettingsError(f"line {number}: {error}; nothing was added") from error
    return events
