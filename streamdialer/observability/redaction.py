"""Phone numbers are shown and logged with their last three digits only."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from streamdialer.rules.any_json import decode_json

_HOLDS_NUMBER: Final = re.compile(r"phone|number|caller|msisdn|\A(n|to)\Z", re.IGNORECASE)
"""Names of fields that hold a phone number: ours, and those that other programs are known to send."""
_PLAIN: Final = re.compile(
    r"\A(type|kind|at|since|duration|source|queue|calls|(campaign|contact|call|attempt|agent)(_id)?|token|entry|stream)\Z"
)
"""Names of fields that hold ids, times and words: their plain digits are no phone number."""
_ANY_SPELLING: Final = re.compile(
    r"(?!\d{4}-\d\d-\d\d[T ])[+(]*\d(?:(?:[\W_]|[eE]\+){0,3}\d){6,}"  # seven digits, whatever stands between them
)
_WRITTEN_NUMBER: Final = re.compile(r"[+\uff0b](?:[\W_]{0,3}\d){7,}|\d[\d ().-]*[ ()][\d ().-]{5,}\d")
"""For text that may hold other numbers as well."""
_NUMBER_IN_ANSWER: Final = re.compile(
    r"[+\uff0b](?:[\W_]{0,3}\d){7,}|\b\d{10,15}\b(?![.-]\d)"
    r"|(?<![\w.:-])(?!\d{4}-\d\d-\d\d)\(?\d{1,4}\)?(?:[^\w.,:;'\"]{1,2}\d{2,5}){2,}"
)
"""For the answer of a server; ids of calls and entries do not match."""


def mask_number(number: str | None) -> str:
    """A phone number with all but its last three digits hidden."""
    if not number:
        return ""
    return "•" * max(0, len(number) - 3) + number[-3:]


def mask_text(text: str) -> str:
    """The text of an error, ours or a server's, with its phone numbers masked."""
    return _hide(_NUMBER_IN_ANSWER, text)


def mask_name(name: str) -> str:
    """The name of a field of a stream entry, with its phone numbers masked."""
    return _hide(_ANY_SPELLING, name)


def mask_field(name: str, value: str) -> str:
    """The value of a field of a stream entry, with its phone numbers masked."""
    if name not in ("data", "call"):
        return str(_masked(name, value))
    try:
        return msgspec.json.encode(_masked("", decode_json(value))).decode()
    except (ValueError, RecursionError):  # that may be why it is a dead letter; a phone number may be in it
        escape = r"\\u(?![dD][89a-fA-F])([0-9a-fA-F]{4})"
        return _hide(_ANY_SPELLING, re.sub(escape, lambda match: chr(int(match[1], 16)), value))


def _masked(name: str, value: Any) -> Any:
    """`value` of the field `name`, `''` for one without a name."""
    if isinstance(value, dict):
        return {mask_name(each): _masked(each, inner) for each, inner in value.items()}
    if isinstance(value, list):
        return [_masked(name, each) for each in value]
    if value is None or isinstance(value, bool):
        return value
    text = str(value)
    if _HOLDS_NUMBER.search(name):
        return mask_number(text)
    shown = _hide(_WRITTEN_NUMBER if _PLAIN.search(name) else _ANY_SPELLING, text)
    return (
        value if shown == text and not isinstance(value, str) else shown.encode("utf-8", "replace").decode()
    )


def _hide(numbers: re.Pattern[str], text: str) -> str:
    return numbers.sub(lambda match: mask_number(match.group()), text)
