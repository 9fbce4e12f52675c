"""The command line: what each command prints, and its exit codes."""

from __future__ import annotations

import json
import logging
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis as blocking
from anyio.from_thread import start_blocking_portal
from typer.testing import CliRunner, Result

from streamdialer.broker.keys import Keys
from streamdialer.cli import app
from streamdialer.cli.common import escape_controls
from streamdialer.config.settings import NAMES
from streamdialer.ledger.recovery import MARK_SERVER_TRUSTED
from streamdialer.operations.event_input import read_value
from streamdialer.simulation import CallCentre, build_world
from streamdialer.simulation.embedded_redis import EmbeddedServer

UNREACHABLE = "redis://127.0.0.1:1"
KEYS = Keys()
Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def surroundings(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No settings but those of the test; nothing listens at the HTTP addresses; logging is restored afterwards."""
    for name in NAMES.values():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REDIS_URL", server.url)
    monkeypatch.setenv("BACKEND_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("DIALER_API_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("LOG_FORMAT", "json")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    root, own = logging.getLogger(), logging.getLogger("streamdialer")
    before = root.handlers[:], root.level, own.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    own.setLevel(before[2])


@pytest.fixture
def db(server: EmbeddedServer) -> Iterator[Any]:
    """A client of the emptied server."""
    with blocking.Redis.from_url(server.url, decode_responses=True) as client:
        client.flushall()
        client.eval(MARK_SERVER_TRUSTED.source, 1, Keys().server)  # a new server without calls
        yield client


@pytest.fixture
def run(db: Any) -> Run:
    """Runs a command in this process."""

    def invoke(*arguments: str, stdin: bytes | None = None) -> Result:
        result = CliRunner().invoke(app, list(arguments), input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return invoke


def ok(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def read(result: Result, code: int = 0) -> Any:
    """The one JSON document that standard output consists of."""
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def refused(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("Error: ")
    for word in words:
        assert word in result.stderr


def wait_until(condition: Callable[[], Any], within_s: float = 15.0) -> Any:
    deadline = time.monotonic() + within_s
    while not (result := condition()):
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.02)
    return result


def bury(db: Any, **original: str) -> str:
    fields = {
        "stream": "dialer:events",
        "entry": "1-0",
        "reason": "unknown_type",
        "detail": "d",
        "deliveries": 1,
    }
    return str(db.xadd("dialer:dead", {**fields, **{f"={name}": value for name, value in original.items()}}))


# ---- help, settings, errors ----


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if getattr(command, "commands", None):
        for name, child in command.commands.items():
            yield from leaves(child, (*path, name))
    else:
        yield path


def all_commands() -> list[tuple[str, ...]]:
    import typer.main

    return sorted(leaves(typer.main.get_command(app)))


@pytest.mark.parametrize("command", all_commands(), ids=" ".join)
def test_every_commands_help_ends_with_an_example_of_itself(command: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*command, "--help"])
    assert shown.exit_code == 0
    last = " ".join(shown.stdout.strip().rpartition("Example: ")[2].split())
    assert re.match(rf"streamdialer {' '.join(command)}\b", last)


def test_the_commands_are_all_there() -> None:
    assert {" ".join(command) for command in all_commands()} >= {
        *("consume", "tick", "dashboard", "run", "result", "emit", "config", "doctor"),
        *(f"campaign {verb}" for verb in ("list", "show", "start", "pause", "stop", "cleanup")),
        "contact show",
        *(f"dead {verb}" for verb in ("list", "show", "replay", "drop")),
        *(f"inspect {what}" for what in ("active", "stats", "registered", "streams", "consumers", "pending")),
        *("top", "purge", "explain"),
        *(f"rules {verb}" for verb in ("next", "show")),
    }


def test_it_prints_its_version(run: Run) -> None:
    assert ok(run("--version")).startswith("streamdialer 0")


ONE_SHOT = [
    ("run", "dial", "1"),
    ("run", "dial", "1", "--inline"),
    ("result", "1-0"),
    ("emit", "agent_available", "queue=sales"),
    ("campaign", "list"),
    ("campaign", "show", "1"),
    ("campaign", "start", "1"),
    ("campaign", "cleanup", "1"),
    ("contact", "show", "1", "2"),
    ("dead", "list"),
    ("dead", "replay", "--all"),
    ("dead", "drop", "1-0"),
    ("inspect", "active"),
    ("inspect", "stats"),
    ("inspect", "streams"),
    ("inspect", "consumers"),
    ("inspect", "pending"),
    ("purge", "ticks", "--yes"),
    ("top",),
    ("top", "--json"),
    ("tick", "--once"),
    ("tick",),
    ("consume",),
    ("consume", "--processes", "2"),
    ("dashboard",),
]


@pytest.mark.parametrize("command", ONE_SHOT, ids=" ".join)
def test_a_server_that_is_not_there_is_exit_code_3_in_one_line(run: Run, command: tuple[str, ...]) -> None:
    refused(
        run("--redis-url", UNREACHABLE, *command),
        3,
        UNREACHABLE,
        "cannot be reached",
        "); is REDIS_URL right?",
    )


@pytest.mark.parametrize("command", [*ONE_SHOT, ("doctor",)], ids=" ".join)
def test_no_server_named_is_exit_code_2(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.delenv("REDIS_URL")
    refused(run(*command), 2, "REDIS_URL: not set")


def test_a_wrong_password_is_exit_code_3_and_never_printed(run: Run) -> None:
    with EmbeddedServer(password="right", tcp=True) as guarded:
        address = guarded.url.rpartition("@")[2]
        refused(run("--redis-url", f"redis://:wr0ng@{address}", "campaign", "list"), 3, "password")
        refused(run("--redis-url", f"redis://{address}", "campaign", "list"), 3, "password")
        assert "wr0ng" not in run("--redis-url", f"redis://:wr0ng@{address}", "campaign", "list").output
        assert read(run("--redis-url", guarded.url, "campaign", "list", "--json")) == []


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("--redis-url", "nonsense", "campaign", "list"), ("REDIS_URL", "nonsense")),
        (("--log-level", "loud", "campaign", "list"), ("LOG_LEVEL", "loud", "DEBUG")),
        (("--log-format", "xml", "config"), ("LOG_FORMAT", "xml")),
        (("consume", "--stages", "ticks,cals"), ("--stages", "ticks,cals")),
        (("consume", "--stages", ","), ("--stages",)),
        (("consume", "--autoscale", "1,10"), ("--autoscale", "MAX,MIN")),
        (("consume", "--autoscale", "10"), ("--autoscale", "MAX,MIN")),
        (("consume", "--autoscale", "a,b"), ("--autoscale", "MAX,MIN")),
        (("consume", "--autoscale", "9,1", "--concurrency", "3"), ("--concurrency", "--autoscale")),
        (("consume", "--health-port", "65535", "--processes", "2"), ("--health-port", "65535")),
        (("tick", "--dial-every", "0"), ("STREAMDIALER_DIAL_INTERVAL_S", "0")),
        (("tick", "--json"), ("--once",)),
        (("run", "dail", "1"), ("dail", "dial, retry, stats, cleanup")),
        (("run", "dial", "a b"), ("campaign", "a b")),
        (("run", "dial", "1", "--inline", "--wait", "1"), ("--inline", "--wait")),
        (("campaign", "start", "../1"), ("campaign",)),
        (("campaign", "show", ""), ("campaign",)),
        (("emit",), ("TYPE",)),
        (("emit", "call_lost", "campaign_id=1"), ("call_lost", "call_answered")),
        (("emit", "call_answered", "campaign_id"), ("key=value", "campaign_id")),
        (("emit", "call_answered", "campaign_id=1"), ("call_answered", "contact_id")),
        (("emit", "call_answered", "campaign_id=1", "contact_id=[1]"), ("call_answered",)),
        (("emit", "call_answered", "--data", "{"), ("JSON",)),
        (("emit", "call_answered", "--data", "[]"), ("JSON object",)),
        (("emit", "call_answered", "a=1", "--data", "{}"), ("not both",)),
        (("emit", "call_answered", "--file", "x"), ("--file",)),
        (("emit", "--file", "no/such.ndjson"), ("no/such.ndjson",)),
        (("dead", "show", "x"), ("'x'",)),
        (("dead", "replay"), ("--all",)),
        (("dead", "replay", "1-0", "--all"), ("--all",)),
        (("dead", "drop", "--all"), ("--yes",)),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_wrong_value_is_exit_code_2_in_one_line(
    run: Run, command: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused(run(*command), 2, *words)


@pytest.mark.parametrize(
    "command",
    [
        ("nonsense",),
        ("campaign", "nonsense"),
        ("consume", "--nonsense"),
        ("consume", "--concurrency", "0"),
        ("consume", "--processes", "many"),
        ("consume", "--health-port", "70000"),
        ("run", "dial"),
        ("run", "dial", "1", "--wait", "soon"),
        ("inspect", "pending", "--count", "0"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(run: Run, command: tuple[str, ...]) -> None:
    result = run(*command)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (("result", "1-0"), "no result"),
        (("campaign", "show", "7"), "no keys of this campaign"),
        (("campaign", "pause", "7"), "no keys of this campaign"),
        (("campaign", "stop", "7"), "no keys of this campaign"),
        (("campaign", "cleanup", "7"), "no keys of this campaign"),
        (("dead", "show", "1-0"), "no dead letter"),
        (("dead", "replay", "1-0"), "no dead letter"),
        (("run", "dial", "1", "--wait", "0.05"), "no result"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_cannot_be_done_is_exit_code_1_in_one_line(
    run: Run, command: tuple[str, ...], word: str
) -> None:
    refused(run(*command), 1, word)
    refused(run(*command, "--json"), 1, word)


def test_an_unexpected_answer_of_redis_is_one_line(run: Run, db: Any) -> None:
    db.set("dialer:events", "somebody's")
    refused(run("emit", "agent_available", "queue=sales"), 1, "WRONGTYPE")
    refused(run("inspect", "streams"), 1, "WRONGTYPE")


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert escape_controls("a\x1b[31mb\udce4\nÄ•") == "a\\x1b[31mb\\udce4\nÄ•"


# ---- config ----


def test_config_shows_values_origins_and_no_secret(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKEND_TOKEN", "geheim")
    shown = ok(run("--log-level", "debug", "config"))
    assert "geheim" not in shown
    assert re.search(r"^LOG_LEVEL +DEBUG +option ", shown, re.MULTILINE)
    rows = {row["name"]: row for row in read(run("--log-level", "debug", "config", "--json"))}
    assert rows.keys() == set(NAMES.values())
    assert (rows["LOG_LEVEL"]["value"], rows["LOG_LEVEL"]["origin"]) == ("DEBUG", "option")
    assert (rows["BACKEND_TOKEN"]["value"], rows["BACKEND_TOKEN"]["origin"]) == ("****", "environment")


def test_config_needs_no_server(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL")
    assert "REDIS_URL" in ok(run("config"))


# ---- campaigns ----


def test_start_pause_and_stop_write_the_status_and_publish_it(run: Run, db: Any) -> None:
    with db.pubsub() as channel:
        channel.subscribe("dialer:events")
        assert channel.get_message(timeout=5)["type"] == "subscribe"
        for verb, status, message in (
            ("start", "active", "campaign:started:7"),
            ("pause", "paused", "campaign:paused:7"),
            ("stop", "cancelled", "campaign:stopped:7"),
        ):
            assert read(run("campaign", verb, "7", "--json")) == {"campaign_id": 7, "status": status}
            assert db.hget("campaign:7", "status") == status
            assert channel.get_message(timeout=5)["data"] == message
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", db.hget("campaign:7", "started_at"))
        assert ok(run("campaign", "start", "7")) == "campaign 7: active\n"


def test_campaigns_known_to_the_ledger_or_by_their_public_hash_are_listed(run: Run, db: Any) -> None:
    db.hset("campaign:10", mapping={"status": "active"})
    db.hset("campaign:2", mapping={"status": "paused"})
    db.set("campaign:3", "not a campaign")
    db.hset("campaign:4:stats", mapping={"a": "b"})
    db.hset(KEYS.directory, "5", "sales")
    db.zadd(KEYS.ready("5"), {"1": 1, "2": 2})
    db.zadd(KEYS.dialing("5"), {"3": 1})
    db.zadd(KEYS.connected("5"), {"4": 1})
    db.hset(KEYS.totals("5"), "total_calls", "9")
    rows = {row["campaign_id"]: row for row in read(run("campaign", "list", "--json"))}
    assert list(rows) == [2, 5, 10]
    assert rows[2]["status"] == "paused"
    assert (rows[5]["queue"], rows[5]["ready"], rows[5]["live_calls"]) == ("sales", 2, 2)
    assert (rows[5]["connected_calls"], rows[5]["totals"]["total_calls"]) == (1, 9)
    table = ok(run("campaign", "list")).splitlines()
    assert table[0].split()[:3] == ["campaign", "status", "queue"]
    assert [line.split()[0] for line in table[1:]] == ["2", "5", "10"]


def test_show_prints_agents_calls_and_the_last_decision(run: Run, db: Any) -> None:
    db.hset("campaign:5", mapping={"status": "active", "started_at": "2026-01-01T00:00:00Z"})
    db.hset(KEYS.directory, "5", "sales")
    db.zadd(KEYS.queue_free("sales"), {"1001": 1})
    record = {"status": "skipped", "kind": "dial", "campaign_id": "5", "reason": "no_agents", "dialed": 0}
    db.xadd(KEYS.decisions("5"), {"tick": "1-0", "record": json.dumps(record)})
    detail = read(run("campaign", "show", "5", "--json"))
    assert detail["agents_free"] == 1
    assert detail["public"]["status"] == "active"
    assert detail["last_decision"]["reason"] == "no_agents"
    shown = ok(run("campaign", "show", "5"))
    assert "1 free, 0 busy" in shown
    assert "skipped: dialed 0, no_agents" in shown


def test_cleanup_removes_a_finished_campaign_or_says_why_not(run: Run, db: Any) -> None:
    db.hset(KEYS.directory, "5", "sales")
    db.hset("campaign:5", "status", "active")
    refused(run("campaign", "cleanup", "5"), 1, "stop it first")
    db.hset("campaign:5", "status", "completed")
    db.zadd(KEYS.dialing("5"), {"3": 1})
    refused(run("campaign", "cleanup", "5"), 1, "live")
    db.delete(KEYS.dialing("5"))
    assert read(run("campaign", "cleanup", "5", "--json")) == {"campaign_id": 5, "removed": True}
    assert not db.exists("campaign:5", KEYS.directory)


# ---- ticks ----


def test_run_adds_a_tick_and_prints_its_id(run: Run, db: Any) -> None:
    tick_id = ok(run("run", "dial", "7")).strip()
    assert db.xrange("dialer:ticks") == [(tick_id, {"kind": "dial", "campaign_id": "7"})]
    again = read(run("run", "stats", "7", "--json"))
    assert db.xrevrange("dialer:ticks", count=1)[0][0] == again["tick_id"]


def test_a_stored_result_is_printed(run: Run, db: Any) -> None:
    stored = {"status": "skipped", "kind": "dial", "campaign_id": "7", "reason": "not_active"}
    db.set(KEYS.tick("1-0"), json.dumps(stored))
    assert read(run("result", "1-0", "--json")) == stored
    assert re.search("^reason +not_active$", ok(run("result", "1-0")), re.MULTILINE)


def test_a_dial_result_is_described_before_its_figures(run: Run, db: Any) -> None:
    stored = {"status": "ok", "kind": "dial", "campaign_id": "7", "dialed": 1, "available_agents": 2}
    stored |= {"active_calls": 1, "mode": "progressive", "limit": "agents", "at": 1_700_000_000_123}
    db.set(KEYS.tick("1-0"), json.dumps({**stored, "steps": [["agents", 2, 1]]}))
    first, *figures = ok(run("result", "1-0")).splitlines()
    assert first.startswith("Placed 1 call: 2 free agents, 1 unanswered call (progressive); every free agent")
    shown = dict(re.split(" {2,}", line, maxsplit=1) for line in figures)
    assert (shown["steps"], shown["at"]) == ('[["agents",2,1]]', "2023-11-14T22:13:20.123+00:00")


def test_run_inline_works_without_the_stream(run: Run, db: Any) -> None:
    db.hset("campaign:7", "status", "cancelled")
    db.hset(KEYS.directory, "7", "sales")
    result = read(run("run", "cleanup", "7", "--inline", "--json"))
    assert (result["status"], result["removed"]) == ("ok", 1)
    assert not db.exists("campaign:7", "dialer:ticks")


def test_a_tick_that_failed_is_exit_code_1_and_its_result_is_shown(run: Run, db: Any) -> None:
    db.hset("campaign:7", "status", "active")
    result = read(run("run", "dial", "7", "--inline", "--json"), code=1)
    assert result["status"] == "error"
    assert "127.0.0.1:9" in result["detail"]


def test_tick_once_adds_what_is_due_for_active_campaigns(run: Run, db: Any) -> None:
    db.hset("campaign:7", "status", "active")
    db.hset("campaign:8", "status", "paused")
    added = read(run("tick", "--once", "--json"))["added"]
    ticks = [fields for _, fields in db.xrange("dialer:ticks")]
    assert added == len(ticks) > 0
    assert {fields["campaign_id"] for fields in ticks} == {"7"}
    assert ok(run("tick", "--once")) == "0 ticks added\n"


# ---- events ----


def test_emit_adds_an_event_from_key_value_pairs(run: Run, db: Any) -> None:
    entry = ok(run("emit", "call_answered", "campaign_id=1", "contact_id=123", "call_id=abc123")).strip()
    [(stored, fields)] = db.xrange("dialer:events")
    assert stored == entry
    assert fields["type"] == "call_answered"
    assert json.loads(fields["data"]) == {"campaign_id": 1, "contact_id": 123, "call_id": "abc123"}


def test_emit_adds_an_event_from_json(run: Run, db: Any) -> None:
    data = {"campaign_id": 1, "contact_id": "x", "duration": 1.5}
    answer = read(run("emit", "call_completed", "--data", json.dumps(data), "--json"))
    assert answer["added"] == 1
    assert json.loads(db.xrange("dialer:events")[0][1]["data"]) == data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-1.5", -1.5),
        ("true", True),
        ("null", None),
        ("abc", "abc"),
        ("", ""),
        ("+49301", "+49301"),
        ("007", "007"),
        ("1e5", "1e5"),
        ("1.50", "1.50"),
        ('"x"', '"x"'),
        ("[1]", "[1]"),
        ("\udce4", "\udce4"),
    ],
)
def test_a_value_is_a_number_only_where_it_is_exactly_that(text: str, value: object) -> None:
    assert read_value(text) == value
    assert type(read_value(text)) is type(value)


LINES = (
    b'{"type": "call_answered", "campaign_id": 1, "contact_id": 2}\n\n'
    b'{"type": "call_completed", "data": {"campaign_id": 1, "contact_id": 2, "duration": 3}}\n'
)


def test_emit_adds_every_line_of_a_file(run: Run, db: Any, tmp_path: Path) -> None:
    (tmp_path / "events.ndjson").write_bytes(LINES)
    assert ok(run("emit", "--file", "events.ndjson")) == "2 events added\n"
    assert ok(run("emit", "--file", "-", stdin=LINES)) == "2 events added\n"
    kinds = [fields["type"] for _, fields in db.xrange("dialer:events")]
    assert kinds == ["call_answered", "call_completed"] * 2
    assert json.loads(db.xrange("dialer:events")[1][1]["data"])["duration"] == 3


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b"[]",
        b'{"campaign_id": 1}',
        b'{"type": "x"}',
        b'{"type": "call_failed", "campaign_id": 1}',
        b'{"type": "call_failed", "data": "{}"}',
        b"\xff",
    ],
)
def test_one_bad_line_is_named_and_nothing_is_added(run: Run, db: Any, bad: bytes) -> None:
    refused(run("emit", "--file", "-", stdin=LINES + bad + b"\n"), 2, "line 4", "nothing was added")
    assert not db.exists("dialer:events")


def test_a_line_without_a_type_is_named(run: Run) -> None:
    refused(run("emit", "--file", "-", stdin=b'{"campaign_id": 1}\n'), 2, "line 1: event type: none, takes")


def test_emit_adds_many_events_in_order(run: Run, db: Any) -> None:
    many = b"".join(
        json.dumps({"type": "call_ringing", "campaign_id": 1, "contact_id": number}).encode() + b"\n"
        for number in range(1201)
    )
    assert read(run("emit", "--file", "-", "--json", stdin=many))["added"] == 1201
    contacts = [json.loads(fields["data"])["contact_id"] for _, fields in db.xrange("dialer:events")]
    assert contacts == list(range(1201))


# ---- dead letters ----


def test_dead_letters_are_listed_newest_first_and_shown_with_masked_numbers(run: Run, db: Any) -> None:
    bury(db, type="x")
    data = json.dumps({"phone_number": "+15551234567", "list": [{"phone_number": 15557654321}]})
    newest = bury(db, type="do_not_call", data=data, phone_number="+15550001111")
    rows = read(run("dead", "list", "--json", "--count", "1"))
    assert [row["id"] for row in rows] == [newest]
    assert "1 of 2" in ok(run("dead", "list", "--count", "1"))
    letter = read(run("dead", "show", newest, "--json"))
    assert letter["original"]["phone_number"] == "•••••••••111"
    shown = ok(run("dead", "show", newest)) + json.dumps(letter) + json.dumps(rows)
    assert "•567" in shown
    assert not re.search("5551234567|5557654321|5550001111", shown)


def test_a_broken_dead_letter_can_be_shown(run: Run, db: Any) -> None:
    broken = bury(db, data="")
    db.xadd(
        "dialer:dead",
        {"stream": "dialer:events", "reason": "broken_json", b"=data": b'{"a\xff": 15551234567'},
    )
    newest = read(run("dead", "list", "--json"))[0]
    assert newest["original"]["data"].endswith("••••••••567")
    assert "\\udcff" in ok(run("dead", "show", newest["id"]))
    assert read(run("dead", "show", broken, "--json"))["original"] == {"data": ""}


def test_replayed_letters_are_back_in_their_stream(run: Run, db: Any) -> None:
    first, second, third = bury(db, type="a"), bury(db, type="b"), bury(db, type="c")
    refused(run("dead", "replay", second, "9-9"), 1, "no dead letter 9-9")
    replayed = read(run("dead", "replay", second, "--json"))["replayed"]
    assert db.xrange("dialer:events") == [(replayed[second], {"type": "b"})]
    assert "2 replayed" in ok(run("dead", "replay", "--all"))
    assert [fields["type"] for _, fields in db.xrange("dialer:events")] == ["b", "a", "c"]
    assert not db.xlen("dialer:dead"), (first, third)


def test_dropped_letters_are_gone(run: Run, db: Any) -> None:
    first = bury(db, type="a")
    bury(db, type="b")
    assert read(run("dead", "drop", first, "--json")) == {"dropped": 1}
    missing = run("dead", "drop", first)
    assert (missing.exit_code, missing.stdout) == (1, "0 dropped\n")
    assert ok(run("dead", "drop", "--all", "--yes")) == "1 dropped\n"
    assert not db.xlen("dialer:dead")
    assert ok(run("dead", "drop", "--all", "--yes")) == "0 dropped\n"


# ---- inspect ----


def test_inspect_registered_needs_no_server(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL")
    handlers = read(run("inspect", "registered", "--json"))
    assert list(handlers["stages"]) == ["ticks", "calls", "events", "updates"]
    assert "call_answered" in handlers["events"]
    assert {"do_not_call", "callback_requested", "preview_skipped"} < set(handlers["events"])
    assert handlers["ticks"] == ["dial", "retry", "stats", "cleanup"]
    assert "EventsStage" in ok(run("inspect", "registered"))


def test_streams_and_pending_entries_are_counted(run: Run, db: Any) -> None:
    db.xgroup_create("dialer:events", "streamdialer", id="0", mkstream=True)
    for number in range(3):
        db.xadd("dialer:events", {"type": str(number)})
    db.xreadgroup("streamdialer", "one", {"dialer:events": ">"}, count=2)
    states = {state["stream"]: state for state in read(run("inspect", "streams", "--json"))}
    assert set(states) == {"ticks", "calls", "events", "updates", "dead"}
    events = states["events"]
    assert (events["length"], events["pending"], events["lag"], events["groups"]) == (3, 2, 1, 1)
    assert events["oldest_pending_s"] >= 0
    assert [consumer["name"] for consumer in events["consumers"]] == ["one"]
    assert (states["calls"]["length"], states["calls"]["groups"]) == (0, 0)
    assert re.search(r"^events +3 +1 +1 +1 +2 ", ok(run("inspect", "streams")), re.MULTILINE)
    pending = read(run("inspect", "pending", "--json"))
    assert [(entry["stream"], entry["consumer"], entry["deliveries"]) for entry in pending] == [
        ("events", "one", 1)
    ] * 2
    assert "the first 1" in ok(run("inspect", "pending", "--count", "1"))


# ---- doctor ----


@pytest.fixture
def centre(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[CallCentre]:
    """A simulated backend and Dialer API with one campaign, seven agents and twenty contacts."""
    world = build_world(agents=7, contacts=20, answer_rate=1.0)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(CallCentre(world, server.url, speed=50)) as opened,
    ):
        monkeypatch.setenv("BACKEND_URL", opened.backend_url)
        monkeypatch.setenv("DIALER_API_URL", opened.dialer_api_url)
        yield opened


def doctor_findings(result: Result, code: int = 0) -> dict[str, Any]:
    return {finding["check"]: finding for finding in read(result, code)}


def test_doctor_finds_a_working_installation_well(run: Run, db: Any, centre: CallCentre) -> None:
    db.hset("campaign:1", "status", "active")
    findings = doctor_findings(run("doctor", "--json"))
    assert findings["redis"]["level"] == "ok"
    assert findings["version"]["level"] == "ok"
    assert findings["eviction"]["level"] == "ok"
    assert findings["clock"]["level"] == "ok"
    assert findings["scripts"]["level"] == "ok"
    assert findings["persistence"] == {
        "check": "persistence",
        "level": "warn",
        "text": "none",
        "remedy": "set appendonly yes, so that a restart loses no attempt",
    }
    assert findings["stream ticks"]["level"] == "warn"
    assert findings["backend"]["level"] == "ok"
    assert findings["dialer api"]["level"] == "ok"
    assert findings["campaign 1"]["text"] == "queue sales: 7 agents, 7 free"
    assert all(finding.get("remedy") for finding in findings.values() if finding["level"] != "ok")
    assert "ok   redis: answers" in ok(run("doctor"))


def test_doctor_says_what_is_wrong_and_exits_with_1(run: Run, db: Any) -> None:
    bury(db, type="x")
    db.config_set("maxmemory-policy", "allkeys-lru")
    try:
        findings = doctor_findings(run("doctor", "--json"), code=1)
    finally:
        db.config_set("maxmemory-policy", "noeviction")
    assert {name for name, finding in findings.items() if finding["level"] == "fail"} == {
        *("eviction", "backend", "dialer api"),
    }
    assert "noeviction" in findings["eviction"]["remedy"]
    assert findings["dead letters"]["level"] == "warn"


def test_doctor_checks_the_rest_when_redis_is_unreachable_and_exits_with_3(run: Run) -> None:
    findings = doctor_findings(run("--redis-url", UNREACHABLE, "doctor", "--json"), code=3)
    assert findings["redis"]["level"] == "fail"
    assert findings["backend"]["level"] == "fail"


def test_doctor_goes_on_where_a_command_is_forbidden(run: Run, db: Any, server: EmbeddedServer) -> None:
    db.acl_setuser("plain", enabled=True, nopass=True, keys=["*"], channels=["*"], categories=["+@all"])
    db.execute_command("ACL", "SETUSER", "plain", "-config", "-info")
    try:
        url = server.url.replace("unix://", "unix://plain:any@")
        findings = doctor_findings(run("--redis-url", url, "doctor", "--json"), code=1)
    finally:
        db.acl_deluser("plain")
    assert findings["version"]["level"] == "warn"
    assert findings["eviction"]["level"] == "warn"
    assert findings["scripts"]["level"] == "ok"


# ---- consume and tick, as processes ----


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the real command; kills at the end what still runs."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        with (tmp_path / f"stderr-{len(started)}").open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "streamdialer", *arguments],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        started.append(process)
        return process

    yield start
    for number, process in enumerate(started):
        process.kill()
        process.communicate()
        sys.stdout.write((tmp_path / f"stderr-{number}").read_text())  # shown if the test fails


def consumers(db: Any, stream: str = "dialer:events") -> list[str]:
    try:
        return [consumer["name"] for consumer in db.xinfo_consumers(stream, "streamdialer")]
    except blocking.ResponseError:
        return []


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_consume_works_until_a_signal_and_exits_with_0(
    db: Any, run: Run, command: Callable[..., subprocess.Popen[str]], sent: signal.Signals
) -> None:
    replica = command("consume", "--name", "one", "--autoscale", "8,2", "--stages", "events,ticks")
    wait_until(lambda: consumers(db) == ["one"] == consumers(db, "dialer:ticks"))
    db.hset("campaign:7", "status", "cancelled")
    db.hset(KEYS.directory, "7", "sales")
    assert read(run("run", "cleanup", "7", "--wait", "10", "--json"))["removed"] == 1
    assert consumers(db, "dialer:calls") == []
    replica.send_signal(sent)
    assert replica.wait(10) == 0
    assert replica.stdout is not None
    assert replica.stdout.read() == ""
    assert consumers(db) == []


def test_consume_dials_a_campaign(
    db: Any, run: Run, command: Callable[..., subprocess.Popen[str]], centre: CallCentre
) -> None:
    replica = command("consume")
    assert read(run("campaign", "start", "1", "--json"))["status"] == "active"
    result = read(run("run", "dial", "1", "--wait", "15", "--json"))
    assert (result["status"], result["dialed"]) == ("ok", 7)
    assert read(run("campaign", "show", "1", "--json"))["last_decision"]["dialed"] >= 0
    replica.terminate()
    assert replica.wait(15) == 0


def test_max_tasks_ends_consume_cleanly(db: Any, command: Callable[..., subprocess.Popen[str]]) -> None:
    for _ in range(3):
        db.xadd("dialer:events", {"type": "nonsense"})
    assert command("consume", "--max-tasks", "1", "--concurrency", "1").wait(15) == 0
    assert 1 <= db.xlen("dialer:dead") <= 3


@pytest.mark.parametrize("name", ["consume", "tick"])
def test_consume_and_tick_answer_at_the_health_port(
    db: Any, command: Callable[..., subprocess.Popen[str]], name: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        port = taken.getsockname()[1]
    process = command(name, "--health-port", str(port))
    wait_until(lambda: not is_free(port))
    for path, text in (("live", "ok"), ("ready", "ready"), ("metrics", "streamdialer_stream_length")):
        answer = httpx.get(f"http://127.0.0.1:{port}/{path}", timeout=5)
        assert answer.status_code == 200
        assert text in answer.text
    process.terminate()
    assert process.wait(10) == 0


def test_each_of_several_processes_has_a_health_port(
    db: Any, command: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # below the ports that the system hands out, because another test may get one of those meanwhile
    port = next(port for port in range(20000, 30000, 2) if is_free(port) and is_free(port + 1))
    monkeypatch.setenv("STREAMDIALER_HEALTH_PORT", str(port))
    supervisor = command("consume", "--processes", "2")
    wait_until(lambda: not is_free(port) and not is_free(port + 1))
    for each in (port, port + 1):
        assert httpx.get(f"http://127.0.0.1:{each}/ready", timeout=5).status_code == 200
    supervisor.terminate()
    assert supervisor.wait(15) == 0


def test_a_health_port_in_use_is_reported_before_any_work_begins(run: Run) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        refused(run("consume", "--health-port", str(port)), 1, str(port), "in use")
        refused(run("consume", "--processes", "2", "--health-port", str(port - 1)), 1, "in use")


def test_processes_are_restarted_and_all_stop_together(
    db: Any, command: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    supervisor = command(
        "consume", "--processes", "2", "--name", "node", "--stages", "events", "--max-tasks", "1"
    )
    wait_until(lambda: sorted(consumers(db)) == ["node-1", "node-2"])
    log = tmp_path / "stderr-0"
    for number in range(2):
        db.xadd("dialer:events", {"type": "nonsense"})
        wait_until(lambda: log.read_text().count("starting another") > number)  # noqa: B023 - called at once
    wait_until(lambda: sorted(consumers(db)) == ["node-1", "node-2"])
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(15) == 0
    assert consumers(db) == []


def test_tick_adds_ticks_until_a_signal(db: Any, command: Callable[..., subprocess.Popen[str]]) -> None:
    db.hset("campaign:7", "status", "active")
    producer = command("tick", "--dial-every", "1", "--stats-every", "1000", "--retry-every", "1000")
    wait_until(lambda: db.xlen("dialer:ticks"))
    producer.terminate()
    assert producer.wait(10) == 0
    assert {fields["campaign_id"] for _, fields in db.xrange("dialer:ticks")} == {"7"}


def test_ctrl_c_while_waiting_is_exit_code_130_without_a_traceback(
    db: Any, command: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    def reads() -> int:
        return int(db.info("commandstats").get("cmdstat_get", {"calls": 0})["calls"])

    before = reads()
    waiting = command("run", "dial", "7", "--wait", "60")
    # The command then sleeps between two reads. In Python 3.11 a read that is being sent can swallow the interruption
    # (asyncio.wait_for inside the client library), and a second signal would be needed.
    wait_until(lambda: reads() > before + 3)
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait(10) == 130
    assert (tmp_path / "stderr-0").read_text() == ""


# ---- rules ----


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ("--pack", "co", "--timezone", "America/Bogota", "--at", "2026-01-10T15:00"),
            "2026-01-13T07:00:00-05:00  not before: rule pack co 2023.1 (Ley 2300 de 2023, art. 3, not verified)",
        ),
        (
            ("--pack", "us-fl", "--timezone", "America/New_York", "--at", "2026-03-08T23:59:59.999Z"),
            "2026-03-08T19:59:59-04:00  now: rule pack us-fl",
        ),
        (
            ("--pack", "us-fl", "--timezone", "America/New_York", "--at", "2026-03-09T00:00:00Z"),
            "2026-03-09T08:00:00-04:00  not before: rule pack us-fl",
        ),
        (("--pack", "none", "--at", "2026-03-08T12:00"), "2026-03-08T12:00:00+00:00  now: rule pack none"),
    ],
)
def test_rules_next_says_when_and_by_which_rule(run: Run, arguments: tuple[str, ...], text: str) -> None:
    assert ok(run("rules", "next", *arguments)).startswith(text)


def test_rules_next_as_json_says_until_when_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL")
    monkeypatch.setenv("STREAMDIALER_TIMEZONE", "Europe/Paris")
    answer = json.loads(ok(run("rules", "next", "--pack", "fr", "--at", "2026-03-27T21:00", "--json")))
    assert (answer["timezone"], answer["next"], answer["until"], answer["verified"]) == (
        "Europe/Paris",
        "2026-03-30T10:00:00+02:00",
        "2026-03-30T13:00:00+02:00",
        False,
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("next", "--pack", "xx"), "rule pack 'xx' is unknown: takes one of co, es, fr"),
        (("show", "xx"), "rule pack 'xx' is unknown: takes one of co, es, fr"),
        (("next", "--pack", "co", "--timezone", "UTC-5"), "takes an IANA name"),
        (("next", "--pack", "co", "--at", "tomorrow"), "at: got 'tomorrow', takes ISO 8601"),
        (("next", "--pack", "co", "--at", "9999-12-31T00:00"), "takes ISO 8601"),
    ],
)
def test_rules_refuses_what_it_cannot_read(run: Run, arguments: tuple[str, ...], text: str) -> None:
    result = run("rules", *arguments)
    assert result.exit_code == 2
    assert text in result.stderr
    assert result.stderr.count("\n") == 1


def test_rules_show_prints_every_value_with_its_statute(run: Run) -> None:
    shown = ok(run("rules", "show", "us-regf"))
    for line in (
        r"sunday +08:00-21:00 +12 CFR 1006\.6\(b\)\(1\)\(i\) +no",
        r"attempts +at most 7 in 168 h per contact +12 CFR 1006\.14\(b\)\(2\)\(i\)\(A\) +no",
        r"abandoned calls +at most 3% of calls answered by a person in 720 h .+ no",
        r"Not enforced here, your own duty: check the national do-not-call registry",
    ):
        assert re.search(line, shown)
    assert re.search(
        r"cool-off after an abandoned call +72 h per number +Ofcom.+ no", ok(run("rules", "show", "uk"))
    )
    assert re.search(r"public holidays +closed \(CO\)", ok(run("rules", "show", "co")))
    assert json.loads(ok(run("rules", "show", "uk", "--json")))["abandon_cooloff"]["hours"] == 72


def test_an_unknown_rule_pack_stops_the_start_with_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMDIALER_RULE_PACK", "us-xx")
    result = run("consume")
    assert result.exit_code == 2
    assert "STREAMDIALER_RULE_PACK: got 'us-xx', takes one of co, es, fr, none" in result.stderr
