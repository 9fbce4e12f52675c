"""Change files: number, date, and A (add) or D (take off) (pure)."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from streamdialer.errors import CannotBeDone
from streamdialer.operations.list_file.number_columns import SAY_COLUMN, NumberColumns
from streamdialer.operations.list_file.sheet import Sheet
from streamdialer.operations.list_file.text import Line, read_date

_FLAGS: Final = frozenset({"A", "D"})


class Change(msgspec.Struct, frozen=True):
    at: datetime
    is_removed: bool


class ChangeColumns(msgspec.Struct, frozen=True):
    date: int
    flag: int

    def read(self, line: Line) -> Change | str:
        """What the line says, or what is wrong with it."""
        if max(self.date, self.flag) >= len(line.cells):
            return f"has no column {max(self.date, self.flag) + 1}"
        flag, at = str(line.cells[self.flag]).strip().upper(), read_date(line.cells[self.date])
        if flag not in _FLAGS:
            return f"neither A (add) nor D (take off) but {flag[:20]!r}"
        if at is None:
            return f"its date is not as 2026-11-26: {str(line.cells[self.date])[:40]!r}"
        return Change(at, flag == "D")


def find_change_columns(sheet: Sheet, numbers: NumberColumns, *, is_named: bool) -> ChangeColumns | None:
    """None when it is a list of numbers, or `is_named`: a person has named its columns and it has no such two others.

    Raises CannotBeDone when it takes numbers off in another form.
    """
    rest = [at for at in range(len(sheet.headings)) if at not in (*numbers.phones, numbers.area)]
    words = {at: {str(value).strip().upper() for value in sheet.values(at)} for at in rest}
    flags = [at for at in rest if words[at] and words[at] <= _FLAGS]
    dates = [at for at in rest if at not in flags and all(map(read_date, sheet.values(at)))]
    if len(rest) == 2 and len(flags) == len(dates) == len(numbers.phones) == 1:
        return ChangeColumns(dates[0], flags[0])
    if any("D" in words[at] for at in flags) and not is_named:
        raise CannotBeDone(
            f"{sheet.names(flags)} has A or D, as a change file has, but a change file is number, date, A or D; "
            f"{sheet.first_line()}: {SAY_COLUMN} if all numbers are to be listed"
        )
    return None
