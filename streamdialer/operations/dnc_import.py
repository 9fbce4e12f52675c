"""Files of phone numbers as people have them, read line by line into the do-not-call list.

One number per line, or CSV of any usual separator with a column of numbers. Each line stands for itself: an unclosed
quotation mark spoils its own line only, and memory does not grow with the file.
"""

from __future__ import annotations

import codecs
import csv
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Final

import msgspec

from streamdialer.errors import CannotBeDone
from streamdialer.ledger import DncLedger
from streamdialer.rules.numbers import Number, read_number

COLUMNS: Final = (
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
"""Headings of the column with the numbers, without accents, the first of them that is there; else the first column."""
SEPARATORS: Final = (",", ";", "\t", "|")
BATCH: Final = 1000
_TEXT_SHOWN: Final = 200
_LONGEST_LINE: Final = 65_536
_LETTER: Final = re.compile(r"[^\W\d_]")
_DECIMALS: Final = re.compile(r"(?<=[0-9])\.0+\s*$")
"""What a spreadsheet adds to a number it took for an amount."""
_MARK: Final = "\ufeff"
_FEWEST_DIGITS: Final = 5
"""Of a number whose country is not known; shorter ones are somebody's row numbers."""


class BadLine(msgspec.Struct, frozen=True):
    """A line without a number that could be listed."""

    line: int
    """From 1."""
    problem: str
    text: str


class ImportResult(msgspec.Struct, kw_only=True):
    """What a file came to."""

    lines: int = 0
    numbers: int = 0
    """Lines with a number; one that stands there twice counts twice."""
    added: int = 0
    """How many the list has more than before."""
    without_country: int = 0
    """Numbers without a calling code and no country to go by: compared by their digits."""
    bad: int = 0


class _Layout(msgspec.Struct, frozen=True):
    """Where a line has its number."""

    separator: str = ""
    column: int = 0
    is_heading: bool = False
    """The line that shows it is itself none of the list."""


def lines_of(source: BinaryIO) -> Iterator[bytes]:
    """The lines of a file in UTF-8 or Latin-1; of one that is no line of numbers only the beginning.

    UTF-16 is read by its byte-order mark. Raises CannotBeDone for text in no such encoding.
    """
    line = source.readline(_LONGEST_LINE)
    is_utf16 = line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if line.startswith(codecs.BOM_UTF32_LE) or (b"\0" in line and not is_utf16):
        raise CannotBeDone(
            "the file is no text in UTF-8, Latin-1, or UTF-16 with a byte-order mark: save it as UTF-8"
        )
    if is_utf16:
        yield from _lines_of_utf16(line, source)
        return
    while line:
        yield line
        while line and not line.endswith(b"\n"):
            line = source.readline(_LONGEST_LINE)
        line = source.readline(_LONGEST_LINE)


def _lines_of_utf16(head: bytes, source: BinaryIO) -> Iterator[bytes]:
    """The same lines in UTF-8; `head` has been read of them."""
    decoder = codecs.getincrementaldecoder("utf-16")("replace")
    rest, chunk = "", head
    while chunk:
        *lines, rest = (rest + decoder.decode(chunk)).split("\n")
        for line in lines:
            yield line[:_LONGEST_LINE].encode()
        rest = rest[:_LONGEST_LINE]
        chunk = source.read(_LONGEST_LINE)
    if rest:
        yield rest.encode()


def read_entry(raw: str, country: str) -> Number:
    """A number for the list: what is not E.164 has no letters, and without a country as many digits as a number has."""
    number = read_number(raw, country)
    if number.problem or number.is_e164:
        return number
    if _LETTER.search(raw):
        return Number("", problem="not a phone number: there are letters in it")
    if not country and len(number.digits) < _FEWEST_DIGITS:
        return Number("", problem="not a phone number: too short")
    return number


def read_lines(lines: Iterable[bytes], country: str = "") -> Iterator[Number | BadLine | None]:
    """What each line is: a number, a bad line, or None for the heading and for empty lines."""
    layout: _Layout | None = None
    for at, raw in enumerate(lines, 1):
        text = _text_of(raw).strip(f" \r\n{_MARK}")
        if not text:
            yield None
            continue
        if layout is None:
            layout = _layout_of(text)
            if layout.is_heading:
                yield None
                continue
        cell = _cell_of(text, layout)
        cell = cell and _DECIMALS.sub("", cell)
        number = Number("", problem=f"has no column {layout.column + 1}") if cell is None else None
        number = number or read_entry(cell or "", country)
        yield BadLine(at, number.problem, text[:_TEXT_SHOWN]) if number.problem else number


async def import_numbers(
    suppression: DncLedger,
    lines: Iterable[bytes],
    *,
    country: str,
    note_bad: Callable[[BadLine], None],
    note_lines: Callable[[int], None],
) -> ImportResult:
    """Lists every number; done again it adds nothing. `note_lines` hears how many lines have been read."""
    result, before, batch = ImportResult(), await suppression.size(), list[Number]()
    for found in read_lines(lines, country):
        result.lines += 1
        if isinstance(found, Number):
            result.numbers += 1
            result.without_country += not found.is_e164
            batch.append(found)
        elif found is not None:
            result.bad += 1
            note_bad(found)
        if len(batch) == BATCH:
            await suppression.suppress(batch, "import")
            batch.clear()
            note_lines(result.lines)
    await suppression.suppress(batch, "import")
    note_lines(result.lines)
    result.added = max(0, await suppression.size() - before)
    return result


def _text_of(raw: bytes) -> str:
    """UTF-8, else Latin-1, in which every byte is a letter: numbers are the same in both."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _layout_of(text: str) -> _Layout:
    """The layout as the first line that is not empty shows it."""
    counts = {separator: text.count(separator) for separator in SEPARATORS}
    separator = max(counts, key=lambda each: counts[each])
    if not counts[separator]:
        return _Layout(is_heading=_heading(text) in COLUMNS)
    cells = [_heading(cell) for cell in _cells_of(text, separator)]
    for name in COLUMNS:
        if name in cells:
            return _Layout(separator, cells.index(name), is_heading=True)
    return _Layout(separator, is_heading=not any(map(str.isdigit, text)))


def _heading(cell: str) -> str:
    apart = unicodedata.normalize("NFKD", cell.strip(' "').lower().replace(" ", "_").replace("-", "_"))
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def _cell_of(text: str, layout: _Layout) -> str | None:
    if not layout.separator:
        return text.strip('"')
    cells = _cells_of(text, layout.separator)
    return cells[layout.column] if layout.column < len(cells) else None


def _cells_of(text: str, separator: str) -> list[str]:
    if text.count('"') % 2:  # one of them belongs to another line: cells are as they stand
        return [cell.strip(' "') for cell in text.split(separator)]
    if '"' not in text:
        return text.split(separator)
    try:
        return next(csv.reader([text], delimiter=separator))
    except csv.Error:  # a cell of more than 128 KiB
        return []
