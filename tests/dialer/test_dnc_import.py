"""Files of numbers as people have them: the numbers that are read, what is said of other lines, the command line."""

from __future__ import annotations

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
from streamdialer.ledger.suppression import DncLedger
from streamdialer.operations.dnc_import import ImportResult, import_numbers
from streamdialer.operations.list_file.sheet import Sheet
from streamdialer.operations.list_file.text import Line
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.cli import Run, ok, read, refused

# --- the command line -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["add", "remove", "check"])
def test_what_is_no_number_is_refused_whole(run: Run, db: Any, command: str) -> None:
    refused(run("dnc", command, "+573001234567", "nobody"), 2, "nobody", "no phone number")
    refused(run("dnc", command, "12", "--country", "Colombia"), 2, "STREAMDIALER_COUNTRY", "ISO 3166")
    assert db.hlen("sd:dnc") == 0


def test_a_file_is_imported_and_again_adds_nothing(run: Run, db: Any) -> None:
    Path("list.csv").write_text("name;phone\nAna;300 123 4567\nLuis;+573001234568\nAna;3001234567\n", "utf-8")
    first = read(run("dnc", "import", "list.csv", "--country", "CO", "--json"))
    counts = {"lines": 4, "numbers": 3, "added": 2, "removed": 0, "without_country": 0, "bad": 0}
    assert first == {**counts, "first_bad": []}
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
    assert "15 lines are refused: bad.csv" in result.stderr
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

    def lines() -> Iterator[Line]:
        for at in range(20_000):
            if at % 1000 == 500:
                waiting.append(at - db.hlen("sd:dnc"))
            yield Line(at + 1, [f"+57300{at:07}"], "")

    first = Line(1, ["+573000000000"], "")
    sheet = Sheet(
        kind="CSV",
        headings=["column 1"],
        has_headings=False,
        sample=[first],
        lines=lines(),
        source=io.BytesIO(),
        size=0,
    )

    async def list_all() -> ImportResult:
        client = connect(server.url)
        async with Scripts(client) as scripts:
            result = await import_numbers(
                DncLedger(scripts, Keys()),
                sheet,
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


def test_a_change_file_takes_off_only_what_an_import_has_listed(run: Run, db: Any) -> None:
    imported = [f"+57300123456{at}" for at in range(4)]
    ok(run("dnc", "add", "+573001234569", "--reason", "asked"))
    Path("list.txt").write_text("\n".join(imported), "utf-8")
    ok(run("dnc", "import", "list.txt"))
    ok(run("dnc", "add", imported[0], "--reason", "asked"))
    changes = [
        *(f"{imported[0]},2026-11-26,D", f"{imported[1]},2026-11-26,D", "+573001234569,2026-11-26,D"),
        *(f"{imported[2]},2026-11-27,D", f"{imported[2]},2026-11-26,A"),
        *(f"{imported[3]},2026-11-27,A", f"{imported[3]},2026-11-26,D"),
        *("+573001234567,2026-11-26,D", "+573001234567,2026-11-26,A", "+573001234568,2026-11-26,A"),
    ]
    Path("changes.csv").write_text("\n".join(changes), "utf-8")
    result = read(run("dnc", "import", "changes.csv", "--json"))
    assert (result["numbers"], result["added"], result["removed"]) == (10, 2, 2)
    assert sorted(db.hkeys("sd:dnc")) == [f"57300123456{at}" for at in (0, 3, 7, 8, 9)]


def test_a_persons_request_outlasts_the_file_that_has_the_number_too(run: Run) -> None:
    ok(run("dnc", "import", "-", stdin=b"+573001234567"))
    ok(run("dnc", "add", "+573001234567", "--reason", "asked"))
    ok(run("dnc", "import", "-", stdin=b"+573001234567"))
    [entry] = read(run("dnc", "check", "+573001234567", "--json"))
    assert entry["why"] == "by hand asked"


def test_the_columns_can_be_named(run: Run, db: Any) -> None:
    Path("list.csv").write_text("1000001,+573001234567\n", "utf-8")
    refused(run("dnc", "import", "list.csv"), 1, "columns 1 and 2", "--column")
    assert db.hlen("sd:dnc") == 0
    ok(run("dnc", "import", "list.csv", "--column", "2"))
    assert db.hkeys("sd:dnc") == ["573001234567"]


# --- registries -----------------------------------------------------------------------------------------------


def test_the_query_of_a_registry_is_recorded_with_its_date(run: Run, db: Any) -> None:
    Path("rne.txt").write_text("+573001234567\n", "utf-8")
    said = ok(run("dnc", "import", "rne.txt", "--source", "rne", "--asked", "2026-01-02"))
    assert "the query of rne on 2026-01-02 is recorded" in said
    [query] = read(run("dnc", "list", "--sources", "--json"))
    assert (query["registry"], query["asked_s"], query["numbers"]) == ("rne", 1767312000, 1)
    said = ok(run("dnc", "list", "--sources"))
    assert "2026-01-02T00:00:00Z" in said
    assert "never" in said
    assert db.hget("sd:dnc", "573001234567").endswith(" import rne")


def test_a_registrys_change_file_takes_off_what_its_own_files_have_added(run: Run, db: Any) -> None:
    query = ("--source", "rne", "--asked", "2026-01-02")
    for name, text in (("rne.txt", "+573001234567\n"), ("own.txt", "+573001234568\n")):
        Path(name).write_text(text, "utf-8")
    ok(run("dnc", "import", "rne.txt", *query))
    ok(run("dnc", "import", "own.txt"))
    Path("change.csv").write_text(
        "+573001234567,2026-01-02,D\n+573001234568,2026-01-02,D\n+573001234569,2026-01-02,A\n", "utf-8"
    )
    ok(run("dnc", "import", "change.csv", *query))
    assert sorted(db.hkeys("sd:dnc")) == ["573001234568", "573001234569"]


@pytest.mark.parametrize("content", ["", "numero;fecha\n", "<html><body></body></html>"])
def test_an_answer_without_numbers_is_an_answer_when_a_person_says_so(
    run: Run, db: Any, content: str
) -> None:
    Path("none.txt").write_text(content, "utf-8")
    query = ("dnc", "import", "none.txt", "--source", "rne", "--asked", "2026-01-02")
    refused(run(*query), 1, "the query of rne is not recorded", "--empty")
    assert db.hget("sd:server", "registry:rne") is None
    assert "is recorded: no numbers" in ok(run(*query, "--empty"))
    assert db.hget("sd:server", "registry:rne").endswith(" 0")
    Path("none.txt").write_text("+573001234567\n", "utf-8")
    refused(run(*query, "--empty"), 1, "--empty: none.txt has rows with values; nothing is imported")


def test_an_answer_with_refused_lines_is_no_record(run: Run, db: Any) -> None:
    Path("rne.txt").write_text("+573001234567\n12x\n", "utf-8")
    result = run("dnc", "import", "rne.txt", "--source", "rne", "--asked", "2026-01-02")
    assert result.exit_code == 1
    assert "1 lines are refused, so the query of rne is not recorded" in result.stderr
    assert db.hget("sd:server", "registry:rne") is None


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--source", "rnee", "--asked", "2026-01-02"), "takes one of ctps, dnc, dncl, dncr, rne, rpo, tps"),
        (("--asked", "2026-01-02"), "source: got ''"),
        (("--source", "rne"), "asked: got ''"),
        (("--empty",), "--empty: needs --source and --asked"),
        (("--source", "rne", "--asked", "yesterday"), "takes a date such as 2026-11-26"),
        (("--source", "rne", "--asked", "2099-01-01"), "not in the future"),
    ],
)
def test_a_query_needs_a_known_registry_and_a_date(run: Run, more: tuple[str, ...], words: str) -> None:
    Path("rne.txt").write_text("+573001234567\n", "utf-8")
    refused(run("dnc", "import", "rne.txt", *more), 2, words)
