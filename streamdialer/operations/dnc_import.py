"""Reads a file of phone numbers into the do-not-call list; a change file also takes numbers off it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final

import msgspec

from streamdialer.errors import Unreachable
from streamdialer.ledger.suppression import IMPORTED, DncLedger
from streamdialer.operations.list_file.change_file import Change, ChangeColumns, find_change_columns
from streamdialer.operations.list_file.number_columns import NumberColumns, find_certain_columns
from streamdialer.operations.list_file.sheet import Sheet
from streamdialer.operations.list_file.text import TEXT_SHOWN, BadLine, Line
from streamdialer.rules.number_text import NO_NUMBER
from streamdialer.rules.numbers import Number, read_number

BATCH: Final = 1000


class ImportResult(msgspec.Struct, kw_only=True):
    lines: int = 0
    """The number of the last line with values."""
    numbers: int = 0
    """A number that is there twice counts twice."""
    added: int = 0
    """Numbers that were not on the list before."""
    removed: int = 0
    """Numbers that a change file took off the list."""
    without_country: int = 0
    """Numbers without a calling code and without a country: they are compared by their digits."""
    bad: int = 0


class Query(msgspec.Struct, frozen=True):
    """The question that a file is a registry's answer to."""

    registry: str
    asked_s: int
    """Seconds since 1970."""


class FileNumbers(msgspec.Struct, frozen=True):
    """The numbers of a line."""

    line: int
    numbers: list[Number]
    change: Change | None = None
    """Of a line in a change file."""


def read_numbers(
    sheet: Sheet, country: str = "", named: Sequence[str] = ()
) -> Iterator[FileNumbers | BadLine]:
    """The numbers of each line, or why none of it is listed. `named`: columns that a person has named.

    Raises CannotBeDone when it is not certain which columns have the numbers.
    """
    columns = find_certain_columns(sheet, country, named)
    changes = find_change_columns(sheet, columns, is_named=bool(named))
    for line in sheet.lines:
        found = _read_line(line, columns, changes, country, len(sheet.headings))
        yield BadLine(line.line, found, line.text[:TEXT_SHOWN]) if isinstance(found, str) else found


def _read_line(
    line: Line, columns: NumberColumns, changes: ChangeColumns | None, country: str, width: int
) -> FileNumbers | str:
    if line.problem:
        return line.problem
    if len(line.cells) > width:
        return f"has {len(line.cells)} columns, the lines before have {width}"
    if min(columns.phones) >= len(line.cells):
        return f"has no column {min(columns.phones) + 1}"
    numbers: list[Number] = []
    for at in columns.phones:
        cell = line.cells[at] if at < len(line.cells) else None
        if any(map(str.isdecimal, str(cell))):
            number = columns.read(line, at, country, _read_certain)
            if number.problem:
                return number.problem
            numbers.append(number)
    if not numbers:
        return NO_NUMBER
    if changes is None:
        return FileNumbers(line.line, numbers)
    change = changes.read(line)
    return change if isinstance(change, str) else FileNumbers(line.line, numbers, change)


def _read_certain(cell: object, country: str) -> Number:
    """As `read_number`, but one number among words is read as well: it is no guess."""
    number = read_number(cell, country)
    if not number.problem or not number.digits:
        return number
    alone = read_number("".join(each for each in str(cell) if each.isdecimal() or each == "+"), country)
    return alone if alone.digits == number.digits else number


async def import_numbers(
    dnc: DncLedger,
    sheet: Sheet,
    *,
    country: str,
    named: Sequence[str] = (),
    query: Query | None = None,
    on_bad_line: Callable[[BadLine], None],
    on_progress: Callable[[int], None],
) -> ImportResult:
    """Adds every number to the list; a second import adds nothing. `on_progress` gets the number of lines read.

    A change file is read to its end first: of a number that is there several times, the newest date counts, and A where
    dates are equal. A `query` is noted when every line could be read.

    Raises Unreachable, and says how many lines are listed; CannotBeDone for a file whose numbers cannot be found.
    """
    result, size_before, batch, lines_listed = ImportResult(), await dnc.size(), list[Number](), 0
    changes: dict[str, tuple[datetime, bool, Number]] = {}
    why = f"{IMPORTED} {query.registry}" if query else IMPORTED

    async def list_batch() -> None:
        nonlocal lines_listed
        try:
            await dnc.suppress(batch, why)
        except Unreachable as error:
            raise Unreachable(
                f"{error}; the first {lines_listed} lines are listed; you can import the whole file again"
            ) from error
        batch.clear()
        lines_listed = result.lines
        on_progress(lines_listed)

    for found in read_numbers(sheet, country, named):
        result.lines = found.line
        if isinstance(found, BadLine):
            result.bad += 1
            on_bad_line(found)
            continue
        for number in found.numbers:
            result.numbers += 1
            result.without_country += not number.is_e164
            if found.change is None:
                batch.append(number)
            else:
                change = (found.change.at, not found.change.is_removed, number)
                changes[number.digits] = max(
                    changes.get(number.digits, change), change, key=lambda each: each[:2]
                )
        if len(batch) >= BATCH:
            await list_batch()
    batch += [number for _, is_added, number in changes.values() if is_added]
    await list_batch()
    result.added = max(0, await dnc.size() - size_before)
    removed = [number for _, is_added, number in changes.values() if not is_added]
    result.removed = await dnc.remove_imported(removed, why)
    if query and not result.bad:
        await dnc.record_query(query.registry, query.asked_s, result.numbers)
    return result
