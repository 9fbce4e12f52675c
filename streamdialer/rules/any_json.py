"""Reads JSON of any program (pure): what cannot be read is lost, and the rest is not.

NaN, numbers too large and values nested too deeply become null, half a surrogate pair becomes a question mark, an
undecodable byte is read as Latin-1.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

YES_WORDS: Final = frozenset({"true", "yes", "y", "1", "on", "t", "si", "sí", "s"})
NO_WORDS: Final = frozenset({"false", "no", "n", "0", "off", "f", ""})
MAX_DEPTH: Final = 100
"""Of nested arrays and objects; the scripts of the ledger and the readers in Python take some hundreds."""
_STRINGS_AND_BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_UTF_8: Final = {"utf-8", "utf8", "us-ascii", "ascii"}
_LATIN_1: Final = "streamdialer.latin_1"
"""Name of the error handler for bytes that cannot be decoded."""


def decode_json(raw: str | bytes, charset: str = "utf-8") -> Any:
    """The values; raises ValueError when it is no JSON. Text may hold undecodable bytes as Redis replies have them."""
    data = raw.encode(errors="surrogateescape") if isinstance(raw, str) else raw
    if charset.lower() in _UTF_8:
        try:
            value = msgspec.json.decode(data)
        except (ValueError, RecursionError):
            pass  # read below
        else:
            if _is_shallow(value):
                return value
    value = json.loads(
        _without_deep_values(_decode(data, charset)),
        strict=False,
        parse_int=_read_int,
        parse_float=_read_float,
        parse_constant=lambda _: None,
    )
    # a lone surrogate cannot be encoded, neither here nor when it is sent or stored
    return msgspec.json.decode(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _is_shallow(value: Any) -> bool:
    """Whether no value lies deeper than MAX_DEPTH."""
    level: list[Any] = [[value]]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for outer in level for inner in _values(outer) if isinstance(inner, dict | list)]
        if not level:
            return True
    return False


def _values(outer: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return outer.values() if isinstance(outer, dict) else outer


def _decode(body: bytes, charset: str) -> str:
    """The text of a body; bytes that the charset does not know are read as Latin-1."""
    seen = json.detect_encoding(body)
    for name in (charset if seen == "utf-8" else seen, "utf-8"):
        try:
            return body.decode(name, _LATIN_1)
        except (LookupError, ValueError):
            continue
    return ""


def _without_deep_values(text: str) -> str:
    """The same JSON with null in place of arrays and objects deeper than MAX_DEPTH."""
    kept, depth, begin = list[str](), 0, 0
    for match in _STRINGS_AND_BRACKETS.finditer(text):
        if match[0] in "[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept += text[begin : match.start()], "null"
        elif match[0] in "]}":
            depth -= 1
            if depth == MAX_DEPTH:
                begin = match.end()
    return "".join([*kept, text[begin:]]) if depth <= MAX_DEPTH else ""


def _read_int(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:  # of thousands of digits
        return None


def _read_float(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _as_latin_1(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error(_LATIN_1, _as_latin_1)
