"""A file of contacts as headings and rows: CSV, TSV, XLSX or NDJSON, told apart by its content.

Text is read by `number_file`: each line stands for itself, and memory does not grow with the file.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time
from itertools import chain, islice
from typing import Any, BinaryIO, Final, Literal

import msgspec

from streamdialer.errors import CannotBeDone
from streamdialer.operations.number_file import layout_of, normal_heading, read_rows

Kind = Literal["CSV", "TSV", "XLSX", "NDJSON"]
SAMPLE: Final = 500
"""Rows that are looked at to find what the columns mean."""
_HEAD: Final = 65_536
_NOT_READABLE: Final = "no JSON object"


class Line(msgspec.Struct, frozen=True):
    line: int
    """From 1."""
    cells: list[Any]
    text: str
    """As it stands in the file, for the report of bad lines."""
    problem: str = ""
    """Why it has no cells."""


class Sheet(msgspec.Struct, frozen=True):
    kind: Kind
    separator: str
    """Of CSV and TSV."""
    encoding: str
    """Of text."""
    headings: list[str]
    """In lower case, words joined by blanks; `column 3` where the file has no headings."""
    has_headings: bool
    sample: list[Line]
    lines: Iterator[Line]
    """All lines with values, also those of the sample."""


def open_sheet(source: BinaryIO) -> Sheet:
    """Raises CannotBeDone for a file that is none of the four, or has no row."""
    head = source.read(_HEAD)
    source.seek(0)
    if head.startswith(b"PK\x03\x04"):
        return _sheet("XLSX", "", "", *_read_workbook(source))
    encoding = _encoding_of(head)
    if head.lstrip(codecs.BOM_UTF8 + b" \t\r\n").startswith(b"{"):
        return _json_sheet(source, encoding)
    rows = (row for row in read_rows(source) if row is not None)
    first = next(rows, None)
    if first is None:
        raise CannotBeDone("the file has no row with values")
    lines = (Line(row.line, list(row.cells), row.text) for row in chain([first], rows))
    kind: Kind = "TSV" if first.layout.separator == "\t" else "CSV"
    return _sheet(kind, first.layout.separator, encoding, first.layout.headings, lines)


def _sheet(kind: Kind, separator: str, encoding: str, headings: list[str], lines: Iterator[Line]) -> Sheet:
    sample = list(islice(lines, SAMPLE))
    if not sample:
        raise CannotBeDone("the file has no row with values")
    width = max(len(line.cells) for line in sample)
    names = [*headings, *[""] * (width - len(headings))]
    names = [name or f"column {at}" for at, name in enumerate(names, 1)]
    names = [f"{name} {at}" if name in names[: at - 1] else name for at, name in enumerate(names, 1)]
    return Sheet(kind, separator, encoding, names, bool(headings), sample, chain(sample, lines))


def _encoding_of(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "Latin-1"
    return "UTF-8"


def _read_workbook(source: BinaryIO) -> tuple[list[str], Iterator[Line]]:
    """The headings and lines of a workbook's first sheet."""
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise CannotBeDone("XLSX needs openpyxl: pip install 'streamdialer[backend]'") from error
    try:
        workbook = load_workbook(source, read_only=True, data_only=True)
        rows = workbook.worksheets[0].iter_rows(values_only=True)
    except Exception as error:  # openpyxl raises whatever the broken file makes it raise
        raise CannotBeDone(f"the workbook cannot be read: {error}") from error
    lines = (line for line in _workbook_lines(rows) if any(line.cells))
    first = next(lines, None)
    if first is None:
        return [], iter(())
    _, is_heading = layout_of(first.text)
    headings = [normal_heading(cell) for cell in first.cells] if is_heading else []
    return headings, lines if is_heading else chain([first], lines)


def _workbook_lines(rows: Iterable[tuple[Any, ...]]) -> Iterator[Line]:
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


def _json_sheet(source: BinaryIO, encoding: str) -> Sheet:
    """One JSON object per line; the keys of the sample are the columns."""
    if encoding == "UTF-16":
        raise CannotBeDone("the file of JSON lines is in UTF-16: save it as UTF-8")
    objects = _json_objects(source)
    sample = list(islice(objects, SAMPLE))
    keys = list(dict.fromkeys(key for _, _, found in sample for key in found or ()))
    lines = (
        Line(at, [found.get(key) for key in keys], text)
        if found is not None
        else Line(at, [], text, _NOT_READABLE)
        for at, text, found in chain(sample, objects)
    )
    return _sheet("NDJSON", "", encoding, [normal_heading(key) or key for key in keys], lines)


def _json_objects(source: BinaryIO) -> Iterator[tuple[int, str, dict[str, Any] | None]]:
    for at, line in enumerate(iter(lambda: source.readline(_HEAD), b""), 1):
        stripped = line.lstrip(codecs.BOM_UTF8).strip()
        if stripped:
            try:
                found = msgspec.json.decode(stripped)
            except msgspec.DecodeError:
                found = None
            text = stripped.decode(errors="replace")
            yield at, text, found if isinstance(found, dict) else None
