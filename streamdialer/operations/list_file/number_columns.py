"""Which columns of a do-not-call file have the numbers, or that it is not certain (pure).

A number in the wrong column would be listed in place of a person's, so a guess is no answer: headings and values must
agree, and no other column may have values that look like telephone numbers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final

import msgspec

from streamdialer.errors import CannotBeDone
from streamdialer.operations.list_file.columns import FIELDS, column_at, has_text, share_of_numbers
from streamdialer.operations.list_file.headings import AREA_HEADINGS, WEAK_HEADINGS, is_of_ids, is_of_phones
from streamdialer.operations.list_file.sheet import Sheet
from streamdialer.operations.list_file.text import Line
from streamdialer.rules.numbers import read_number

_FEW: Final = 0.1
"""With a smaller share of numbers, a column is not one of numbers."""
_SAY: Final = "say --column with the heading or the position of the right one"
_OTHER_FIELDS: Final = frozenset[str]().union(*FIELDS.values())


class NumberColumns(msgspec.Struct, frozen=True):
    phones: list[int]
    area: int | None = None
    """The column of area codes, which stand before the numbers."""
    date: int | None = None
    flag: int | None = None
    """Of a change file: A adds the number, D takes it off."""

    def number(self, line: Line, at: int) -> Any:
        """The text of the number, with its area code."""
        return f"{line.cells[self.area]}{line.cells[at]}" if self.area is not None else line.cells[at]


def find_number_columns(sheet: Sheet, country: str, named: Sequence[str] = ()) -> NumberColumns:
    """`named`: headings, or positions from 1, of the columns with numbers, as a person has said.

    Raises CannotBeDone when it is not certain which columns have the numbers, or a named one is not there.
    """
    if sheet.other_sheets:
        raise CannotBeDone(
            f"the workbook has more sheets with values ({', '.join(sheet.other_sheets)[:200]}): "
            "save the one with the numbers as a file of its own"
        )
    area = _area_column(sheet, country)
    if named:
        phones = [column_at(sheet.headings, each) for each in named]
    elif sheet.has_headings:
        phones = _by_headings(sheet, country, area)
    else:
        phones = [1] if area is not None else _by_values(sheet, country)
    columns = NumberColumns(phones, None if area in phones else area)
    return _as_change(sheet, columns, is_named=bool(named))


def _area_column(sheet: Sheet, country: str) -> int | None:
    if sheet.has_headings:
        found = next((at for at, heading in enumerate(sheet.headings) if heading in AREA_HEADINGS), None)
    else:
        found = 0 if 2 * sum(map(_has_area_code, sheet.sample)) > len(sheet.sample) else None
    if found is None:
        return None
    if not country:
        raise CannotBeDone(f"column {found + 1} has area codes: say of which country, such as --country US")
    of_registry = next(filter(_has_area_code, sheet.sample), None)
    if not sheet.has_headings and of_registry and not _is_north_american(of_registry, country):
        raise CannotBeDone(
            "columns 1 and 2 look like area codes and numbers of the US registry: say --country US"
        )
    return found


def _has_area_code(line: Line) -> bool:
    """Whether it is as in the US registry: 201,5551234."""
    cells = [str(cell).strip() for cell in line.cells[:2]]
    return len(cells) == 2 and bool(re.fullmatch(r"[2-9]\d\d,[2-9]\d{6}", ",".join(cells)))


def _is_north_american(line: Line, country: str) -> bool:
    return str(read_number(f"{line.cells[0]}{line.cells[1]}", country)).startswith("+1")


def _by_headings(sheet: Sheet, country: str, area: int | None) -> list[int]:
    headings = sheet.headings
    named = [at for at, heading in enumerate(headings) if is_of_phones(heading) and not is_of_ids(heading)]
    named = named or [at for at, heading in enumerate(headings) if heading in WEAK_HEADINGS][:1]
    if not named:
        raise CannotBeDone(f"no heading of the file names phone numbers; {_seen(sheet)}: {_SAY}")
    others = [
        at
        for at in _columns_of_numbers(sheet, country)
        if at not in (*named, area)
        and headings[at] not in _OTHER_FIELDS
        and (is_of_phones(headings[at]) or not is_of_ids(headings[at]))
    ]
    if others:
        raise CannotBeDone(f"{_name(sheet, others)} may have phone numbers, too; {_seen(sheet)}: {_SAY}")
    return named


def _by_values(sheet: Sheet, country: str) -> list[int]:
    if len(sheet.headings) == 1:
        return [0]
    found = _columns_of_numbers(sheet, country)
    if not found:
        raise CannotBeDone(f"no column of the file has phone numbers; {_seen(sheet)}: {_SAY}")
    if len(found) > 1 and not all(_is_international(sheet, at) for at in found):
        raise CannotBeDone(f"{_name(sheet, found)} may have the phone numbers; {_seen(sheet)}: {_SAY}")
    return found


def _columns_of_numbers(sheet: Sheet, country: str) -> list[int]:
    return [
        at
        for at in range(len(sheet.headings))
        if share_of_numbers(sheet.sample, at, country) >= _FEW and not all(map(_is_date, _values(sheet, at)))
    ]


def _is_international(sheet: Sheet, at: int) -> bool:
    return all(str(value).strip().startswith("+") for value in _values(sheet, at))


def _as_change(sheet: Sheet, columns: NumberColumns, *, is_named: bool) -> NumberColumns:
    """With the columns of a change file (number, date, A or D), if it is one."""
    rest = [at for at in range(len(sheet.headings)) if at not in (*columns.phones, columns.area)]
    flags = [at for at in rest if {str(value).strip().upper() for value in _values(sheet, at)} <= {"A", "D"}]
    flags = [at for at in flags if _values(sheet, at)]
    dates = [at for at in rest if at not in flags and all(map(_is_date, _values(sheet, at)))]
    if len(rest) == 2 and len(flags) == len(dates) == len(columns.phones) == 1:
        return msgspec.structs.replace(columns, date=dates[0], flag=flags[0])
    has_removed = any(str(value).strip().upper() == "D" for at in flags for value in _values(sheet, at))
    if has_removed and not is_named:
        raise CannotBeDone(
            f"{_name(sheet, flags)} has A or D, as a change file has, but a change file is number, date, A or D; "
            f"{_seen(sheet)}: {_SAY} if all numbers are to be listed"
        )
    return columns


def _is_date(value: Any) -> bool:
    return read_date(value) is not None


def read_date(value: Any) -> datetime | None:
    """The instant of a date in ISO 8601 (2026-11-26, 20261126, 2026-11-26T10:15:00) from 1990 on."""
    try:
        at = datetime.fromisoformat(str(value).strip()).replace(tzinfo=None)
    except ValueError:
        return None
    return at if date(1990, 1, 1) <= at.date() < date(2100, 1, 1) else None


def _values(sheet: Sheet, at: int) -> list[Any]:
    return [line.cells[at] for line in sheet.sample if at < len(line.cells) and has_text(line.cells[at])]


def _name(sheet: Sheet, columns: Sequence[int]) -> str:
    names = [f"{at + 1} ({sheet.headings[at]})" if sheet.has_headings else str(at + 1) for at in columns]
    return f"column{'s' * (len(columns) > 1)} {' and '.join(names)}"


def _seen(sheet: Sheet) -> str:
    """The first line with values, and the headings."""
    first = next((line for line in sheet.sample if not line.problem), sheet.sample[0])
    headings = f"headings {', '.join(sheet.headings)}; " if sheet.has_headings else ""
    return f"{headings}line {first.line} is {first.text[:100]!r}"[:300]
