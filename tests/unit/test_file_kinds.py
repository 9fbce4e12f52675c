"""The kinds of file that people send, through both importers: contacts, and numbers that must not be called."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Sequence
from typing import Final

import openpyxl
import pytest

from streamdialer.errors import CannotBeDone
from streamdialer.operations.dnc_import import FileNumbers, read_numbers
from streamdialer.operations.list_file.columns import find_columns
from streamdialer.operations.list_file.contacts import FileContact, FileReader
from streamdialer.operations.list_file.sheet import EmptyFile, open_sheet


def workbook(*sheets: Sequence[tuple[object, ...]]) -> bytes:
    book, file = openpyxl.Workbook(), io.BytesIO()
    del book[book.active.title]
    for rows in sheets:
        sheet = book.create_sheet()
        for row in rows:
            sheet.append(row)
    book.save(file)
    return file.getvalue()


def zipped(name: str, content: str | bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


CSV: Final = "nombre;celular\nAna;3001234567\nLuis;3109876543\n"
ROWS: Final = [("cedula", "celular"), (1032456789, 3001234567), (79456123, 3109876543.0)]
XML: Final = "<l><p><id>1</id><tel>3001234567</tel></p><p><id>2</id><tel>3109876543</tel></p></l>"
JSON: Final = '{"id": 1, "phone": 3001234567}\n{"id": 2, "phone": "310 987 6543"}\n'
FILES: Final[dict[str, str | bytes]] = {
    "a number per line": "3001234567\n3109876543\n",
    "CSV with commas": CSV.replace(";", ","),
    "CSV with semicolons": CSV,
    "CSV with bars": CSV.replace(";", "|"),
    "CSV with quotation marks": '"nombre","celular"\n"Ana, la mayor","300 123 4567"\n"Luis","(310) 987-6543"\n',
    "CSV with sep=": "sep=;\n" + CSV,
    "TSV": CSV.replace(";", "\t"),
    "CSV without headings": "Ana;3001234567\nLuis;3109876543\n",
    "line ends of DOS": CSV.replace("\n", "\r\n"),
    "line ends of the old Mac": CSV.replace("\n", "\r"),
    "UTF-8 with its mark": "\ufeff" + CSV,
    "Latin-1": "compañía;teléfono\nPeña;3001234567\nMuñoz;3109876543\n".encode("latin-1"),
    "UTF-16": CSV.encode("utf-16"),
    "numbers as amounts": "celular,deuda\n3001234567.0,1.5\n3109876543.00,2.5\n",
    "ids of ten digits beside them": "cedula;numero celular\n1032456789;3001234567\n1032456780;3109876543\n",
    "row numbers beside them": "1000001,3001234567\n1000002,3109876543\n",
    "dates before them": "2026-11-26,3001234567\n2026-11-27,3109876543\n",
    "XLSX": workbook(ROWS),
    "XLSX with a title page": workbook([], ROWS),
    "XML": XML,
    "NDJSON": JSON,
    "zip": zipped("list.csv", CSV),
    "zip with an XLSX": zipped("list.xlsx", workbook(ROWS)),
    "gzip": gzip.compress(CSV.encode()),
}


def both(content: str | bytes, country: str) -> tuple[list[str], list[str]]:
    """The numbers of contacts, and those that are listed."""
    raw = content.encode() if isinstance(content, str) else content
    with open_sheet(io.BytesIO(raw)) as sheet:
        columns = find_columns(sheet, country)
        found = [contact for _, contact in FileReader(columns, country).contacts(sheet)]
    with open_sheet(io.BytesIO(raw)) as sheet:
        listed = [
            str(number)
            for line in read_numbers(sheet, country)
            if isinstance(line, FileNumbers)
            for number in line.numbers
        ]
    contacts = [each for each in found if isinstance(each, FileContact)]
    return [each.number or each.phone_number for each in contacts], listed


@pytest.mark.parametrize("kind", FILES)
def test_every_kind_of_file_has_the_same_numbers_in_both_importers(kind: str) -> None:
    numbers = ["+573001234567", "+573109876543"]
    assert both(FILES[kind], "CO") == (numbers, numbers)


@pytest.mark.parametrize(
    ("content", "country", "number"),
    [
        ("201,5551234\n", "US", "+12015551234"),
        ("Area Code,Phone\n201,5551234\n", "US", "+12015551234"),
        ("indicativo;telefono\n601;2345678\n", "CO", "+576012345678"),
        ("indicativo;telefono\n57;3001234567\n", "CO", "+573001234567"),
        ("indicativo;telefono\n57;+573001234567\n", "", "+573001234567"),
        ('<l><ac val="201"><ph val="5551234"/></ac></l>', "US", "+12015551234"),
    ],
)
def test_area_codes_of_their_own_column_are_joined(content: str, country: str, number: str) -> None:
    assert both(content, country) == ([number], [number])


@pytest.mark.parametrize("content", ["201,5551234\n", "Area Code,Phone\n201,5551234\n"])
def test_area_codes_need_a_country(content: str) -> None:
    for importer in (find_columns, lambda sheet, country: list(read_numbers(sheet, country))):
        with open_sheet(io.BytesIO(content.encode())) as sheet, pytest.raises(CannotBeDone, match="country"):
            importer(sheet, "")


def test_a_workbook_with_several_sheets_is_refused_and_one_without_rows_is_empty() -> None:
    with pytest.raises(CannotBeDone, match="2 sheets with values, takes one: Sheet, Sheet1"):
        both(workbook(ROWS, ROWS), "CO")
    with pytest.raises(EmptyFile):
        both(workbook([], []), "CO")
