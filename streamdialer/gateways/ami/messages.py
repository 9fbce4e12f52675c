"""AMI messages and their bytes (pure): lines of `Name: value`, and an empty line after each message."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

MAX_LINE: Final = 64 * 1024
MAX_MESSAGE: Final = 256 * 1024
"""Most bytes of one line and of one message that is read; a longer one is dropped and counted."""
MAX_SENT_LINE: Final = 1000
"""Asterisk drops a longer line (1024 bytes with its end) and does not say so."""
MAX_SENT_FIELDS: Final = 120
"""Asterisk ignores the fields of an action after its 128th."""
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
MAX_CHANNEL_ID: Final = 149
CHANNEL_ID_PREFIX: Final = "sd-"
CHANNEL_ID_SUFFIX: Final = "."
_ENDS_LINE: Final = re.compile(r"[\r\n\0]")
_IN_LISTS: Final = re.compile(r'([\\",()\[\]])')

Fields = Mapping[str, str | Sequence[str]]


class Message:
    """One response or event. The case of names does not matter; a name may occur several times."""

    __slots__ = ("_values", "size")

    def __init__(self, values: dict[str, list[str]], size: int = 0) -> None:
        self._values = values
        self.size = size
        """Bytes it took."""

    @classmethod
    def of(cls, **fields: str | Sequence[str]) -> Message:
        return cls({name.lower(): _as_list(value) for name, value in fields.items()})

    def get(self, name: str, default: str = "") -> str:
        """The first value of the name."""
        values = self._values.get(name.lower())
        return values[0] if values else default

    def all(self, name: str) -> list[str]:
        return self._values.get(name.lower(), [])

    def number(self, name: str) -> int | None:
        """The value as a whole number; None for what is none, or is missing."""
        text = self.get(name)
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None

    def variables(self) -> dict[str, str]:
        """Channel variables that the message carries: `ChanVariable`, and `Variable` of a `Status` answer."""
        pairs = [each.partition("=") for each in (*self.all("ChanVariable"), *self.all("Variable"))]
        return {name: value for name, is_pair, value in pairs if is_pair and value not in ("", "(null)")}

    @property
    def event(self) -> str:
        return self.get("Event")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and self._values == other._values

    __hash__ = None  # type: ignore[assignment]  # a mutable value

    def __repr__(self) -> str:
        return f"Message({self._values})"


class Decoder:
    """Makes messages of received bytes, however they are split. Holds at most one message and one line."""

    def __init__(self) -> None:
        self._rest = b""
        self._skips_line = False
        self._is_damaged = False
        self._values: dict[str, list[str]] = {}
        self._size = 0
        self.dropped = 0
        """Messages that were too long."""

    def feed(self, data: bytes) -> Iterator[Message]:
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if self._skips_line:
                self._skips_line = False
            elif (message := self._line(line)) is not None:
                yield message
        if len(self._rest) > MAX_LINE or self._skips_line:
            self._skips_line, self._is_damaged, self._rest = True, True, b""

    def _line(self, raw: bytes) -> Message | None:
        line = raw.removesuffix(b"\r")
        self._size += len(raw) + 1
        if not line:
            return self._end()
        if len(line) > MAX_LINE or self._size > MAX_MESSAGE:
            self._is_damaged = True
        name, colon, value = line.partition(b":")
        if colon and not self._is_damaged:  # the greeting after the connect has no colon
            self._values.setdefault(_text(name).strip().lower(), []).append(_text(value).removeprefix(" "))
        return None

    def _end(self) -> Message | None:
        values, size, is_damaged = self._values, self._size, self._is_damaged
        self._values, self._size, self._is_damaged = {}, 0, False
        if is_damaged:
            self.dropped += 1
            return None
        return Message(values, size) if "event" in values or "response" in values else None


def encode(action: str, action_id: str, fields: Fields | None = None) -> bytes:
    """The bytes of an action. Raises ValueError for a value that would be read as another field, or not at all."""
    pairs = [("Action", action), ("ActionID", action_id)]
    pairs += [(name, value) for name, values in (fields or {}).items() for value in _as_list(values)]
    if len(pairs) > MAX_SENT_FIELDS:
        raise ValueError(f"AMI takes {MAX_SENT_FIELDS} fields in an action, this one has {len(pairs)}")
    lines = []
    for name, value in pairs:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name[:50]!r} is no name of an AMI field")
        if _ENDS_LINE.search(value):
            raise ValueError(f"the AMI field {name} may hold no line break and no NUL")
        line = f"{name}: {value}\r\n".encode("utf-8", "replace")
        if len(line) > MAX_SENT_LINE:
            raise ValueError(
                f"the AMI field {name} has {len(line)} bytes, takes {MAX_SENT_LINE} with its name"
            )
        lines.append(line)
    return b"".join(lines) + b"\r\n"


def is_one_line(value: str) -> bool:
    """Whether AMI can carry the value: it holds no line break and no NUL."""
    return _ENDS_LINE.search(value) is None


def channel_id(attempt_id: str) -> str:
    """The Uniqueid an attempt's channel is given. Asterisk tests ids as prefixes of each other: it ends in a dot.

    Raises ValueError for an attempt whose id is too long.
    """
    found = f"{CHANNEL_ID_PREFIX}{attempt_id}{CHANNEL_ID_SUFFIX}"
    if len(found.encode()) > MAX_CHANNEL_ID:
        raise ValueError(f"the channel id has {len(found.encode())} bytes, Asterisk takes {MAX_CHANNEL_ID}")
    return found


def is_channel_id(uniqueid: str) -> bool:
    """Whether an attempt's channel was given it."""
    return uniqueid.startswith(CHANNEL_ID_PREFIX) and uniqueid.endswith(CHANNEL_ID_SUFFIX)


def variable(name: str, value: str) -> str:
    """`NAME=value` for the field `Variable`, which Asterisk splits at commas: they and its quotes are escaped.

    Raises ValueError for a name that is none.
    """
    if not re.fullmatch(r"_{0,2}[A-Za-z][A-Za-z0-9_]*", name):
        raise ValueError(f"{name[:50]!r} is no name of a channel variable")
    return name + "=" + _IN_LISTS.sub(r"\\\1", value)


def _as_list(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
