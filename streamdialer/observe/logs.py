"""Logs: events with fields, one line each, on standard error; text for people, JSON for machines."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_COLOURS: Final = {
    "DEBUG": "\033[2m",
    "INFO": "",
    "WARNING": "\033[33m",
    "ERROR": "\033[31m",
    "CRITICAL": "\033[31;1m",
}


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {
        name: value for name, value in vars(record).items() if name not in _STANDARD and value is not None
    }


def _at(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def _quoted(value: object) -> str:
    """A value as one word, or as a JSON string: what others wrote cannot forge a line or move the cursor."""
    text = str(value)
    if text.isprintable() and text and not any(character in text for character in ' "='):
        return text
    return msgspec.json.encode(text.encode(errors="replace").decode()).decode()


class TextFormatter(logging.Formatter):
    """`time LEVEL logger message name=value …`"""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        source = record.name.removeprefix("streamdialer.")
        fields = " ".join(f"{name}={_quoted(value)}" for name, value in _fields(record).items())
        line = f"{_at(record)} {record.levelname:<7} {source}: {record.getMessage()} {fields}".rstrip()
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        start = _COLOURS.get(record.levelname, "") if self._colour else ""
        return f"{start}{line}\033[0m" if start else line


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        document: dict[str, Any] = {
            "at": _at(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in _fields(record).items():
            document[f"{name}_" if name in document else name] = value
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(document, enc_hook=str).decode(errors="replace")


def set_up_logging(level: str, log_format: str) -> None:
    """Sends all logs to standard error; `auto` is text on a terminal, else JSON."""
    handler = logging.StreamHandler(sys.stderr)
    is_terminal = sys.stderr.isatty()
    if log_format == "text" or (log_format == "auto" and is_terminal):
        handler.setFormatter(TextFormatter(colour=is_terminal))
    else:
        handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("streamdialer").setLevel(level)
