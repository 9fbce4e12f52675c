"""Text that other programs put into Redis never reaches the terminal raw: no escape sequence, no forged line."""

from __future__ import annotations

import csv
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Run, add_dead_letter

FORGED = "FORGED"
HOSTILE = f"x\x1b[31m\x07\x9b2J\u202e\r\n{FORGED} all is well\n"
COMMANDS = [
    ("dead", "list"),
    ("dead", "list", "--json"),
    ("inspect", "streams"),
    ("inspect", "consumers"),
    ("inspect", "consumers", "--json"),
    ("inspect", "pending"),
    ("inspect", "stats"),
    ("inspect", "active"),
    ("campaign", "list"),
    ("campaign", "show", "1"),
    ("explain", "1"),
    ("explain", "1", "--json"),
    ("doctor",),
    ("dnc", "list"),
    ("dnc", "check", "+573001234567"),
    ("top", "--once"),
]


@pytest.fixture
def hostile(db: Any) -> str:
    """Hostile text in fields, names, groups, consumers, processes and lists; the id of a dead letter."""
    db.hset("campaign:1", mapping={"status": HOSTILE, HOSTILE: HOSTILE})
    db.hset("sd:campaigns", "1", HOSTILE)
    for stream in ("events", "ticks"):
        db.xadd(f"dialer:{stream}", {"type": HOSTILE, HOSTILE: HOSTILE})
        for group in ("streamdialer", HOSTILE):
            db.xgroup_create(f"dialer:{stream}", group, id="0")
            db.xreadgroup(group, HOSTILE, {f"dialer:{stream}": ">"})
    db.hset("sd:dnc", "573001234567", f"+1700000000 {HOSTILE}")
    db.hset("sd:replicas:state", HOSTILE, "{}")
    db.zadd("sd:replicas", {HOSTILE: 1})
    db.expire("sd:replicas", 100)
    db.expire("sd:replicas:state", 100)
    return add_dead_letter(db, **{HOSTILE: HOSTILE, "data": HOSTILE, "type": "x"})


def assert_harmless(text: str) -> None:
    for line in text.split("\n"):
        raw = [each for each in line if unicodedata.category(each) in ("Cc", "Cf", "Zl", "Zp")]
        assert raw == [], line
        assert not line.strip(" │|").startswith(FORGED), line


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_prints_it_raw(run: Run, hostile: str, command: tuple[str, ...]) -> None:
    result = run(*command)
    assert_harmless(result.stdout)
    assert_harmless(result.stderr)


def test_a_dead_letter_with_such_names_is_shown_harmlessly(run: Run, hostile: str) -> None:
    for extra in ((), ("--json",)):
        shown = run("dead", "show", hostile, *extra).stdout
        assert FORGED in shown
        assert_harmless(shown)


def test_no_cell_of_a_written_file_is_a_formula(run: Run, tmp_path: Path) -> None:
    lines = ["=1+1", "+1 formula", "-2+cmd|' /C calc'!A0", "@SUM(1)", "plain"]
    (tmp_path / "in.csv").write_text("\n".join(lines), encoding="utf-8")
    run("dnc", "import", "in.csv", "--bad", "bad.csv")
    with (tmp_path / "bad.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    assert rows
    for row in rows:
        assert all(cell[:1] not in ("=", "+", "-", "@") for cell in row), row


# ---- what doctor says of it ----


def test_doctor_names_a_stream_that_takes_no_entry_any_more(run: Run, db: Any) -> None:
    db.xadd("dialer:events", {"type": "x"}, id=f"{2**64 - 1}-{2**64 - 1}")
    said = run("doctor").stdout
    assert "fail stream events: someone wrote the last possible id" in said
    assert "start a replica" in said


def test_doctor_names_other_groups_that_are_behind(run: Run, db: Any) -> None:
    for stream in ("dialer:events", "dialer:updates"):
        db.xgroup_create(stream, "analytics", id="0", mkstream=True)
    db.xadd("dialer:events", {"type": "x"})
    said = run("doctor").stdout
    assert "warn stream events: consumer group analytics of another program: 1 entries stay for it" in said
    assert "warn stream updates: consumer group analytics of another program sees only" in said


def test_doctor_and_explain_say_that_redis_takes_no_writes(run: Run, db: Any) -> None:
    db.hset("campaign:1", "status", "active")
    db.config_set("maxmemory", "1")
    try:
        said, explained = run("doctor").stdout, run("explain", "1").stdout
    finally:
        db.config_set("maxmemory", "0")
    assert "fail writes: Redis refuses them" in said
    assert explained.startswith("Campaign 1 is not dialed: Redis takes no writes now")
    assert "maxmemory" in explained
