"""Which columns of a sheet have telephone numbers, or that it is not certain (pure).

Of contacts, the likely columns are taken: those whose values are numbers, whatever their headings say; the person sees
what was found before anyone is called. Of do-not-call files only what is certain, because a number in the wrong column
would be listed in place of a person's: headings and values must agree, and no other column may have numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from itertools import pairwise
from typing import Any, Final

import msgspec

from streamdialer.errors import CannotBeDone
from streamdialer.operations.list_file.headings import (
    AREA_HEADINGS,
    FIELDS,
    WEAK_HEADINGS,
    is_of_ids,
    is_of_phones,
    normal_heading,
)
from streamdialer.operations.list_file.sheet import Sheet
from streamdialer.operations.list_file.text import Line, has_text, read_date
from streamdialer.rules.numbers import Number, read_number

_FEW: Final = 0.1
"""With a smaller share of numbers, a column is certainly not one of numbers."""
_HALF: Final = 0.5
"""With this share or more, it likely is."""
SAY_COLUMN: Final = "say --column with the heading or the position of the right one"
_SAY_MAP: Final = "name it with --map phone=COLUMN"
_OTHER_FIELDS: Final = frozenset[str]().union(*FIELDS.values())
_NOT_ONE: Final = "not a phone number: with and without its area code it is another one"


class NumberColumns(msgspec.Struct, frozen=True):
    phones: list[int]
    area: int | None = None
    """The column of area codes, which stand before the numbers."""

    def read(
        self,
        line: Line,
        at: int,
        country: str,
        reader: Callable[[object, str], Number] = read_number,
    ) -> Number:
        """The number in a phone column of the line, with its area code where it is not whole without."""
        number = reader(line.cells[at], country)
        code = line.cells[self.area] if self.area is not None and self.area < len(line.cells) else None
        if not has_text(code):
            return number
        joined = reader(f"{code}{line.cells[at]}", country)
        if joined.problem:
            return joined if number.problem else number
        if not number.problem and number.digits != joined.digits:
            return Number("", problem=_NOT_ONE)
        return joined


def find_certain_columns(sheet: Sheet, country: str, named: Sequence[str] = ()) -> NumberColumns:
    """`named`: headings, or positions from 1, of the columns with numbers, as a person has said.

    Raises CannotBeDone when it is not certain which columns have the numbers, or a named one is not there.
    """
    area = _area_column(sheet, country)
    if named:
        phones = [column_at(sheet.headings, each) for each in named]
    elif sheet.has_headings:
        phones = _by_headings(sheet, country, area)
    else:
        phones = [1] if area is not None else _by_values(sheet, country)
    return _with_area(sheet, country, phones, area)


def find_likely_columns(
    sheet: Sheet, country: str, named: Sequence[int], taken: Collection[int], most: int
) -> NumberColumns:
    """At most so many columns, none of those taken. `named`: positions from 0, as a person has said.

    A heading alone is not believed: lists have ids of ten digits, and call them what they like. Headings decide between
    several columns of numbers. Raises CannotBeDone when none is likely, or several are.
    """
    headings, area = sheet.headings, _area_column(sheet, country)
    if named:
        return _with_area(sheet, country, list(named), area)
    found = [
        at for at in _columns_of_numbers(sheet, country, area if country else None, _HALF) if at not in taken
    ]
    if by_heading := _named_by_headings(headings, found):
        return _with_area(sheet, country, by_heading[:most], area)
    no_ids = [at for at in found if not is_of_ids(headings[at])]
    likely = [at for at in no_ids if not _is_counted_up(sheet, at)] or no_ids
    if not likely:
        raise CannotBeDone(
            f"no column of the file has telephone numbers{_hint(sheet, country)}; {sheet.first_line()}: {_SAY_MAP}"
        )
    if len(likely) > 1 and not all(_is_international(sheet, at) for at in likely):
        raise CannotBeDone(
            f"{sheet.names(likely)} may have the telephone numbers; {sheet.first_line()}: {_SAY_MAP}"
        )
    return _with_area(sheet, country, likely[:most], area)


def column_at(headings: list[str], wanted: str) -> int:
    plain = normal_heading(wanted)
    if plain in headings:
        return headings.index(plain)
    if wanted.isdecimal() and 1 <= int(wanted) <= len(headings):
        return int(wanted) - 1
    raise CannotBeDone(f"the file has no column {wanted}: it has {', '.join(headings)}"[:400])


def _with_area(sheet: Sheet, country: str, phones: list[int], area: int | None) -> NumberColumns:
    if area is None or area in phones:
        return NumberColumns(phones)
    if not country and not all(_is_international(sheet, at) for at in phones):
        raise CannotBeDone(f"column {area + 1} has area codes: say of which country, such as --country US")
    return NumberColumns(phones, area)


def _area_column(sheet: Sheet, country: str) -> int | None:
    if sheet.has_headings:
        return next((at for at, heading in enumerate(sheet.headings) if heading in AREA_HEADINGS), None)
    if 2 * sum(map(_has_area_code, sheet.sample)) <= len(sheet.sample):
        return None
    of_registry = next(filter(_has_area_code, sheet.sample))
    if not _is_north_american(of_registry, country):
        raise CannotBeDone(
            "columns 1 and 2 look like area codes and numbers of the US registry: say --country US"
        )
    return 0


def _has_area_code(line: Line) -> bool:
    """Whether it is as in the US registry: 201,5551234."""
    cells = [str(cell).strip() for cell in line.cells[:2]]
    return len(cells) == 2 and bool(re.fullmatch(r"[2-9]\d\d,[2-9]\d{6}", ",".join(cells)))


def _is_north_american(line: Line, country: str) -> bool:
    return str(read_number(f"{line.cells[0]}{line.cells[1]}", country)).startswith("+1")


def _named_by_headings(headings: list[str], among: Collection[int]) -> list[int]:
    named = [at for at in among if is_of_phones(headings[at]) and not is_of_ids(headings[at])]
    return named or [at for at in among if headings[at] in WEAK_HEADINGS][:1]


def _by_headings(sheet: Sheet, country: str, area: int | None) -> list[int]:
    headings = sheet.headings
    named = _named_by_headings(headings, range(len(headings)))
    if not named:
        raise CannotBeDone(f"no heading of the file names phone numbers; {sheet.first_line()}: {SAY_COLUMN}")
    others = [
        at
        for at in _columns_of_numbers(sheet, country, None, _FEW)
        if at not in (*named, area)
        and headings[at] not in _OTHER_FIELDS
        and (is_of_phones(headings[at]) or not is_of_ids(headings[at]))
    ]
    if others:
        raise CannotBeDone(
            f"{sheet.names(others)} may have phone numbers, too; {sheet.first_line()}: {SAY_COLUMN}"
        )
    return named


def _by_values(sheet: Sheet, country: str) -> list[int]:
    if len(sheet.headings) == 1:
        return [0]
    found = _columns_of_numbers(sheet, country, None, _FEW)
    if not found:
        raise CannotBeDone(f"no column of the file has phone numbers; {sheet.first_line()}: {SAY_COLUMN}")
    if len(found) > 1 and not all(_is_international(sheet, at) for at in found):
        raise CannotBeDone(
            f"{sheet.names(found)} may have the phone numbers; {sheet.first_line()}: {SAY_COLUMN}"
        )
    return found


def _columns_of_numbers(sheet: Sheet, country: str, area: int | None, least_share: float) -> list[int]:
    """Those of whose values at least that share are numbers, with the area codes where there are any."""
    columns = NumberColumns([], area)
    found = []
    for at in range(len(sheet.headings)):
        if at == area:
            continue
        lines = [line for line in sheet.sample if at < len(line.cells) and has_text(line.cells[at])]
        numbers = sum(not columns.read(line, at, country).problem for line in lines)
        if lines and numbers >= least_share * len(lines) and not all(map(_is_date, sheet.values(at))):
            found.append(at)
    return found


def _is_date(value: Any) -> bool:
    return read_date(value) is not None


def _is_international(sheet: Sheet, at: int) -> bool:
    return all(str(value).strip().startswith("+") for value in sheet.values(at))


def _is_counted_up(sheet: Sheet, at: int) -> bool:
    """Whether each value is one more than the one before: numbers of rows."""
    values = [str(value) for value in sheet.values(at)]
    if len(values) < 3 or not all(value.isdecimal() for value in values):
        return False
    return all(int(after) - int(before) == 1 for before, after in pairwise(values))


def _hint(sheet: Sheet, country: str) -> str:
    """Why a column that is called so has none."""
    for at, heading in enumerate(sheet.headings):
        if is_of_phones(heading):
            for value in sheet.values(at):
                if problem := read_number(value, country).problem:
                    return f" ({heading}: {str(value)[:40]} is {problem})"
    return ""
