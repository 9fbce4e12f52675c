"""Files of numbers as people have them: which numbers are read, and what is wrong with the other lines."""

from __future__ import annotations

import codecs
import io

import pytest

from streamdialer.errors import CannotBeDone
from streamdialer.operations.dnc_import import read_numbers
from streamdialer.operations.number_file import BadLine, read_rows
from streamdialer.rules.numbers import Number

LETTERS = "not a phone number: there are letters in it"


def read_text(text: str | bytes, country: str = "") -> tuple[list[str], list[tuple[int, str]]]:
    """The numbers, and line number and problem of each bad line."""
    raw = text.encode() if isinstance(text, str) else text
    found = [one for line in read_numbers(read_rows(io.BytesIO(raw)), country) for one in line]
    numbers = [str(one) for one in found if isinstance(one, Number)]
    return numbers, [(one.line, one.problem) for one in found if isinstance(one, BadLine)]


@pytest.mark.parametrize(
    "text",
    [
        "+573001234567\n+573001234568\n",
        "+573001234567\r\n+573001234568\r\n",
        "\ufeff+573001234567\n\n   \n+573001234568",
        '\ufeff"+573001234567"\n"+573001234568"\n',
        "phone\n+57 300 1234567\n+57 300 1234568\n",
        "Name,Phone Number\nAna,+573001234567\nLuis,+573001234568\n",
        "id;number;phone\n1;9;+573001234567\n2;9;+573001234568\n",
        "name\tPHONE-NUMBER\nAna\t+573001234567\nLuis\t+573001234568\n",
        'who,"phone_number"\n"Gómez, Ana",+573001234567\n"O""Neill|x",+573001234568\n',
        "Teléfono,Nombre\n+573001234567,Ana\n+573001234568,Luis\n",
        "+573001234567,Ana\n+573001234568,Luis,too,many\n",
        "Tel\xe9fono;Nombre\n+573001234567;Jos\xe9\n+573001234568;Mu\xf1oz\n".encode("latin-1"),
        "Cédula;Celular\n1;+573001234567\n2;+573001234568\n",
        "Cédula;NÚMERO\n1;+573001234567\n2;+573001234568\n",
        "Cédula;Tele\u0301fono\n1;+573001234567\n2;+573001234568\n",
        "Cédula;Número de teléfono\n1;+573001234567\n2;+573001234568\n",
        "Cédula;Teléfono\r\n1;+573001234567\r\n2;+573001234568\r\n".encode("utf-16"),
        codecs.BOM_UTF16_BE + "phone;who\n+573001234567;ऊ\n+573001234568;".encode("utf-16-be"),
    ],
)
def test_every_usual_file_is_read(text: str | bytes) -> None:
    assert read_text(text) == (["+573001234567", "+573001234568"], [])


HEADINGS = [
    *(
        "phone_number",
        "Phone Number",
        "PhoneNumber",
        "PHONE",
        "Teléfono celular",
        "Telefono 1",
        "tel",
        "Tel.",
        "Móvil",
    ),
    *(
        "Mobile Phone",
        "msisdn",
        "MSISDN",
        "Phone 1 - Value",
        "Número",
        "Número telefónico",
        "numero_telefono",
        "contacto",
    ),
    *("Company_Phone_Number", '"phone_number"', "número de teléfono", "TELEFONO_CONTACTO", "cellPhone"),
]


@pytest.mark.parametrize("heading", HEADINGS)
def test_the_column_of_the_numbers_is_found_by_its_heading(heading: str) -> None:
    text = f"cedula;{heading};Phone 1 - Type;nombre\n1032456789;3001234567;Mobile;Ana\n79456123;3109876543;;Luis\n"
    assert read_text(text, "CO") == (["+573001234567", "+573109876543"], [])


def test_all_columns_with_numbers_are_listed() -> None:
    text = "Ana;Teléfono fijo;Celular\n1;601 234 5678;3001234567\n2;;3109876543\n3;;\n4;?;3001234568\n"
    numbers, bad = read_text(text, "CO")
    assert numbers == ["+576012345678", "+573001234567", "+573109876543", "+573001234568"]
    assert bad == [(4, "no phone number"), (5, "no phone number")]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("cedula;documento;nombre\n1032456789;3001234567;Ana\n", "cedula, documento, nombre"),
        ("1032456789;3001234567;Ana\n", "columns 1, 2"),
    ],
)
def test_a_file_is_refused_when_ids_could_be_taken_for_numbers(text: str, word: str) -> None:
    with pytest.raises(CannotBeDone, match=word) as refused:
        read_text(text)
    assert "phone_number" in str(refused.value), "what to do"


def test_without_headings_the_one_column_with_numbers_counts() -> None:
    assert read_text("Ana;7;+573001234567\nLuis;8;+573001234568\n") == (
        ["+573001234567", "+573001234568"],
        [],
    )


def test_text_in_an_unknown_encoding_is_refused_in_one_line() -> None:
    for raw in ("+573001234567\n".encode("utf-16-le"), "+573001234567\n".encode("utf-32")):
        with pytest.raises(CannotBeDone, match="save it as UTF-8"):
            read_text(raw)


def test_a_line_of_utf16_without_end_costs_only_itself() -> None:
    text = ("+573001234567\n" + "5" * 300_000 + "\n+573001234568").encode("utf-16")
    assert read_text(text) == (["+573001234567", "+573001234568"], [(2, "not a phone number: too long")])


def test_what_is_too_short_for_a_number_is_a_bad_line() -> None:
    text = "37\n4711\n3001234567\n123456\n"
    assert read_text(text) == (
        ["3001234567"],
        [(line, "not a phone number: too short") for line in (1, 2, 4)],
    )


def test_prefixes_of_international_and_of_colombian_calls_are_taken_off() -> None:
    lines = ["0057 300 1234567", "00 57 3001234567", "009573001234567", "057 3001234567", "05 3001234567"]
    numbers, bad = read_text("\n".join(lines), "CO")
    assert (numbers, bad) == (["+573001234567"] * 5, [])
    assert read_text("0051 987654321\n0034 600123123\n005 1 2125551234\n", "CO") == (
        ["+51987654321", "+34600123123", "+12125551234"],
        [],
    )
    assert read_text("0057 300 1234567\n") == (["+573001234567"], []), "without a country as well"


def test_local_numbers_are_of_the_country() -> None:
    text = "300 1234567\n+1 212 555 0123\n"
    assert read_text(text, "CO") == (["+573001234567", "+12125550123"], [])
    assert read_text(text) == (["3001234567", "+12125550123"], [])


def test_a_number_that_a_spreadsheet_took_for_an_amount_is_itself() -> None:
    text = "name,phone\nAna,3001234567.0\nLuis,+573001234568.00\nEva,3.00123E+9\n"
    assert read_text(text, "CO") == (["+573001234567", "+573001234568"], [(4, LETTERS)])


def test_bad_lines_are_named_and_spoil_nothing() -> None:
    text = (
        "name,phone\n"
        "Ana,+573001234567\n"
        "Luis\n"
        "Eva,\n"
        'Bob,"+573001234568\n'
        "Zoe,+999123456789\n"
        '"Kim,+573001234560\n'
        'Note,"first\n'
        'called 3 times",x\n'
        "Tom,nobody 12\n"
        "\0,+573001234569\n"
    )
    numbers, bad = read_text(text)
    assert numbers == ["+573001234567", "+573001234568", "+573001234560", "+573001234569"]
    assert bad == [
        (3, "has no column 2"),
        (4, "no phone number"),
        (6, "not a phone number: no country has this calling code"),
        (8, "no phone number"),
        (9, "no phone number"),
        (10, "not a phone number: there are letters in it"),
    ]


def test_a_line_without_end_costs_no_memory_and_only_itself() -> None:
    text = b"+573001234567\n" + b"5" * 1_000_000 + b"\n+573001234568"
    assert read_text(text) == (["+573001234567", "+573001234568"], [(2, "not a phone number: too long")])


def test_a_first_line_that_is_no_heading_is_a_bad_line() -> None:
    assert read_text("my list\n+573001234567\n") == (["+573001234567"], [(1, "no phone number")])
