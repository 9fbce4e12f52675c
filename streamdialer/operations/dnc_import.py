"""Reads a file of phone numbers into the do-not-call list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from streamdialer.errors import Unreachable
from streamdialer.ledger.suppression import DncLedger
from streamdialer.operations.number_file import NUMBER_HEADINGS, Row
from streamdialer.rules.numbers import Number, read_number

BATCH: Final = 1000
_TEXT_SHOWN: Final = 200


class BadLine(msgspec.Struct, frozen=True):
    """A line without a number that could be listed."""

    line: int
    """From 1."""
    problem: str
    text: str


class ImportResult(msgspec.Struct, kw_only=True):
    lines: int = 0
    numbers: int = 0
    """Lines with a number; a number that is there twice counts twice."""
    added: int = 0
    """Numbers that were not on the list before."""
    without_country: int = 0
    """Numbers without a calling code and without a country: they are compared by their digits."""
    bad: int = 0


def read_numbers(rows: Iterable[Row | None], country: str = "") -> Iterator[Number | BadLine | None]:
    """The number of each row, or what is wrong with the line; None for a heading and an empty line."""
    for row in rows:
        if row is None:
            yield None
            continue
        column = row.layout.column(NUMBER_HEADINGS)
        if column < len(row.cells):
            number = read_number(row.cells[column], country)
        else:
            number = Number("", problem=f"has no column {column + 1}")
        yield BadLine(row.line, number.problem, row.text[:_TEXT_SHOWN]) if not number.digits else number


async def import_numbers(
    dnc: DncLedger,
    rows: Iterable[Row | None],
    *,
    country: str,
    on_bad_line: Callable[[BadLine], None],
    on_progress: Callable[[int], None],
) -> ImportResult:
    """Adds every number to the list; a second import adds nothing. `on_progress` gets the number of lines read.

    Raises Unreachable, and says how many lines are listed.
    """
    result, size_before, batch, lines_listed = ImportResult(), await dnc.size(), list[Number](), 0

    async def list_batch() -> None:
        nonlocal lines_listed
        try:
            await dnc.suppress(batch, "import")
        except Unreachable as error:
            raise Unreachable(
                f"{error}; the first {lines_listed} lines are listed; you can import the whole file again"
            ) from error
        batch.clear()
        lines_listed = result.lines
        on_progress(lines_listed)

    for number in read_numbers(rows, country):
        result.lines += 1
        if isinstance(number, Number):
            result.numbers += 1
            result.without_country += not number.is_e164
            batch.append(number)
        elif number is not None:
            result.bad += 1
            on_bad_line(number)
        if len(batch) == BATCH:
            await list_batch()
    await list_batch()
    result.added = max(0, await dnc.size() - size_before)
    return result
