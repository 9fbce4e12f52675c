"""Commands for dead letters and streams, and doctor: what each prints."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import msgspec
import pytest
from typer.testing import Result

from streamdialer.broker.activity import StageActivity
from streamdialer.broker.heartbeat import ReplicaState
from streamdialer.broker.keys import Keys
from streamdialer.simulation.embedded_redis import EmbeddedServer
from streamdialer.simulation.servers.call_centre import CallCentre
from tests.support.cli import UNREACHABLE, Run, add_dead_letter, ok, read, refused


def test_dead_letters_are_listed_newest_first_and_shown_with_masked_numbers(run: Run, db: Any) -> None:
    add_dead_letter(db, type="x")
    data = json.dumps({"phone_number": "+15551234567", "list": [{"phone_number": 15557654321}]})
    newest = add_dead_letter(db, type="do_not_call", data=data, phone_number="+15550001111")
    rows = read(run("dead", "list", "--json", "--count", "1"))
    assert [row["id"] for row in rows] == [newest]
    assert "1 of 2" in ok(run("dead", "list", "--count", "1"))
    letter = read(run("dead", "show", newest, "--json"))
    assert letter["original"]["phone_number"] == "•••••••••111"
    shown = ok(run("dead", "show", newest)) + json.dumps(letter) + json.dumps(rows)
    assert "•567" in shown
    assert not re.search("5551234567|5557654321|5550001111", shown)


def test_a_broken_dead_letter_can_be_shown(run: Run, db: Any) -> None:
    broken = add_dead_letter(db, data="")
    db.xadd(
        "dialer:dead",
        {"stream": "dialer:events", "reason": "broken_json", b"=data": b'{"a\xff": 15551234567'},
    )
    newest = read(run("dead", "list", "--json"))[0]
    assert newest["original"]["data"].endswith("••••••••567")
    assert "\\udcff" in ok(run("dead", "show", newest["id"]))
    assert read(run("dead", "show", broken, "--json"))["original"] == {"data": ""}
    nested = add_dead_letter(db, data="[" * 600 + "]" * 600)
    ok(run("dead", "list"))
    assert read(run("dead", "show", nested, "--json"))["original"]["data"]


def test_replayed_letters_are_back_in_their_stream(run: Run, db: Any) -> None:
    first, second, third = (
        add_dead_letter(db, type="a"),
        add_dead_letter(db, type="b"),
        add_dead_letter(db, type="c"),
    )
    refused(run("dead", "replay", second, "9-9"), 1, "no dead letter 9-9")
    replayed = read(run("dead", "replay", second, "--json"))["replayed"]
    assert db.xrange("dialer:events") == [(replayed[second], {"type": "b"})]
    assert "2 replayed" in ok(run("dead", "replay", "--all"))
    assert [fields["type"] for _, fields in db.xrange("dialer:events")] == ["b", "a", "c"]
    assert not db.xlen("dialer:dead"), (first, third)


def test_dropped_letters_are_gone(run: Run, db: Any) -> None:
    first = add_dead_letter(db, type="a")
    add_dead_letter(db, type="b")
    assert read(run("dead", "drop", first, "--json")) == {"dropped": 1}
    missing = run("dead", "drop", first)
    assert (missing.exit_code, missing.stdout) == (1, "0 dropped\n")
    assert ok(run("dead", "drop", "--all", "--yes")) == "1 dropped\n"
    assert not db.xlen("dialer:dead")
    assert ok(run("dead", "drop", "--all", "--yes")) == "0 dropped\n"


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
    assert set(states) == {"ticks", "calls", "events", "updates", "dead", "outcomes"}
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


def test_groups_of_outcomes_are_shown_and_doctor_warns_of_those_that_miss_some(
    run: Run, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        db.xadd("dialer:outcomes", {"n": str(number)})
    for name in ("crm", "slow", "idle"):
        db.xgroup_create("dialer:outcomes", name, id="0")
        count = {"crm": 30, "slow": 9, "idle": 1}[name]
        read_now = db.xreadgroup(name, "one", {"dialer:outcomes": ">"}, count=count)[0][1]
        if name == "crm":
            db.xack("dialer:outcomes", "crm", *[entry for entry, _ in read_now])
    db.xtrim("dialer:outcomes", minid=db.xrange("dialer:outcomes")[10][0], approximate=False)
    shown = ok(run("inspect", "streams"))
    assert re.search(r"^outcomes +20 +3 +0 +0 +0$", shown, re.MULTILINE)
    assert re.search(r"^  crm +1 +0 +0$", shown, re.MULTILINE)
    assert re.search(r"^  slow +1 +21 +9$", shown, re.MULTILINE)
    monkeypatch.setenv("STREAMDIALER_OUTCOMES_MAXLEN", "20")
    said = run("doctor").stdout
    assert "ok   stream outcomes: 20 outcomes are kept, 20 at most; 3 consumer groups" in said
    assert "ok   stream outcomes: consumer group crm: 0 outcomes not read, 0 not acknowledged" in said
    assert "9 not acknowledged; 1 have left the stream unread" in said
    db.xreadgroup("idle", "one", {"dialer:outcomes": ">"}, count=3)
    said = run("doctor").stdout
    assert re.search("warn stream outcomes: consumer group idle: 17 .* it soon misses the oldest", said)


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


def test_doctor_does_not_miss_a_replica_that_has_had_nothing_to_do(run: Run, db: Any) -> None:
    """Redis before 7.2 counts a reader that waits for the next entry as idle."""
    db.xgroup_create("dialer:ticks", "streamdialer", "0", mkstream=True)
    stage = StageActivity(in_progress=0, doing=[], done=0, dead=0, again=0, per_s=0)
    for stages, level in (({"calls": stage}, "warn"), ({"ticks": stage}, "ok")):
        state = ReplicaState(role="consume", host="h", pid=1, uptime_s=1, rss_bytes=1, stages=stages)
        db.hset(Keys().replica_states, "r1", msgspec.json.encode(state))
        db.zadd(Keys().replicas, {"r1": int(time.time() * 1000)})
        for key in (Keys().replicas, Keys().replica_states):
            db.expire(key, 600)
        assert doctor_findings(run("doctor", "--json"), code=1)["stream ticks"]["level"] == level


def test_doctor_says_what_is_wrong_and_exits_with_1(run: Run, db: Any) -> None:
    add_dead_letter(db, type="x")
    db.config_set("maxmemory-policy", "allkeys-lru")
    try:
        findings = doctor_findings(run("doctor", "--json"), code=1)
    finally:
        db.config_set("maxmemory-policy", "noeviction")
    assert {name for name, finding in findings.items() if finding["level"] == "fail"} == {
        *("eviction", "backend", "dialer api")
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
