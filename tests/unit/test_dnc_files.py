"""Files of numbers as people have them: which numbers are read, and what is wrong with the other lines."""

from __future__ import annotations

import codecs
import gzip
import io
import zipfile
from itertools import count

import openpyxl
import pytest

from streamdialer.errors import CannotBeDone
from streamdialer.operations.dnc_import import FileNumbers, read_numbers
from streamdialer.operations.list_file.sheet import open_sheet
from streamdialer.operations.list_file.text import BadLine

LETTERS = "not a phone number: there are letters in it"
NOT_ASSIGNED = "not a phone number: its country has no such numbers"
NOT_ONE = "not a phone number: with and without its area code it is another one"
NULL_AND_ARRAY = [(2, "no phone number"), (3, "no JSON object")]


def read_text(text: str | bytes, country: str = "", *named: str) -> tuple[list[str], list[tuple[int, str]]]:
    """The numbers, `-` before one that is taken off, and line number and problem of each refused line."""
    raw = text.encode() if isinstance(text, str) else text
    with open_sheet(io.BytesIO(raw)) as sheet:
        found = list(read_numbers(sheet, country, named))
    lines = [one for one in found if isinstance(one, FileNumbers)]
    numbers = [
        f"{'-' * (one.change is not None and one.change.is_removed)}{number}"
        for one in lines
        for number in one.numbers
    ]
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
    text = "Ana;Teléfono fijo;Celular\n1;601 234 5678;3001234567\n2;;3109876543\n3;;\n4;?;3001234568\n5;12;3001234569\n"
    numbers, bad = read_text(text, "CO")
    assert numbers == ["+576012345678", "+573001234567", "+573109876543", "+573001234568"]
    assert bad == [
        (4, "no phone number"),
        (6, "not a phone number: too short"),
    ], "nothing is listed of a line with a doubt"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("cedula;documento;nombre\n1032456789;3001234567;Ana\n", "cedula, documento, nombre"),
        ("1032456789;3001234567;Ana\n", "columns 1 and 2"),
    ],
)
def test_a_file_is_refused_when_ids_could_be_taken_for_numbers(text: str, word: str) -> None:
    with pytest.raises(CannotBeDone, match=word) as refused:
        read_text(text)
    assert "--column" in str(refused.value), "what to do"


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


def xlsx(*rows: tuple[object, ...], second: tuple[object, ...] = ()) -> bytes:
    book, file = openpyxl.Workbook(), io.BytesIO()
    for sheet, content in ((book.active, rows), (book.create_sheet(), [second] if second else [])):
        assert sheet is not None
        for row in content:
            sheet.append(row)
    book.save(file)
    return file.getvalue()


def zipped(**files: str | bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


ANA, LUIS, NY, NY2 = "+573001234567", "+573109876543", "+12015551234", "+12015551235"
LIST = "telefono;nombre\n3001234567;Ana\n3109876543;Luis\n"
REGISTRY_XML = '<list type="full"><ac val="201"><ph val="5551234"/><ph val="5551235"/></ac></list>'
CONTACTS_XML = (
    '<?xml version="1.0"?>\n<rows>\n<row><cedula>1032456789</cedula><celular>3001234567</celular></row>\n'
    "<row><cedula>79456123</cedula><celular>12</celular></row>\n</rows>"
)
SHORT = "not a phone number: too short"


@pytest.mark.parametrize(
    ("content", "country", "numbers", "refused"),
    [
        # a column beside the numbers
        ("2026-11-26,3001234567\n2026-11-27,3109876543\n", "CO", [ANA, LUIS], []),
        ("2026-11-26,3001234567\n", "", ["3001234567"], []),
        ("20261126,3001234567\n", "", ["3001234567"], []),
        ("cedula;numero celular;fecha\n1032456789;3001234567;2026-11-26\n", "CO", [ANA], []),
        ("cedula;numero celular;fecha\n1032456789;3001234567;2026-11-26\n", "", ["3001234567"], []),
        ("1000001,3001234567\n1000002,3109876543\n", "CO", [ANA, LUIS], []),
        ("1000001,3001234567\n1000002,1032456789\n", "CO", [ANA], [(2, NOT_ASSIGNED)]),
        # several columns of numbers
        ("celular;telefono fijo\n3001234567;6012345678\n", "CO", [ANA, "+576012345678"], []),
        ("tel 1,tel 2,tel 3,tel 4\n3001234567,,,3109876543\n", "CO", [ANA, LUIS], []),
        ("+573001234567,+573109876543\n", "", [ANA, LUIS], []),
        ("celular;telefono fijo\n3001234567;12\n3109876543;\n", "CO", [LUIS], [(2, SHORT)]),
        # area codes of their own
        ("201,5551234\n201,5551235\n", "US", [NY, NY2], []),
        ("201,5551234\r\n201,55512\r\n201,5551235\r\n", "US", [NY, NY2], [(2, SHORT)]),
        ("Area Code,Phone\n201,5551234\n201,12015551235\n", "US", [NY, NY2], []),
        ("Area Code,Phone\n30,15112345678\n30,+493012345678\n", "DE", ["+493012345678"], [(2, NOT_ONE)]),
        ("indicativo;telefono\n601;2345678\n", "CO", ["+576012345678"], []),
        # headings
        ("Phone No.\n3001234567\n", "CO", [ANA], []),
        ("ID,Phone No.\n1,3001234567\n", "CO", [ANA], []),
        ("Name,Mobile\nAna,3001234567\n", "CO", [ANA], []),
        ("tel\n3001234567\n", "CO", [ANA], []),
        ("cedula;linea\n1032456789;3001234567\n", "CO", [ANA], []),
        ("sep=;\ncedula;linea\n1032456789;3001234567\n", "CO", [ANA], []),
        ('"sep=|"\n3001234567|a,b,c\n3109876543|d,e,f\n', "CO", [ANA, LUIS], []),
        # line ends
        ("telefono;nombre\r3001234567;Ana\r12;Luis\r", "CO", [ANA], [(3, SHORT)]),
        ("3001234567\r\r\n3109876543\r\n".encode("utf-16"), "CO", [ANA, LUIS], []),
        # numbers
        ("+5215512345678\n005215512345678\n5215512345678\n", "MX", ["+525512345678"] * 3, []),
        ("+5215512345678\n", "", ["+525512345678"], []),
        ("300 123 4567 (Ana)\nCC 1032456789\n", "CO", [ANA], [(2, NOT_ASSIGNED)]),
        # packed, and other programs
        (gzip.compress(LIST.encode()), "CO", [ANA, LUIS], []),
        (zipped(**{"list.csv": LIST}), "CO", [ANA, LUIS], []),
        (zipped(**{"a/.DS_Store": "x", "__MACOSX/list.csv": "x", "a/list.csv": LIST}), "CO", [ANA, LUIS], []),
        (zipped(**{"list.csv.gz": gzip.compress(LIST.encode())}), "CO", [ANA, LUIS], []),
        (xlsx(("Cédula", "Celular"), (1032456789, 3001234567), (79456123, 12)), "CO", [ANA], [(3, SHORT)]),
        (zipped(**{"list.xlsx": xlsx(("Celular",), (3001234567.0,))}), "CO", [ANA], []),
        (REGISTRY_XML, "US", [NY, NY2], []),
        (CONTACTS_XML, "CO", [ANA], [(4, SHORT)]),
        ('\ufeff<numbers xmlns="urn:x"><phone>3001234567</phone></numbers>', "CO", [ANA], []),
        ('{"id": 1032456789, "phone": 3001234567}\n{"phone": null}\n[]\n', "CO", [ANA], NULL_AND_ARRAY),
        # change files
        ("3001234567,2026-11-26,A\n3109876543,2026-11-26,D\n", "CO", [ANA, f"-{LUIS}"], []),
        ("201,5551234,2026-11-26,A\n201,5551235,20261126,d\n", "US", [NY, f"-{NY2}"], []),
        ("phone,date,action\n3001234567,2026-11-26T10:00:00,D\n", "CO", [f"-{ANA}"], []),
    ],
    ids=count(),  # archives hold the time of their making
)
def test_numbers_are_listed_where_they_are_certain(
    content: str | bytes, country: str, numbers: list[str], refused: list[tuple[int, str]]
) -> None:
    assert read_text(content, country) == (numbers, refused)


@pytest.mark.parametrize(
    ("content", "country", "words"),
    [
        ("1000001,3001234567\n1000002,3109876543\n", "", ["columns 1 and 2", "'1000001,3001234567'"]),
        ("3001234567,6012345678\n", "CO", ["columns 1 and 2"]),
        ("celular;contacto 2\n3001234567;3109876543\n", "CO", ["column 2 (contacto 2)", "celular"]),
        ("telefono id;celular\n3001234568;3001234567\n", "CO", ["column 1 (telefono id)"]),
        ("nombre;dato\nAna;3001234567\n", "CO", ["no heading", "nombre, dato", "'Ana;3001234567'"]),
        ("Ana;Cali\n1;2\n", "CO", ["no heading"]),
        ("201,5551234\n", "", ["--country US"]),
        ("201,5551234\n", "CO", ["--country US"]),
        ("3001234567,A\n3109876543,D\n", "CO", ["column 2 has A or D", "change file"]),
        ("3001234567,Ana,2026-11-26,D\n", "CO", ["change file"]),
        (
            xlsx(("tel",), (3001234567,), second=("tel", 3109876543)),
            "CO",
            ["2 sheets with values", "Sheet, Sheet1"],
        ),
        (zipped(**{"a.csv": LIST, "b.csv": LIST}), "CO", ["2 files", "a.csv, b.csv"]),
        (zipped(**{"list.csv": LIST})[:-30], "CO", ["cannot be unpacked"]),
        (gzip.compress(LIST.encode())[:-9], "CO", ["cannot be unpacked"]),
        (gzip.compress(gzip.compress(gzip.compress(LIST.encode()))), "CO", ["packed more than"]),
        (b"%PDF-1.7\n3001234567\n", "CO", ["a PDF"]),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "CO", ["XLS"]),
        (
            "<Workbook><Row><Cell><Data>3001234567</Data></Cell></Row></Workbook>",
            "CO",
            ["no heading", "data"],
        ),
        ("\n\n", "CO", ["no row"]),
    ],
    ids=count(),  # archives hold the time of their making
)
def test_a_file_that_is_not_certain_is_refused_whole_with_what_was_seen(
    content: str | bytes, country: str, words: list[str]
) -> None:
    with pytest.raises(CannotBeDone) as refused:
        read_text(content, country)
    assert [word for word in words if word not in str(refused.value)] == [], str(refused.value)


def test_a_person_names_the_columns() -> None:
    assert read_text("1000001,3001234567\n", "", "2") == (["3001234567"], [])
    text = "celular;contacto 2\n3001234567;3109876543\n"
    assert read_text(text, "CO", "Contacto 2") == ([LUIS], [])
    assert read_text(text, "CO", "celular", "2") == ([ANA, LUIS], [])
    with pytest.raises(CannotBeDone, match="no column correo: it has celular, contacto 2"):
        read_text(text, "CO", "correo")
    assert read_text("3001234567,D\n", "CO", "1") == ([ANA], []), "no change file: it has no date"


def test_a_line_that_is_unlike_the_first_ones_is_refused() -> None:
    many = [f"30{at:08d},2026-11-26,A" for at in range(600)]
    lines = [
        *many,
        "3001234567,2026-11-26,X",
        "3001234567,26/11/2026,D",
        "3001234567,2026-11-26,A,3109876543",
    ]
    numbers, bad = read_text("\n".join(lines), "CO")
    assert len(numbers) == 600
    assert bad == [
        (601, "neither A (add) nor D (take off) but 'X'"),
        (602, "its date is not as 2026-11-26: '26/11/2026'"),
        (603, "has 4 columns, the lines before have 3"),
    ]


@pytest.mark.parametrize("end", ["<row><tel>3109876543</t", '<!DOCTYPE a [<!ENTITY b "3109876543">]>'])
def test_broken_xml_is_refused_from_its_line_on(end: str) -> None:
    numbers, [(line, problem)] = read_text(f"<a>\n<row><tel>3001234567</tel></row>\n{end}", "CO")
    assert (numbers, line) == ([ANA], 3)
    assert problem.startswith("the XML is broken from here")


def test_lines_end_the_same_wherever_the_file_is_cut() -> None:
    for size in (65_533, 65_534, 65_535, 65_536):
        text = "x" * size + "\r\n+573001234567\r\n"
        assert read_text(text) == ([ANA], [(1, "no phone number")])
