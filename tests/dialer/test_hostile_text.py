"""Text that other programs put into Redis never reaches the terminal raw: no escape sequence, no forged line."""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import typer

from streamdialer.broker.activity import HandlerInProgress, StageActivity
from streamdialer.broker.heartbeat import ReplicaState
from streamdialer.cli import app
from streamdialer.ledger.records import Attempt, AttemptFacts, ContactRecord, PastAttempts
from streamdialer.model import ContactData, TickResult
from tests.support.cli import Run, dead_letter_fields

FORGED = "FORGED"
HOSTILE = f"x\x1b[31m\x07\x9b2J\u202e\r\n{FORGED} all is well\n"
SERVERS = {("backend",), ("consume",), ("dashboard",), ("demo",), ("webhooks",)}
"""They print log lines only."""
OPTIONS = {
    ("tick",): ["--once"],
    ("simulate",): ["--from", "1"],
    ("purge",): ["--yes"],
    ("dead", "drop"): ["--yes"],
    ("namespace", "move"): ["--wait", "0"],
}
VALUES = {
    "campaign": "1",
    "to": "redis://127.0.0.1:1",
    "since": "1d",
    "contact": "1",
    "kind": "dial",
    "name": "Spring",
    "queue": "sales",
    "tick_id": "1-1",
    "stream": "events",
    "numbers": "+573001234567",
    "file": "in.csv",
    "path": "in.csv",
    "pack": "none",
    "letter_id": "1-1",
    "letter_ids": "1-1",
    "scenario": None,
    "pairs": None,
}
"""Of the parameters that select what a command prints, by name; None where the command prints nothing of Redis."""


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command of the command line, once as text and once as JSON."""
    for name, command in group.commands.items():
        here = (*path, name)
        if hasattr(command, "commands"):
            yield from commands(command, here)
        elif here not in SERVERS:
            arguments = [*here, *OPTIONS.get(here, [])]
            for parameter in command.params:
                is_argument = parameter.param_type_name == "argument"
                value = VALUES[parameter.name] if is_argument or parameter.required else None
                if value is not None:
                    arguments += [value] if is_argument else [parameter.opts[0], value]
            if here == ("emit",):
                arguments += ["call_ringing", "--data", json.dumps({HOSTILE: HOSTILE})]
            yield tuple(arguments)
            if any("--json" in parameter.opts for parameter in command.params):
                yield (*arguments, "--json")


COMMANDS = list(commands(typer.main.get_command(app)))
SHOW_IT = [
    ("dead", "show", "1-1"),
    ("inspect", "consumers"),
    ("inspect", "pending"),
    ("inspect", "active"),
    ("campaign", "list"),
    ("campaign", "show", "1"),
    ("contact", "show", "1", "1"),
    ("explain", "1"),
    ("result", "1-1"),
    ("dnc", "list"),
    ("top",),
]
"""Commands that show some of the hostile text."""


@pytest.fixture
def hostile(db: Any, tmp_path: Path) -> None:
    """Hostile text in fields, names, groups, consumers, processes, records and lists."""
    for campaign in ("1", HOSTILE):
        db.hset(f"campaign:{campaign}", mapping={"status": HOSTILE, HOSTILE: HOSTILE})
    db.hset("sd:campaigns", "1", HOSTILE)
    for stream in ("events", "ticks"):
        db.xadd(f"dialer:{stream}", {"type": HOSTILE, HOSTILE: HOSTILE})
        for group in ("streamdialer", HOSTILE):
            db.xgroup_create(f"dialer:{stream}", group, id="0")
            db.xreadgroup(group, HOSTILE, {f"dialer:{stream}": ">"})
    blocks = json.dumps([{"reason": HOSTILE, "count": 1, "rule": HOSTILE}])
    db.xadd("sd:blocks", {"campaign": "1", "blocks": blocks})
    db.hset("sd:dnc", "573001234567", f"+1700000000 {HOSTILE}")
    doing = [HandlerInProgress(entry=HOSTILE, subject=HOSTILE, for_s=1.0)]
    activity = StageActivity(in_progress=1, doing=doing, done=1, dead=1, again=1, per_s=1.0)
    state = ReplicaState(
        role="consume",
        version=HOSTILE,
        host=HOSTILE,
        pid=1,
        uptime_s=1.0,
        rss_bytes=1,
        stages={HOSTILE: activity},
    )
    db.hset("sd:replicas:state", HOSTILE, msgspec.json.encode(state))
    db.zadd("sd:replicas", {HOSTILE: db.time()[0] * 1000})
    result = TickResult(
        status="skipped",
        kind="dial",
        campaign_id=HOSTILE,
        at=db.time()[0] * 1000,
        **cast(Any, dict.fromkeys(("reason", "detail", "mode", "limit"), HOSTILE)),
        steps=[(HOSTILE, 1, 0)],
        skipped={HOSTILE: 1},
        why={HOSTILE: HOSTILE},
        notices={HOSTILE: HOSTILE},
        retries=[HOSTILE],
    )
    record = msgspec.json.encode(result)
    db.xadd("sd:c:1:decisions", {"tick": HOSTILE, "record": record})
    db.expire("sd:c:1:decisions", 100)
    db.set("sd:tick:1-1", record, ex=100)
    data = ContactData(id=HOSTILE, timezone=HOSTILE, phone_number=HOSTILE, custom_data={HOSTILE: HOSTILE})
    db.hset("sd:c:1:contacts", "1", msgspec.json.encode(data))
    texts = ("id", "token", "disposition", "retry_rule", "call_id", "called_number", "agent", "trace")
    attempt = Attempt(
        number=1,
        state="ended",
        facts=AttemptFacts(failed_as=HOSTILE, failure_cause=HOSTILE),
        past=PastAttempts(counted=0, uncounted_in_a_row=0),
        reserved_ms=1.0,
        ended_ms=1.0,
        **cast(Any, dict.fromkeys(texts, HOSTILE)),
    )
    contact = ContactRecord(state="final", attempts=1, history=[attempt], problem=HOSTILE, zones=HOSTILE)
    db.hset("sd:c:1:records", "1", msgspec.json.encode(contact))
    db.zadd("sd:c:1:final", {"1": 1})
    db.xadd("dialer:dead", dead_letter_fields({HOSTILE: HOSTILE, "data": HOSTILE, "type": "x"}), id="1-1")
    db.expire("sd:replicas", 100)
    db.expire("sd:replicas:state", 100)
    (tmp_path / "in.csv").write_text(f"number\n{HOSTILE}\n", encoding="utf-8")


def assert_harmless(text: str) -> None:
    for line in text.split("\n"):
        raw = [each for each in line if unicodedata.category(each) in ("Cc", "Cf", "Zl", "Zp")]
        assert raw == [], line
        assert not line.strip(" │|").startswith(FORGED), line


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_prints_it_raw(run: Run, hostile: None, command: tuple[str, ...]) -> None:
    result = run(*command)
    assert_harmless(result.stdout)
    assert_harmless(result.stderr)
    assert FORGED in result.stdout or command not in SHOW_IT, result.output


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
