"""The first sheet of an XLSX workbook as rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime, time
from itertools import chain
from typing import Any, BinaryIO

from streamdialer.errors import CannotBeDone
from streamdialer.operations.list_file.headings import normal_heading
from streamdialer.operations.list_file.text import Line, layout_of


def read_workbook(source: BinaryIO) -> tuple[list[str], Iterator[Line], list[str]]:
    """The headings and lines of the first sheet, and the names of other sheets that have values."""
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise CannotBeDone("XLSX needs openpyxl: pip install 'streamdialer[xlsx]'") from error
    try:
        workbook = load_workbook(source, read_only=True, data_only=True)
        sheets = workbook.worksheets
        others = [
            each.title for each in sheets[1:] if any(any(row) for row in each.iter_rows(values_only=True))
        ]
        rows = sheets[0].iter_rows(values_only=True)
    except Exception as error:  # openpyxl raises whatever the broken file makes it raise
        raise CannotBeDone(f"the workbook cannot be read: {error}") from error
    lines = (line for line in _lines(rows) if any(line.cells))
    first = next(lines, None)
    if first is None:
        return [], iter(()), others
    if layout_of(first.text).headings:
        return [normal_heading(cell) for cell in first.cells], lines, others
    return [], chain([first], lines), others


def _lines(rows: Iterable[tuple[Any, ...]]) -> Iterator[Line]:
    for at, row in enumerate(rows, 1):
        cells = [_cell_text(value) for value in row]
        yield Line(at, cells, "\t".join(cells))


def _cell_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return " ".join(str(value).split())
