"""Text files of rows as people have them: encodings, line ends, separators, headings.

One value per line, or CSV of any usual separator. Each line stands for itself: an unclosed quotation mark spoils its
own line only, and memory does not grow with the file.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from datetime import date, datetime
from itertools import chain
from typing import Any, BinaryIO, Final

import msgspec

from streamdialer.errors import CannotBeDone
from streamdialer.operations.list_file.headings import names_numbers, normal_heading

SEPARATORS: Final = (",", ";", "\t", "|")
MAX_LINE: Final = 65_536
TEXT_SHOWN: Final = 200
"""Characters of a bad line."""
_MARK: Final = "\ufeff"
_UTF16_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SEPARATOR_LINE: Final = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
"""Spreadsheets read the separator from such a first line."""


class Line(msgspec.Struct, frozen=True):
    """A line with values."""

    line: int
    """From 1."""
    cells: list[Any]
    text: str
    """As it stands in the file, for the report of bad lines."""
    problem: str = ""
    """Why it has no cells."""


def has_text(cell: Any) -> bool:
    return cell is not None and str(cell).strip() != ""


def read_date(cell: Any) -> datetime | None:
    """The instant of a date in ISO 8601 (2026-11-26, 20261126, 2026-11-26T10:15:00) from 1990 on."""
    try:
        at = datetime.fromisoformat(str(cell).strip()).replace(tzinfo=None)
    except ValueError:
        return None
    return at if date(1990, 1, 1) <= at.date() < date(2100, 1, 1) else None


class BadLine(msgspec.Struct, frozen=True):
    """A line that cannot be used."""

    line: int
    """From 1."""
    problem: str
    text: str
    """Its beginning."""


class Layout(msgspec.Struct, frozen=True):
    """What the first line that is not empty says of the others."""

    separator: str = ""
    headings: list[str] = []
    """Words in lower case, without accents, joined by blanks; none when that line has values."""


def read_text(source: BinaryIO) -> tuple[Layout, Iterator[Line]]:
    """The layout and the lines with values of a file in UTF-8 or Latin-1, or UTF-16 with a byte-order mark.

    Raises CannotBeDone for text in no such encoding.
    """
    texts = ((at, line.strip(f" \r\n{_MARK}")) for at, line in enumerate(read_lines(source), 1))
    texts = ((at, text) for at, text in texts if text)
    at, first = next(texts, (0, ""))
    named = _SEPARATOR_LINE.fullmatch(first)
    if named:
        at, first = next(texts, (0, ""))
    if not first:
        return Layout(), iter(())
    layout = layout_of(first, named[1] if named else None)
    values = texts if layout.headings else chain([(at, first)], texts)
    return layout, (Line(at, cells_of(text, layout.separator), text) for at, text in values)


def read_lines(source: BinaryIO) -> Iterator[str]:
    """The lines, whatever ends them (LF, CR LF, CR); of one longer than `MAX_LINE` only the beginning."""
    chunk = source.read(MAX_LINE)
    is_utf16 = chunk.startswith(_UTF16_MARKS)
    is_binary = b"\0" in re.split(b"[\r\n]", chunk, maxsplit=1)[0] and not is_utf16
    if chunk.startswith(codecs.BOM_UTF32_LE) or is_binary:
        raise CannotBeDone(
            "the file is no text in UTF-8, Latin-1, or UTF-16 with a byte-order mark: save it as UTF-8"
        )
    decoder = codecs.getincrementaldecoder("utf-16" if is_utf16 else "latin-1")("replace")
    text, rest = io.IncrementalNewlineDecoder(decoder, translate=True), ""
    while chunk:
        *lines, rest = (rest + text.decode(chunk)).split("\n")
        yield from (_decoded(line[:MAX_LINE]) for line in lines)
        rest = rest[:MAX_LINE]
        chunk = source.read(MAX_LINE)
    rest += text.decode(b"", final=True)
    if rest:
        yield _decoded(rest)


def _decoded(line: str) -> str:
    """UTF-8 where the bytes of the Latin-1 text are that: numbers are the same in both."""
    if line.isascii():
        return line
    try:
        return line.encode("latin-1").decode()
    except UnicodeError:
        return line


def encoding_of(head: bytes) -> str:
    if head.startswith(_UTF16_MARKS):
        return "UTF-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "Latin-1"
    return "UTF-8"


def layout_of(text: str, separator: str | None = None) -> Layout:
    """The line is a heading when it has a known heading, or several cells and no digit."""
    if separator is None:
        counts = {each: text.count(each) for each in SEPARATORS}
        separator = max(counts, key=lambda each: counts[each])
        separator = separator if counts[separator] else ""
    headings = [normal_heading(cell) for cell in cells_of(text, separator)]
    is_named = names_numbers(headings) and not re.search(r"\d{5}", text)
    is_heading = is_named or (bool(separator) and not any(map(str.isdigit, text)))
    return Layout(separator, headings if is_heading else [])


def cells_of(text: str, separator: str) -> list[str]:
    if not separator:
        return [text.strip('"')]
    if text.count('"') % 2:  # one of them belongs to another line: cells are as they stand
        return [cell.strip(' "') for cell in text.split(separator)]
    if '"' not in text:
        return text.split(separator)
    try:
        return next(csv.reader([text], delimiter=separator))
    except csv.Error:  # a cell of more than 128 KiB
        return []
