"""The contacts of a sheet's rows, or what is wrong with a row (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from streamdialer.errors import CampaignError
from streamdialer.operations.list_file.columns import Columns
from streamdialer.operations.list_file.sheet import Sheet
from streamdialer.operations.list_file.text import TEXT_SHOWN, BadLine, Line, has_text
from streamdialer.rules.any_json import NO_WORDS, YES_WORDS
from streamdialer.rules.number_text import NO_NUMBER
from streamdialer.rules.numbers import Number
from streamdialer.rules.zone_clock import read_zone

_LIMITS: Final = {"subject": 200, "caller_id": 100, "region": 20}
_CUSTOM_CHARS: Final = 1000


class FileContact(msgspec.Struct, omit_defaults=True):
    """A contact as a batch of a list carries it."""

    phone_number: str
    number: str = ""
    """In E.164, if the country is known."""
    phone_2: str = ""
    phone_3: str = ""
    priority: int = 5
    timezone: str = ""
    region: str = ""
    do_not_call: bool = False
    consent: bool | str = False
    """True, or since when: ISO 8601."""
    subject: str = ""
    caller_id: str = ""
    custom_data: dict[str, Any] = {}


class FileReader:
    """Reads the rows of one sheet; `defaulted` counts, by field, the values that could not be read."""

    def __init__(self, columns: Columns, country: str) -> None:
        self.defaulted = Counter[str]()
        self._columns = columns
        self.country = country
        self._zones: dict[str, bool] = {}

    def contacts(self, sheet: Sheet) -> Iterator[tuple[int, FileContact | BadLine]]:
        """Each line's number with its contact, or with what is wrong."""
        for line in sheet.lines:
            yield line.line, self.contact(line)

    def contact(self, line: Line) -> FileContact | BadLine:
        if line.problem:
            return self._bad(line, line.problem)
        cells, width = line.cells, len(line.cells)
        numbers: list[Number] = []
        problem = NO_NUMBER
        for at in self._columns.numbers.phones:
            if at < width and has_text(cells[at]):
                number = self._columns.numbers.read(line, at, self.country)
                if not number.problem:
                    numbers.append(number)
                elif not numbers and problem == NO_NUMBER:
                    problem = number.problem
        if not numbers:
            return self._bad(line, problem)
        contact = FileContact(numbers[0].dialed, str(numbers[0]) if numbers[0].is_e164 else "")
        if contact.number == contact.phone_number:
            contact.number = ""
        if len(numbers) > 1:
            contact.phone_2 = numbers[1].dialed
            contact.phone_3 = numbers[2].dialed if len(numbers) > 2 else ""
        for field, at in self._columns.fields.items():
            if at < width and (raw := cells[at]) not in ("", None):
                problem = self._set(contact, field, raw)
                if problem:
                    return self._bad(line, problem)
        contact.custom_data = {
            name: value if isinstance(value, bool | int | float) else str(value)[:_CUSTOM_CHARS]
            for at, name in self._columns.custom.items()
            if at < width and (value := cells[at]) not in ("", None)
        }
        return contact

    def _bad(self, line: Line, problem: str) -> BadLine:
        return BadLine(line.line, problem, line.text[:TEXT_SHOWN])

    def _set(self, contact: FileContact, field: str, raw: Any) -> str:
        """Sets a field; returns what makes the whole line unusable: a doubt whether to call."""
        text = str(raw).strip()
        word = text.lower()
        match field:
            case "do_not_call":
                if word not in YES_WORDS | NO_WORDS:
                    return f"do_not_call is {text[:40]!r}, takes yes or no"
                contact.do_not_call = word in YES_WORDS
            case "consent":
                contact.consent = word in YES_WORDS or _instant(text)
                self.defaulted[field] += not contact.consent and word not in NO_WORDS
            case "priority":
                is_right = text.isdecimal() and len(text) < 5
                contact.priority = min(10, max(1, int(text))) if is_right else 5
                self.defaulted[field] += not is_right
            case "timezone":
                if self._is_zone(text):
                    contact.timezone = text
                else:
                    self.defaulted[field] += 1
            case _:
                setattr(contact, field, text[: _LIMITS[field]])
        return ""

    def _is_zone(self, name: str) -> bool:
        if name not in self._zones:
            try:
                self._zones[name] = bool(read_zone(name))
            except CampaignError:
                self._zones[name] = False
        return self._zones[name]


def _instant(text: str) -> str:
    """A date or date-time in ISO 8601, UTC without an offset; '' for other text."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return ""
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()
