"""Files of phone numbers as people have them, read line by line: encodings, separators, headings.

One number per line, or CSV of any usual separator. Each line stands for itself: an unclosed quotation mark spoils its
own line only, and memory does not grow with the file.
"""

from __future__ import annotations

import codecs
import csv
import unicodedata
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

import msgspec

from streamdialer.errors import CannotBeDone

SEPARATORS: Final = (",", ";", "\t", "|")
NUMBER_HEADINGS: Final = (
    "phone_number",
    "phone",
    "telefono",
    "numero_de_telefono",
    "celular",
    "numero_de_celular",
    "movil",
    "number",
    "numero",
)
"""Headings of the column with the numbers, without accents; the first of them that is there counts."""
MAX_LINE: Final = 65_536
_MARK: Final = "\ufeff"


class Layout(msgspec.Struct, frozen=True):
    """What the first line that is not empty says of the others."""

    separator: str = ""
    headings: list[str] = []
    """In lower case, without accents, _ for a space; none when that line has values."""

    def column(self, names: Iterable[str]) -> int:
        """The column under the first of `names` that is a heading, else the first column."""
        return next((self.headings.index(name) for name in names if name in self.headings), 0)


class Row(msgspec.Struct, frozen=True):
    """A line with values."""

    line: int
    """From 1."""
    text: str
    cells: list[str]
    layout: Layout


def read_rows(source: BinaryIO) -> Iterator[Row | None]:
    """A row for each line of a file in UTF-8 or Latin-1, or UTF-16 with a byte-order mark; None for one without values.

    Raises CannotBeDone for text in no such encoding.
    """
    layout: Layout | None = None
    for at, line in enumerate(_read_lines(source), 1):
        text = line.strip(f" \r\n{_MARK}")
        if text and layout is None:
            layout, is_heading = _layout_of(text)
            text = "" if is_heading else text
        yield Row(at, text, _cells_of(text, layout.separator), layout) if text and layout else None


def _read_lines(source: BinaryIO) -> Iterator[str]:
    """The lines; of one longer than `MAX_LINE` only the beginning."""
    line = source.readline(MAX_LINE)
    is_utf16 = line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if line.startswith(codecs.BOM_UTF32_LE) or (b"\0" in line and not is_utf16):
        raise CannotBeDone(
            "the file is no text in UTF-8, Latin-1, or UTF-16 with a byte-order mark: save it as UTF-8"
        )
    if is_utf16:
        yield from _read_utf16_lines(line, source)
        return
    while line:
        yield _decode(line)
        while line and not line.endswith(b"\n"):
            line = source.readline(MAX_LINE)
        line = source.readline(MAX_LINE)


def _read_utf16_lines(head: bytes, source: BinaryIO) -> Iterator[str]:
    """`head` has been read of the source."""
    decoder = codecs.getincrementaldecoder("utf-16")("replace")
    rest, chunk = "", head
    while chunk:
        *lines, rest = (rest + decoder.decode(chunk)).split("\n")
        yield from (line[:MAX_LINE] for line in lines)
        rest = rest[:MAX_LINE]
        chunk = source.read(MAX_LINE)
    if rest:
        yield rest


def _decode(line: bytes) -> str:
    """UTF-8, else Latin-1, in which every byte is a letter: numbers are the same in both."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _layout_of(text: str) -> tuple[Layout, bool]:
    """The layout, and whether the line is a heading: it has a known heading, or several cells and no digit."""
    counts = {separator: text.count(separator) for separator in SEPARATORS}
    separator = max(counts, key=lambda each: counts[each])
    separator = separator if counts[separator] else ""
    headings = [_heading(cell) for cell in _cells_of(text, separator)]
    if any(name in headings for name in NUMBER_HEADINGS):
        return Layout(separator, headings), True
    return Layout(separator), bool(separator) and not any(map(str.isdigit, text))


def _heading(cell: str) -> str:
    apart = unicodedata.normalize("NFKD", cell.strip(' "').lower().replace(" ", "_").replace("-", "_"))
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def _cells_of(text: str, separator: str) -> list[str]:
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
