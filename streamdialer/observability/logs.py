"""Logs: events with fields, one line each, on standard error; text for people, JSON for machines.

When the same failure repeats, its first line is written at once, then one line per window with the count and the newest
example. INFO lines are changes of state and are always written.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from typing import Any, Final, TextIO

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_COLOURS: Final = {
    "DEBUG": "\033[2m",
    "INFO": "",
    "WARNING": "\033[33m",
    "ERROR": "\033[31m",
    "CRITICAL": "\033[31;1m",
}

WINDOW_S: Final = 10.0
_SAME: Final = ("reason", "verdict", "stream", "duty", "trunk")
"""Fields that make two failures different; the other fields say where it happened."""
MAX_CAMPAIGNS_NAMED: Final = 20


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {
        name: value for name, value in vars(record).items() if name not in _STANDARD and value is not None
    }


def _at(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def _quoted(value: object) -> str:
    """A value as one word, or as a JSON string: text from outside cannot forge a line or move the cursor."""
    text = str(value)
    if text.isprintable() and text and not any(character in text for character in ' "='):
        return text
    return _as_json(text)


def _as_json(value: object) -> str:
    """On one line, without a character that a terminal obeys."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def _escaped(line: str) -> str:
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in line)


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
            line += "".join(
                f"\n  | {_escaped(each)}" for each in self.formatException(record.exc_info).splitlines()
            )
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
        return _as_json(document)


class _Flood:
    """A failure that was written, and its repetitions since, which were not."""

    def __init__(self) -> None:
        self.repeated = 0
        self.newest: logging.LogRecord | None = None
        self.campaigns: dict[str, None] = {}

    def hold_back(self, record: logging.LogRecord) -> None:
        self.repeated += 1
        self.newest = record
        campaign = vars(record).get("campaign", vars(record).get("campaign_id"))
        if campaign is not None and len(self.campaigns) <= MAX_CAMPAIGNS_NAMED:
            self.campaigns[str(campaign)] = None

    def summary(self) -> logging.LogRecord | None:
        """The newest repetition, with `repeated` and the campaigns; None when there was none."""
        if self.newest is None:
            return None
        fields: dict[str, Any] = {"repeated": self.repeated}
        if len(self.campaigns) > 1:
            named = list(self.campaigns)[:MAX_CAMPAIGNS_NAMED]
            fields["campaigns"] = ",".join(named) + (
                ",…" if len(self.campaigns) > MAX_CAMPAIGNS_NAMED else ""
            )
        return logging.makeLogRecord(vars(self.newest) | fields)


class FloodHandler(logging.StreamHandler[TextIO]):
    """Writes the first of equal warnings or errors at once, then one line per window for all repetitions."""

    def __init__(self, stream: TextIO, window_s: float = WINDOW_S) -> None:
        super().__init__(stream)
        self._window_s = window_s
        self._floods: dict[tuple[object, ...], _Flood] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Called with the handler's lock held."""
        if record.levelno < logging.WARNING:
            super().emit(record)
            return
        kind = _kind(record)
        flood = self._floods.get(kind)
        if flood is not None:
            flood.hold_back(record)
            return
        self._begin_window(kind)
        super().emit(record)

    def _begin_window(self, kind: tuple[object, ...]) -> None:
        self._floods[kind] = _Flood()
        timer = threading.Timer(self._window_s, self._end_window, (kind,))
        timer.daemon = True
        timer.start()

    def _end_window(self, kind: tuple[object, ...]) -> None:
        """Forgets a flood that has ended: the next failure of its kind is written at once."""
        self.acquire()
        try:
            flood = self._floods.pop(kind, None)
            summary = flood.summary() if flood else None
            if summary is not None:
                self._begin_window(kind)
                super().emit(summary)
        finally:
            self.release()

    def close(self) -> None:
        """Writes what is still held back at the end of the process."""
        self.acquire()
        try:
            floods, self._floods = list(self._floods.values()), {}
            for summary in filter(None, (flood.summary() for flood in floods)):
                super().emit(summary)
        finally:
            self.release()
        super().close()


def _kind(record: logging.LogRecord) -> tuple[object, ...]:
    """What makes two failures the same: the logger, the message and its reason, not the campaign or contact."""
    fields = vars(record)
    error = record.exc_info[0] if record.exc_info else None
    return (record.name, record.levelno, record.msg, error, *(str(fields.get(name)) for name in _SAME))


def set_up_logging(level: str, log_format: str) -> None:
    """Sends all logs to standard error; `auto` is text on a terminal, else JSON. DEBUG holds nothing back."""
    handler = logging.StreamHandler(sys.stderr) if level == "DEBUG" else FloodHandler(sys.stderr)
    is_terminal = sys.stderr.isatty()
    if log_format == "text" or (log_format == "auto" and is_terminal):
        handler.setFormatter(TextFormatter(colour=is_terminal))
    else:
        handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("streamdialer").setLevel(level)
