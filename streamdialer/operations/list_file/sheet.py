"""A file of contacts or numbers as headings and rows: CSV, TSV, XLSX, XML or NDJSON, told apart by its content.

The file may be packed with zip or gzip. Memory does not grow with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any, BinaryIO, Final, Literal

import msgspec

from streamdialer.errors import CannotBeDone
from streamdialer.operations.list_file.archive import ZIP, unpacked
from streamdialer.operations.list_file.headings import normal_heading
from streamdialer.operations.list_file.text import Line, encoding_of, has_text, read_lines, read_text
from streamdialer.operations.list_file.workbook import read_workbook
from streamdialer.operations.list_file.xml_rows import read_xml

Kind = Literal["CSV", "TSV", "XLSX", "XML", "NDJSON"]
SAMPLE: Final = 500
"""Rows that are looked at to find what the columns mean."""
_HEAD: Final = 65_536
_NO_ROW: Final = "the file has no row with values"


class EmptyFile(CannotBeDone):
    """It may have headings."""


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    kind: Kind
    separator: str = ""
    """Of CSV and TSV."""
    encoding: str = ""
    """Of text."""
    headings: list[str]
    """In lower case, words joined by blanks; `column 3` where the file has no headings."""
    has_headings: bool
    sample: list[Line]
    lines: Iterator[Line]
    """All lines with values, also those of the sample."""
    source: BinaryIO
    size: int
    """In bytes; 0 where the position in the source says nothing of the lines read."""

    def values(self, at: int) -> list[Any]:
        """Those of the sample in one column."""
        return [line.cells[at] for line in self.sample if at < len(line.cells) and has_text(line.cells[at])]

    def names(self, columns: Sequence[int]) -> str:
        """For people: the positions from 1, with the headings."""
        names = [f"{at + 1} ({self.headings[at]})" if self.has_headings else str(at + 1) for at in columns]
        return f"column{'s' * (len(columns) > 1)} {' and '.join(names)}"

    def first_line(self) -> str:
        """For people: the headings, and the first line with values."""
        first = next((line for line in self.sample if not line.problem), self.sample[0])
        headings = f"headings {', '.join(self.headings)}; " if self.has_headings else ""
        return f"{headings}line {first.line} is {first.text[:100]!r}"[:300]

    def position(self, line: int) -> int:
        """How far it is read: bytes, or lines where the size is 0."""
        return self.source.tell() if self.size else line


@contextmanager
def open_sheet(source: BinaryIO) -> Iterator[Sheet]:
    """Raises CannotBeDone for a file that is of no known format, EmptyFile for one without a row."""
    with unpacked(source) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(_HEAD)
        file.seek(0)
        encoding = encoding_of(head)
        start = head.decode(encoding, "ignore").lstrip("\ufeff \t\r\n")[:1]
        if head.startswith(ZIP):
            yield _sheet(file, 0, "XLSX", *read_workbook(file))
        elif start == "<":
            rows = (
                (row.line, "\t".join(row.values.values()), row.values, row.problem) for row in read_xml(file)
            )
            yield _keyed_sheet(file, size, "XML", rows)
        elif start == "{":
            yield _keyed_sheet(file, size, "NDJSON", _json_objects(file), encoding=encoding)
        else:
            layout, lines = read_text(file)
            kind: Kind = "TSV" if layout.separator == "\t" else "CSV"
            separator = layout.separator
            yield _sheet(file, size, kind, layout.headings, lines, separator=separator, encoding=encoding)


def _sheet(
    source: BinaryIO, size: int, kind: Kind, headings: list[str], lines: Iterator[Line], **more: Any
) -> Sheet:
    sample = list(islice(lines, SAMPLE))
    if not sample:
        raise EmptyFile(_NO_ROW)
    width = max(len(line.cells) for line in sample)
    names = [*headings, *[""] * (width - len(headings))]
    names = [name or f"column {at}" for at, name in enumerate(names, 1)]
    names = [f"{name} {at}" if name in names[: at - 1] else name for at, name in enumerate(names, 1)]
    return Sheet(
        kind=kind,
        headings=names,
        has_headings=bool(headings),
        sample=sample,
        lines=chain(sample, lines),
        source=source,
        size=size,
        **more,
    )


_Keyed = tuple[int, str, dict[str, Any], str]
"""Line, text, values by key, and why there are none."""


def _keyed_sheet(source: BinaryIO, size: int, kind: Kind, rows: Iterator[_Keyed], **more: Any) -> Sheet:
    """The keys of the sample are the columns."""
    sample = list(islice(rows, SAMPLE))
    keys = list(dict.fromkeys(key for _, _, values, _ in sample for key in values))
    lines = (
        Line(at, [] if problem else _cells(values, keys), text, problem)
        for at, text, values, problem in chain(sample, rows)
    )
    return _sheet(source, size, kind, [normal_heading(key) or key for key in keys], lines, **more)


def _cells(values: dict[str, Any], keys: list[str]) -> list[Any]:
    """The values of the columns, then those of keys that the sample does not have."""
    return [values.get(key) for key in keys] + [values[key] for key in values if key not in keys]


def _json_objects(source: BinaryIO) -> Iterator[_Keyed]:
    for at, line in enumerate(read_lines(source), 1):
        text = line.strip("\ufeff \t\r\n")
        if text:
            try:
                yield at, text, msgspec.json.decode(text, type=dict[str, Any]), ""
            except msgspec.DecodeError:
                yield at, text, {}, "no JSON object"
