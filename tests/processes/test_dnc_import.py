"""Files of numbers as people have them: what is read from them, what is told of the rest, and from the command line."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from streamdialer.broker.connection import connect
from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Scripts
from streamdialer.errors import CannotBeDone
from streamdialer.ledger import DncLedger
from streamdialer.operations.dnc_import import BadLine, ImportResult, import_numbers, read_numbers
from streamdialer.operations.number_file import Layout, Row, read_rows
from streamdialer.rules.numbers import Number
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.processes.test_cli import Run, db, ok, read, refused, run, surroundings

__all__ = ["db", "run", "surroundings"]


def read_text(text: str | bytes, country: str = "") -> tuple[list[str], list[tuple[int, str]]]:
    """Numbers, and number and problem of each bad line."""
    raw = text.encode() if isinstance(text, str) else text
    found = list(read_numbers(read_rows(io.BytesIO(raw)), country))
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


def test_text_in_no_encoding_that_can_be_told_is_refused_in_one_line() -> None:
    for raw in ("+573001234567\n".encode("utf-16-le"), "+573001234567\n".encode("utf-32")):
        with pytest.raises(CannotBeDone, match="save it as UTF-8"):
            read_text(raw)


def test_a_line_of_utf16_without_end_costs_only_itself() -> None:
    text = ("+573001234567\n" + "5" * 300_000 + "\n+573001234568").encode("utf-16")
    assert read_text(text) == (["+573001234567", "+573001234568"], [(2, "not a phone number: too long")])


def test_what_is_too_short_for_a_number_is_a_bad_line() -> None:
    text = "37\n4711\n3001234567\n12345\n"
    assert read_text(text) == (
        ["3001234567", "12345"],
        [(1, "not a phone number: too short"), (2, "not a phone number: too short")],
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
    assert read_text(text, "CO") == (["+573001234567", "+573001234568"], [(4, "not a phone number")])


def test_bad_lines_are_told_and_spoil_nothing() -> None:
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


def test_a_first_line_that_is_no_heading_is_told() -> None:
    assert read_text("my list\n+573001234567\n") == (["+573001234567"], [(1, "no phone number")])


# --- the command line -----------------------------------------------------------------------------------------


def test_numbers_are_added_checked_listed_and_removed(run: Run) -> None:
    added = read(run("dnc", "add", "+57 300 1234567", "+573001234568", "--reason", "asked", "--json"))
    assert [(one["number"], one["listed"], one["why"]) for one in added] == [
        ("+573001234567", True, "by hand asked"),
        ("+573001234568", True, "by hand asked"),
    ]
    [checked] = read(run("dnc", "check", "3001234567", "--country", "CO", "--json"))
    assert checked == added[0]
    lines = ok(run("dnc", "list")).splitlines()
    assert sorted(line.split()[0] for line in lines) == ["+573001234567", "+573001234568"]
    listed = [json.loads(line) for line in ok(run("dnc", "list", "--json")).splitlines()]
    assert {one["number"] for one in listed} == {"+573001234567", "+573001234568"}
    assert read(run("dnc", "remove", "+573001234567", "--json")) == [
        {"number": "+573001234567", "listed": False, "since_s": None, "why": None}
    ]
    table = ok(run("dnc", "check", "+573001234567", "+573001234568"))
    assert [line.split()[:2] for line in table.splitlines()[1:]] == [
        ["+573001234567", "no"],
        ["+573001234568", "yes"],
    ]


@pytest.mark.parametrize("command", ["add", "remove", "check"])
def test_what_is_no_number_is_refused_whole(run: Run, db: Any, command: str) -> None:
    refused(run("dnc", command, "+573001234567", "nobody"), 2, "nobody", "no phone number")
    refused(run("dnc", command, "12", "--country", "Colombia"), 2, "STREAMDIALER_COUNTRY", "ISO 3166")
    assert db.hlen("sd:dnc") == 0


def test_a_file_is_imported_and_again_adds_nothing(run: Run, db: Any) -> None:
    Path("list.csv").write_text("name;phone\nAna;300 123 4567\nLuis;+573001234568\nAna;3001234567\n", "utf-8")
    first = read(run("dnc", "import", "list.csv", "--country", "CO", "--json"))
    assert first == {
        "lines": 4,
        "numbers": 3,
        "added": 2,
        "without_country": 0,
        "bad": 0,
        "first_bad": [],
    }
    assert "0 new on the list" in ok(run("dnc", "import", "list.csv", "--country", "CO"))
    assert db.hkeys("sd:dnc") == ["573001234567", "573001234568"]


def test_bad_lines_are_reported_and_written(run: Run, db: Any) -> None:
    lines = ["+573001234567", *(f"nobody {at}x" for at in range(15)), "3001234568"]
    result = run("dnc", "import", "-", "--bad", "bad.csv", stdin="\n".join(lines).encode())
    assert result.exit_code == 1
    assert "17 lines, 2 numbers, 2 new on the list" in result.stdout
    assert "1 have no + and no --country" in result.stdout
    assert result.stdout.count("line ") == 10
    assert "line 2: not a phone number: there are letters in it: nobody 0x" in result.stdout
    assert "15 lines have no number: bad.csv" in result.stderr
    with Path("bad.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["line", "problem", "text"]
    assert [row[0] for row in rows[1:]] == [str(at) for at in range(2, 17)]
    assert db.hlen("sd:dnc") == 2, "what can be read is listed"


def test_a_number_too_short_is_not_added_by_hand(run: Run, db: Any) -> None:
    refused(run("dnc", "add", "37"), 2, "37", "too short")
    assert db.hlen("sd:dnc") == 0


def test_a_file_that_cannot_be_opened_is_refused(run: Run) -> None:
    refused(run("dnc", "import", "missing.csv"), 2, "missing.csv", "No such file")
    Path("list.txt").write_text("+573001234567\n")
    refused(run("dnc", "import", "list.txt", "--bad", "no/where.csv"), 2, "no/where.csv")


def test_a_long_list_is_listed_while_it_is_read(server: EmbeddedServer, db: Any) -> None:
    """No more than a batch of it is ever held."""
    waiting = []

    def rows() -> Iterator[Row]:
        for at in range(20_000):
            if at % 1000 == 500:
                waiting.append(at - db.hlen("sd:dnc"))
            yield Row(at + 1, "", [f"+57300{at:07}"], Layout())

    async def list_all() -> ImportResult:
        client = connect(server.url)
        async with Scripts(client) as scripts:
            result = await import_numbers(
                DncLedger(scripts, Keys()),
                rows(),
                country="",
                on_bad_line=lambda line: pytest.fail(line.problem),
                on_progress=seen.append,
            )
        await client.aclose()
        return result

    seen: list[int] = []
    result = anyio.run(list_all)
    assert (result.lines, result.numbers, result.added) == (20_000, 20_000, 20_000)
    assert set(waiting) == {500}
    assert seen == [*range(1000, 20_001, 1000), 20_000]
