"""Commands for campaigns, ticks and events: what each does and prints."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from streamdialer.operations.event_input import read_value
from tests.support.cli import KEYS, Run, ok, read, refused

LINES = (
    b'{"type": "call_answered", "campaign_id": 1, "contact_id": 2}\n\n'
    b'{"type": "call_completed", "data": {"campaign_id": 1, "contact_id": 2, "duration": 3}}\n'
)


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


@pytest.mark.leaves("campaign:4:stats")
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
    for key in (KEYS.queue_free("sales"), KEYS.decisions("5")):
        db.expire(key, 60)
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


def test_run_adds_a_tick_and_prints_its_id(run: Run, db: Any) -> None:
    tick_id = ok(run("run", "dial", "7")).strip()
    assert db.xrange("dialer:ticks") == [(tick_id, {"kind": "dial", "campaign_id": "7"})]
    again = read(run("run", "stats", "7", "--json"))
    assert db.xrevrange("dialer:ticks", count=1)[0][0] == again["tick_id"]


def test_a_stored_result_is_printed(run: Run, db: Any) -> None:
    stored = {"status": "skipped", "kind": "dial", "campaign_id": "7", "reason": "not_active"}
    db.set(KEYS.tick("1-0"), json.dumps(stored), ex=60)
    assert read(run("result", "1-0", "--json")) == stored
    assert re.search("^reason +not_active$", ok(run("result", "1-0")), re.MULTILINE)


def test_a_dial_result_is_described_before_its_figures(run: Run, db: Any) -> None:
    stored = {"status": "ok", "kind": "dial", "campaign_id": "7", "dialed": 1, "available_agents": 2}
    stored |= {"active_calls": 1, "mode": "progressive", "limit": "agents", "at": 1_700_000_000_123}
    db.set(KEYS.tick("1-0"), json.dumps({**stored, "steps": [["agents", 2, 1]]}), ex=60)
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
