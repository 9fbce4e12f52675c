"""Phone numbers are shown and logged with their last three digits only."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

_HOLDS_NUMBER: Final = re.compile(r"phone|number|caller|msisdn|\A(n|to)\Z", re.IGNORECASE)
"""Names of fields that hold a phone number: ours, and those that other programs are known to send."""
_LONG_NUMBER: Final = re.compile(r"\d{7,}")
_WRITTEN_NUMBER: Final = re.compile(r"\+\d[\d ().-]{5,}\d")
"""For text that may hold other numbers as well."""
_NUMBER_IN_ANSWER: Final = re.compile(rf"{_WRITTEN_NUMBER.pattern}|\b\d{{10,15}}\b(?![.-]\d)")
"""For the answer of a server; ids of calls and entries do not match."""


def mask_number(number: str | None) -> str:
    """A phone number with all but its last three digits hidden."""
    if not number:
        return ""
    return "•" * max(0, len(number) - 3) + number[-3:]


def mask_text(text: str) -> str:
    """The text of an error, ours or a server's, with its phone numbers masked."""
    return _hide(_NUMBER_IN_ANSWER, text)


def mask_field(name: str, value: str) -> str:
    """The value of a field of a stream entry, with its phone numbers masked."""
    if _HOLDS_NUMBER.search(name):
        return mask_number(value)
    if name not in ("data", "call"):
        return _hide(_WRITTEN_NUMBER, value)
    try:
        document = msgspec.json.decode(value.encode())
    except (msgspec.DecodeError, UnicodeError):
        # that may be why it is a dead letter; a phone number may be in it
        return _hide(_LONG_NUMBER, value)
    return msgspec.json.encode(_masked(document)).decode()


def _masked(document: Any) -> Any:
    if isinstance(document, dict):
        return {
            name: _hidden(value) if _HOLDS_NUMBER.search(name) and value is not None else _masked(value)
            for name, value in document.items()
        }
    if isinstance(document, str):
        return _hide(_WRITTEN_NUMBER, document)
    return [_masked(value) for value in document] if isinstance(document, list) else document


def _hide(numbers: re.Pattern[str], text: str) -> str:
    return numbers.sub(lambda match: mask_number(match.group()), text)


def _hidden(value: Any) -> Any:
    if isinstance(value, list):
        return [_hidden(each) for each in value]
    return mask_number(str(value)) if type(value) in (str, int, float) else _masked(value)
