"""Phone numbers are shown and logged by their last digits only."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

_HOLDS_NUMBER: Final = re.compile(r"phone|number|caller|msisdn|\A(n|to)\Z", re.IGNORECASE)
"""Names of fields whose value is a phone number, ours and those that others are known to send."""
_LONG_NUMBER: Final = re.compile(r"\d{7,}")
_WRITTEN_NUMBER: Final = re.compile(r"\+\d[\d ().-]{5,}\d")
"""In a text that may hold other figures as well."""
_NUMBER_TOLD: Final = re.compile(rf"{_WRITTEN_NUMBER.pattern}|\b\d{{10,15}}\b(?![.-]\d)")
"""In what a server has answered; a call's or an entry's id is none."""


def mask_number(number: str | None) -> str:
    """A phone number with all but its last three digits hidden."""
    if not number:
        return ""
    return "•" * max(0, len(number) - 3) + number[-3:]


def mask_text(text: str) -> str:
    """What went wrong in words, ours or a server's, numbers in it masked."""
    return _hide(_NUMBER_TOLD, text)


def mask_field(name: str, value: str) -> str:
    """A field of a stream's entry, numbers in it masked."""
    if _HOLDS_NUMBER.search(name):
        return mask_number(value)
    if name not in ("data", "call"):
        return _hide(_WRITTEN_NUMBER, value)
    try:
        document = msgspec.json.decode(value.encode())
    except (msgspec.DecodeError, UnicodeError):  # it may be there because of that; a number may be in it
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
    return numbers.sub(lambda found: mask_number(found.group()), text)


def _hidden(value: Any) -> Any:
    if isinstance(value, list):
        return [_hidden(each) for each in value]
    return mask_number(str(value)) if type(value) in (str, int, float) else _masked(value)
