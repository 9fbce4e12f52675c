"""What the columns of a sheet of contacts mean: numbers by their values, other fields by their headings (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from streamdialer.operations.list_file.headings import FIELDS
from streamdialer.operations.list_file.number_columns import NumberColumns, column_at, find_likely_columns
from streamdialer.operations.list_file.sheet import Sheet

PHONES: Final = ("phone", "phone_2", "phone_3")


class Columns(msgspec.Struct, frozen=True):
    numbers: NumberColumns
    """In the order of dialing."""
    fields: dict[str, int]
    """Field of a contact -> position."""
    custom: dict[int, str]
    """Position -> name in `custom_data`."""

    def described(self, headings: Sequence[str]) -> list[tuple[str, str]]:
        """Heading and meaning of each column, for people."""
        meanings = dict(zip(self.numbers.phones, PHONES, strict=False))
        if self.numbers.area is not None:
            meanings[self.numbers.area] = "area code of the numbers"
        meanings |= {at: name for name, at in self.fields.items()}
        meanings |= {at: f"custom_data.{name}" for at, name in self.custom.items()}
        return [(heading, meanings.get(at, "not used")) for at, heading in enumerate(headings)]


def find_columns(sheet: Sheet, country: str, named: Mapping[str, str] | None = None) -> Columns:
    """`named` says what a person has said: field -> heading, or number of the column from 1.

    Raises CannotBeDone when it is not certain which column has the numbers, or a named column is not there.
    """
    headings = sheet.headings
    fields = {field: column_at(headings, heading) for field, heading in (named or {}).items()}
    phones = [fields.pop(field) for field in PHONES if field in fields]
    if sheet.has_headings:
        for at, heading in enumerate(headings):
            for field, words in FIELDS.items():
                if heading in words and at not in (*phones, *fields.values()):
                    fields.setdefault(field, at)
    numbers = find_likely_columns(sheet, country, phones, set(fields.values()), len(PHONES))
    taken = {*fields.values(), *numbers.phones, numbers.area}
    custom = {at: heading.replace(" ", "_") for at, heading in enumerate(headings) if at not in taken}
    return Columns(numbers, fields, custom)
