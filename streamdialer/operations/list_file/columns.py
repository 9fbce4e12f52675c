"""What the columns of a sheet mean: the numbers by their values, the other fields by their headings (pure).

A heading alone is not believed of a number: lists have ids of ten digits, and call them what they like. A column has
the numbers when half of its values or more are telephone numbers; headings decide between several such columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import msgspec

from streamdialer.errors import CannotBeDone
from streamdialer.operations.list_file.headings import WEAK_HEADINGS, is_of_ids, is_of_phones, normal_heading
from streamdialer.operations.list_file.text import Line
from streamdialer.rules.numbers import read_number

PHONES: Final = ("phone", "phone_2", "phone_3")
FIELDS: Final[dict[str, frozenset[str]]] = {
    "priority": frozenset({"priority", "prioridad"}),
    "timezone": frozenset({"timezone", "time zone", "tz", "zona horaria", "huso", "huso horario"}),
    "region": frozenset({"region"}),
    "do_not_call": frozenset({"do not call", "dnc", "no llamar", "lista negra"}),
    "consent": frozenset(
        {
            "consent",
            "consent at",
            "consent date",
            "consentimiento",
            "fecha consentimiento",
            "autoriza",
            "autorizacion",
        }
    ),
    "subject": frozenset({"subject", "asunto"}),
    "caller_id": frozenset({"caller id", "callerid"}),
}
"""Headings of the other fields of a contact, in English and Spanish."""
_LEAST_SHARE: Final = 0.5


class Columns(msgspec.Struct, frozen=True):
    phones: list[int]
    """Positions of the columns with numbers, in the order of dialing."""
    fields: dict[str, int]
    """Field of a contact -> position."""
    custom: dict[int, str]
    """Position -> name in `custom_data`."""

    def described(self, headings: Sequence[str]) -> list[tuple[str, str]]:
        """Heading and meaning of each column, for people."""
        meanings = {at: name for name, at in zip(PHONES, self.phones, strict=False)}
        meanings |= {at: name for name, at in self.fields.items()}
        meanings |= {at: f"custom_data.{name}" for at, name in self.custom.items()}
        return [(heading, meanings.get(at, "not used")) for at, heading in enumerate(headings)]


def find_columns(
    headings: list[str],
    sample: Sequence[Line],
    country: str,
    named: Mapping[str, str] | None = None,
    *,
    has_headings: bool = True,
) -> Columns:
    """`named` says what a person has said: field -> heading, or number of the column from 1.

    Raises CannotBeDone when it is not certain which column has the numbers, or a named column is not there.
    """
    fields = {field: column_at(headings, heading) for field, heading in (named or {}).items()}
    phones = [fields.pop(field) for field in PHONES if field in fields]
    if has_headings:
        for at, heading in enumerate(headings):
            for field, words in FIELDS.items():
                if heading in words and at not in (*phones, *fields.values()):
                    fields.setdefault(field, at)
    taken = set(fields.values())
    if not phones:
        phones = _number_columns(headings, sample, country, taken)
    custom = {
        at: heading.replace(" ", "_")
        for at, heading in enumerate(headings)
        if at not in taken and at not in phones
    }
    return Columns(phones, fields, custom)


def column_at(headings: list[str], wanted: str) -> int:
    plain = normal_heading(wanted)
    if plain in headings:
        return headings.index(plain)
    if wanted.isdecimal() and 1 <= int(wanted) <= len(headings):
        return int(wanted) - 1
    raise CannotBeDone(f"the file has no column {wanted}: it has {', '.join(headings)}"[:400])


def _number_columns(headings: list[str], sample: Sequence[Line], country: str, taken: set[int]) -> list[int]:
    found = [
        at
        for at in range(len(headings))
        if at not in taken and share_of_numbers(sample, at, country) >= _LEAST_SHARE
    ]
    by_heading = [at for at in found if is_of_phones(headings[at])]
    by_heading = by_heading or [at for at in found if headings[at] in WEAK_HEADINGS][:1]
    if by_heading:
        return by_heading[: len(PHONES)]
    likely = [at for at in found if not is_of_ids(headings[at]) and not _is_counted_up(sample, at)]
    if len(likely) == 1:
        return likely
    if not likely:
        raise CannotBeDone(
            f"no column of the file has telephone numbers{_hint(sample, headings, country)}: "
            "name it with --map phone=COLUMN"
        )
    names = ", ".join(f"{at + 1} ({headings[at]})" for at in likely)
    raise CannotBeDone(f"several columns may have the telephone numbers: {names}; say --map phone=COLUMN")


def share_of_numbers(sample: Sequence[Line], at: int, country: str) -> float:
    values = [line.cells[at] for line in sample if at < len(line.cells) and has_text(line.cells[at])]
    return sum(not read_number(value, country).problem for value in values) / len(values) if values else 0.0


def has_text(value: Any) -> bool:
    return value is not None and str(value).strip() != ""


def _is_counted_up(sample: Sequence[Line], at: int) -> bool:
    """Whether each value is one more than the one before: numbers of rows."""
    values = [str(line.cells[at]) for line in sample if at < len(line.cells)]
    if len(values) < 3 or not all(value.isdecimal() for value in values):
        return False
    return all(int(after) - int(before) == 1 for before, after in pairwise(values))


def _hint(sample: Sequence[Line], headings: list[str], country: str) -> str:
    """Why a column that is called so has none."""
    for at, heading in enumerate(headings):
        if is_of_phones(heading):
            for line in sample:
                if at < len(line.cells) and (problem := read_number(line.cells[at], country).problem):
                    return f" ({heading}: {str(line.cells[at])[:40]} is {problem})"
    return ""
