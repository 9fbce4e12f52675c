"""Reads a file of phone numbers into the do-not-call list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from streamdialer.errors import CannotBeDone, Unreachable
from streamdialer.ledger.suppression import DncLedger
from streamdialer.operations.number_file import TEXT_SHOWN, BadLine, Row
from streamdialer.rules.number_text import NO_NUMBER
from streamdialer.rules.numbers import Number, read_number

BATCH: Final = 1000


class ImportResult(msgspec.Struct, kw_only=True):
    lines: int = 0
    numbers: int = 0
    """A number that is there twice counts twice."""
    added: int = 0
    """Numbers that were not on the list before."""
    without_country: int = 0
    """Numbers without a calling code and without a country: they are compared by their digits."""
    bad: int = 0


def read_numbers(rows: Iterable[Row | None], country: str = "") -> Iterator[list[Number | BadLine]]:
    """The numbers of each row, and what is wrong with it; nothing for a heading and an empty line.

    Raises CannotBeDone when it is not certain which column has the numbers.
    """
    columns: list[int] = []
    for row in rows:
        if row is None:
            yield []
            continue
        columns = columns or _number_columns(row, country)
        cells = [row.cells[column] for column in columns or [0] if column < len(row.cells)]
        numbers = [read_number(cell, country) for cell in cells if cell.strip()]
        problems = [number.problem for number in numbers if not number.digits]
        if not numbers:
            problems = [NO_NUMBER if cells else f"has no column {(columns or [0])[0] + 1}"]
        found: list[Number | BadLine] = [number for number in numbers if number.digits]
        yield found + [BadLine(row.line, problem, row.text[:TEXT_SHOWN]) for problem in problems[:1]]


def _number_columns(row: Row, country: str) -> list[int]:
    """The columns with numbers; none while no row has shown them. Raises CannotBeDone."""
    layout = row.layout
    if layout.headings and not layout.number_columns:
        raise CannotBeDone(
            f"no heading of the file names phone numbers ({', '.join(layout.headings)[:TEXT_SHOWN]}): "
            "call their column phone_number"
        )
    if layout.headings:
        return layout.number_columns
    found = [at for at, cell in enumerate(row.cells) if read_number(cell, country).digits]
    if len(found) > 1:
        raise CannotBeDone(
            f"line {row.line} has what may be phone numbers in columns {', '.join(str(at + 1) for at in found)}: "
            "add a first line with headings, and call the column of the numbers phone_number"
        )
    return found


async def import_numbers(
    dnc: DncLedger,
    rows: Iterable[Row | None],
    *,
    country: str,
    on_bad_line: Callable[[BadLine], None],
    on_progress: Callable[[int], None],
) -> ImportResult:
    """Adds every number to the list; a second import adds nothing. `on_progress` gets the number of lines read.

    Raises Unreachable, and says how many lines are listed; CannotBeDone for a file whose numbers cannot be found.
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

    for found in read_numbers(rows, country):
        result.lines += 1
        for number in found:
            if isinstance(number, Number):
                result.numbers += 1
                result.without_country += not number.is_e164
                batch.append(number)
            else:
                result.bad += 1
                on_bad_line(number)
        if len(batch) >= BATCH:
            await list_batch()
    await list_batch()
    result.added = max(0, await dnc.size() - size_before)
    return result
