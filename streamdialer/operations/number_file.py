"""Files of phone numbers as people have them, read line by line: encodings, separators, headings.

One number per line, or CSV of any usual separator. Each line stands for itself: an unclosed quotation mark spoils its
own line only, and memory does not grow with the file.
"""

from __future__ import annotations

import codecs
import csv
import re
import unicodedata
from collections.abc import Iterator
from typing import BinaryIO, Final

import msgspec

from streamdialer.errors import CannotBeDone

SEPARATORS: Final = (",", ";", "\t", "|")
_PHONE_WORDS: Final = frozenset(
    (
        *(
            "phone",
            "phones",
            "phonenumber",
            "telephone",
            "telephones",
            "telephonenumber",
            "tel",
            "telf",
            "tlf",
            "tfno",
        ),
        *(
            "fono",
            "telefono",
            "telefonos",
            "telefonico",
            "telefone",
            "telefon",
            "telefonnummer",
            "cel",
            "cell",
        ),
        *(
            "cellphone",
            "celular",
            "celulares",
            "mobile",
            "mobiles",
            "mobil",
            "movil",
            "moviles",
            "handy",
            "landline",
        ),
        *("msisdn", "whatsapp"),
    )
)
"""A heading with one of these words, in any case and without accents, is of a column with phone numbers."""
_OTHER_WORDS: Final = frozenset(
    (
        *(
            "type",
            "tipo",
            "label",
            "code",
            "codigo",
            "country",
            "pais",
            "carrier",
            "ext",
            "extension",
            "status",
        ),
        *("date", "fecha"),
    )
)
"""With one of these words it is not."""
WEAK_HEADINGS: Final = frozenset(["number", "numbers", "numero", "numeros", "num", "contact", "contacto"])
"""Headings of the numbers in a file that has no better one."""
MAX_LINE: Final = 65_536
_MARK: Final = "\ufeff"
_WORD: Final = re.compile(r"[A-Z]?[^\W\dA-Z_]+|[A-Z]+(?![a-z])|\d+")
"""PhoneNumber and phone_number are two words each."""


class Layout(msgspec.Struct, frozen=True):
    """What the first line that is not empty says of the others."""

    separator: str = ""
    headings: list[str] = []
    """Words in lower case, without accents, joined by blanks; none when that line has values."""

    @property
    def number_columns(self) -> list[int]:
        """The columns whose headings say that they have phone numbers."""
        named = [at for at, heading in enumerate(self.headings) if is_of_phones(heading)]
        return named or [at for at, heading in enumerate(self.headings) if heading in WEAK_HEADINGS][:1]


class Row(msgspec.Struct, frozen=True):
    """A line with values."""

    line: int
    """From 1."""
    text: str
    cells: list[str]
    layout: Layout


class BadLine(msgspec.Struct, frozen=True):
    """A line without a number that can be used."""

    line: int
    """From 1."""
    problem: str
    text: str
    """Its beginning."""


TEXT_SHOWN: Final = 200
"""Characters of a bad line."""


def read_rows(source: BinaryIO) -> Iterator[Row | None]:
    """A row for each line of a file in UTF-8 or Latin-1, or UTF-16 with a byte-order mark; None for one without values.

    Raises CannotBeDone for text in no such encoding.
    """
    layout: Layout | None = None
    for at, line in enumerate(_read_lines(source), 1):
        text = line.strip(f" \r\n{_MARK}")
        if text and layout is None:
            layout, is_heading = layout_of(text)
            text = "" if is_heading else text
        yield Row(at, text, cells_of(text, layout.separator), layout) if text and layout else None


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


def layout_of(text: str) -> tuple[Layout, bool]:
    """The layout, and whether the line is a heading: it has a known heading, or several cells and no digit."""
    counts = {separator: text.count(separator) for separator in SEPARATORS}
    separator = max(counts, key=lambda each: counts[each])
    separator = separator if counts[separator] else ""
    layout = Layout(separator, [normal_heading(cell) for cell in cells_of(text, separator)])
    is_named = bool(layout.number_columns) and not re.search(r"\d{5}", text)
    is_heading = is_named or (bool(separator) and not any(map(str.isdigit, text)))
    return layout if is_heading else Layout(separator), is_heading


def normal_heading(cell: str) -> str:
    apart = unicodedata.normalize("NFKD", cell)
    plain = "".join(letter for letter in apart if not unicodedata.combining(letter))
    return " ".join(_WORD.findall(plain)).lower()


def is_of_phones(heading: str) -> bool:
    words = frozenset(heading.split())
    return bool(words & _PHONE_WORDS) and not words & _OTHER_WORDS


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
