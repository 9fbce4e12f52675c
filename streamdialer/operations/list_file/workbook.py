"""The sheet of an XLSX workbook as rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time
from itertools import chain
from typing import Any, BinaryIO

from streamdialer.errors import CannotBeDone
from streamdialer.operations.list_file.headings import normal_heading
from streamdialer.operations.list_file.text import Line, layout_of


def read_workbook(source: BinaryIO) -> tuple[list[str], Iterator[Line]]:
    """The headings and lines of the only sheet with values; raises CannotBeDone where several have some."""
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise CannotBeDone("XLSX needs openpyxl: pip install 'streamdialer[xlsx]'") from error
    try:
        workbook = load_workbook(source, read_only=True, data_only=True)
        sheets = [each for each in workbook.worksheets if next(_lines(each), None)]
    except Exception as error:  # openpyxl raises whatever the broken file makes it raise
        raise CannotBeDone(f"the workbook cannot be read: {error}") from error
    if len(sheets) > 1:
        names = ", ".join(str(each.title) for each in sheets)[:200]
        raise CannotBeDone(
            f"the workbook has {len(sheets)} sheets with values, takes one: {names}; "
            "save the one with the numbers as a file of its own"
        )
    if not sheets:
        return [], iter(())
    lines = _lines(sheets[0])
    first = next(lines)
    if layout_of(first.text).headings:
        return [normal_heading(cell) for cell in first.cells], lines
    return [], chain([first], lines)


def _lines(sheet: Any) -> Iterator[Line]:
    """Those with values, from the first on."""
    for at, row in enumerate(sheet.iter_rows(values_only=True), 1):
        cells = [_cell_text(value) for value in row]
        if any(cells):
            yield Line(at, cells, "\t".join(cells))


def _cell_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return " ".join(str(value).split())
