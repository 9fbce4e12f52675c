"""Files of contacts as people have them: which column has the numbers, what the others mean, what a bad line costs."""

from __future__ import annotations

import io
from datetime import date
from typing import Any

import msgspec
import openpyxl
import pytest

from streamdialer.errors import CannotBeDone
from streamdialer.operations.list_file.columns import find_columns
from streamdialer.operations.list_file.contacts import FileContact, FileReader
from streamdialer.operations.list_file.sheet import open_sheet
from streamdialer.operations.list_file.text import BadLine


def read(
    content: str | bytes, country: str = "CO", **named: str
) -> tuple[list[FileContact], list[BadLine], Any]:
    source = io.BytesIO(content if isinstance(content, bytes) else content.encode())
    with open_sheet(source) as sheet:
        columns = find_columns(sheet, country, named)
        reader = FileReader(columns, country)
        found = [contact for _, contact in reader.contacts(sheet)]
    contacts = [each for each in found if isinstance(each, FileContact)]
    return contacts, [each for each in found if isinstance(each, BadLine)], reader


def numbers(content: str | bytes, country: str = "CO", **named: str) -> list[str]:
    return [contact.phone_number for contact in read(content, country, **named)[0]]


ROWS = "1032456789;3001234567;Ana\n79456123;3109876543;Luis\n"


@pytest.mark.parametrize(
    "heading",
    [
        *("phone_number", "Phone Number", "PhoneNumber", "Phone", "Teléfono", "Telefono", "Teléfono celular"),
        *(
            "Telefono 1",
            "tel",
            "Tel.",
            "Móvil",
            "Celular",
            "mobile",
            "Mobile Phone",
            "msisdn",
            "Phone 1 - Value",
        ),
        *(
            "Número",
            "Número telefónico",
            "numero_telefono",
            "contacto",
            "Company_Phone_Number",
            '"phone_number"',
        ),
        *("donde llamar", "x", "dato"),
    ],
)
@pytest.mark.parametrize("identity", ["cedula", "Cédula", "id", "lead_id", "telefono_id", "phone_id", "NIT"])
def test_the_column_of_the_numbers_is_the_one_whose_values_are_numbers(heading: str, identity: str) -> None:
    contacts, bad, _ = read(f"{identity};{heading};nombre\n{ROWS}")
    assert [contact.phone_number for contact in contacts] == ["3001234567", "3109876543"]
    assert not bad
    assert contacts[0].custom_data["nombre"] == "Ana"
    assert "1032456789" in contacts[0].custom_data.values()


def test_a_heading_of_numbers_over_other_values_is_not_believed() -> None:
    assert numbers("telefono;contacto 2\nfijo;3001234567\nfijo;3109876543\n") == ["3001234567", "3109876543"]


def test_without_a_country_ids_of_ten_digits_are_not_taken_for_numbers() -> None:
    text = "cedula;dato\n1032456789;+573001234567\n1079456123;+573109876543\n"
    assert numbers(text, "") == ["+573001234567", "+573109876543"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a;b\n3001234567;3001234568\n3109876543;3109876544\n", "columns 1 .a. and 2 .b. may have"),
        ("nombre;ciudad\nAna;Cali\n", "no column"),
        ("telefono;nombre\n12;Ana\n", "too short"),
        ("", "no row"),
    ],
)
def test_a_file_whose_numbers_are_not_certain_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(CannotBeDone, match=words):
        read(text)


def test_a_column_that_is_the_only_one_may_count_up_and_several_may_be_international() -> None:
    assert numbers("3001234567\n3001234568\n3001234569\n") == ["3001234567", "3001234568", "3001234569"]
    contacts, _, _ = read("+573001234567;+573109876543\n", "")
    assert [(each.phone_number, each.phone_2) for each in contacts] == [("+573001234567", "+573109876543")]


def test_a_person_names_a_column_by_heading_or_number() -> None:
    text = "a;b\n3001234567;3001234568\n3109876543;3109876544\n"
    assert numbers(text, phone="b") == ["3001234568", "3109876544"]
    assert numbers(text, phone="1") == ["3001234567", "3109876543"]
    with pytest.raises(CannotBeDone, match="no column c"):
        read(text, phone="c")


def test_several_columns_of_numbers_are_the_contacts_numbers_in_order() -> None:
    text = "celular,telefono fijo,nombre\n3001234567,6012345678,Ana\n,6012345679,Luis\nno,6012345670,Eva\n"
    contacts, bad, _ = read(text)
    assert [(each.phone_number, each.phone_2) for each in contacts] == [
        ("3001234567", "6012345678"),
        ("6012345679", ""),
        ("6012345670", ""),
    ]
    assert not bad


def test_fields_are_known_by_english_and_spanish_headings() -> None:
    text = (
        "telefono;prioridad;zona horaria;no llamar;consentimiento;asunto;ciudad\n"
        "3001234567;9;America/Bogota;no;2026-01-02;deuda 5;Cali\n"
        "3109876543;alta;Marte;sí;si;;\n"
    )
    (first, second), bad, reader = read(text)
    assert (first.priority, first.timezone, first.do_not_call) == (9, "America/Bogota", False)
    assert (first.consent, first.subject) == ("2026-01-02T00:00:00+00:00", "deuda 5")
    assert first.custom_data == {"ciudad": "Cali"}
    assert (second.priority, second.timezone, second.do_not_call, second.consent) == (5, "", True, True)
    assert second.custom_data == {}
    assert (bad, {name: n for name, n in reader.defaulted.items() if n}) == (
        [],
        {"priority": 1, "timezone": 1},
    )


def test_a_doubt_whether_to_call_makes_a_line_bad() -> None:
    contacts, bad, _ = read("telefono;no llamar\n3001234567;quizás\n3109876543;no\n")
    assert [each.phone_number for each in contacts] == ["3109876543"]
    assert [(each.line, each.problem) for each in bad] == [(2, "do_not_call is 'quizás', takes yes or no")]


def test_bad_lines_have_their_number_and_reason() -> None:
    _, bad, _ = read("telefono;nombre\n3001234567;Ana\n123;Luis\n;Eva\n3109876543;Leo\n3119876543;Zoe\n")
    assert [(each.line, each.problem) for each in bad] == [
        (3, "not a phone number: an emergency number or a short code"),
        (4, "no phone number"),
    ]
    assert bad[0].text == "123;Luis"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_encodings_and_separators_are_found(encoding: str, separator: str) -> None:
    rows = [
        ("cédula", "teléfono", "nombre"),
        ("1032456789", "3001234567", "Ana Peña"),
        ("79456123", "3109876543", "José"),
    ]
    content = "\r\n".join(separator.join(row) for row in rows).encode(encoding)
    with open_sheet(io.BytesIO(content)) as sheet:
        assert (sheet.kind, sheet.separator) == ("TSV" if separator == "\t" else "CSV", separator)
    assert sheet.encoding == {"latin-1": "Latin-1", "utf-16": "UTF-16"}.get(encoding, "UTF-8")
    assert [contact.custom_data["nombre"] for contact in read(content)[0]] == ["Ana Peña", "José"]


def test_a_workbook_is_read() -> None:
    book, file = openpyxl.Workbook(), io.BytesIO()
    sheet = book.active
    assert sheet is not None
    for row in [
        ("Cédula", "Celular", "Desde"),
        (1032456789, 3001234567, date(2026, 1, 2)),
        (79456123, 3109876543.0, None),
    ]:
        sheet.append(row)
    book.save(file)
    contacts, bad, _ = read(file.getvalue())
    assert [contact.phone_number for contact in contacts] == ["3001234567", "3109876543"]
    assert contacts[0].custom_data == {"cedula": "1032456789", "desde": "2026-01-02T00:00:00"}
    assert not bad


def test_a_broken_workbook_is_refused() -> None:
    with pytest.raises(CannotBeDone, match="cannot be unpacked"):
        read(b"PK\x03\x04 and nothing else")


def test_lines_of_json_keep_their_types_and_a_broken_one_costs_itself() -> None:
    rows = [{"phone": "3001234567", "debt": 5.5, "vip": True}, {"phone": 3109876543, "note": "x"}]
    content = b"\n".join([msgspec.json.encode(rows[0]), b"{broken", b"[1]", msgspec.json.encode(rows[1])])
    contacts, bad, _ = read(content)
    assert [contact.phone_number for contact in contacts] == ["3001234567", "3109876543"]
    assert [contact.custom_data for contact in contacts] == [{"debt": 5.5, "vip": True}, {"note": "x"}]
    assert [(each.line, each.problem) for each in bad] == [(2, "no JSON object"), (3, "no JSON object")]


def test_a_file_without_headings_has_numbered_columns() -> None:
    contacts, _, _ = read(ROWS)
    assert contacts[0].custom_data == {"column_1": "1032456789", "column_3": "Ana"}
    assert contacts[0].phone_number == "3001234567"


def test_one_broken_line_of_a_long_file_costs_itself() -> None:
    lines = [f"300{number:07d};Ana" for number in range(2000)]
    lines[1000] = '"' + "x" * 100_000
    contacts, bad, _ = read("telefono;nombre\n" + "\n".join(lines))
    assert (len(contacts), [each.line for each in bad]) == (1999, [1002])
