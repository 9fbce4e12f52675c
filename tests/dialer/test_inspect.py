"""Looking and emptying: `inspect active`, `stats`, `consumers`, `purge`, and how far `dead replay` is."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from streamdialer.broker.activity import HandlerInProgress, StageActivity
from streamdialer.broker.heartbeat import ReplicaState
from streamdialer.broker.keys import GROUP, Keys, Stream
from tests.support.cli import Run, ok, read, refused

KEYS = Keys()


def beat(db: Any, name: str, heard_ago_s: float = 0.5, **changes: Any) -> None:
    calls = StageActivity(
        in_progress=3,
        doing=[HandlerInProgress(entry="5-0", subject="7:12:1", for_s=12.25)],
        done=40,
        dead=1,
        again=2,
        per_s=3.5,
    )
    plain: dict[str, Any] = {
        "role": "consume",
        "version": "1.2.3",
        "host": "h1",
        "pid": 42,
        "uptime_s": 600.0,
        "rss_bytes": 80_000_000,
        "stages": {"calls": calls},
    }
    state = ReplicaState(**(plain | changes))
    db.hset(KEYS.replica_states, name, msgspec.json.encode(state))
    db.zadd(KEYS.replicas, {name: (time.time() - heard_ago_s) * 1000})
    for key in (KEYS.replica_states, KEYS.replicas):
        db.expire(key, 60)


def test_active_names_what_each_process_works_on(run: Run, db: Any) -> None:
    beat(db, "r1")
    beat(db, "t1", role="tick", stages={})
    assert read(run("inspect", "active", "--json")) == [
        {"replica": "r1", "stage": "calls", "entry": "5-0", "subject": "7:12:1", "for_s": 12.25}
    ]
    text = ok(run("inspect", "active"))
    assert "7:12:1" in text
    assert text.endswith("1 of 3 entries in progress, 2 processes\n")


def test_stats_tell_memory_uptime_heartbeat_and_counts_of_each_process(run: Run, db: Any) -> None:
    beat(db, "r1", heard_ago_s=20)
    beat(db, "t1", role="tick", stages={})
    first, second = read(run("inspect", "stats", "--json"))
    assert (first["name"], first["state"]["rss_bytes"], first["state"]["uptime_s"]) == (
        "r1",
        80_000_000,
        600.0,
    )
    assert first["last_seen_s"] == pytest.approx(20, abs=2)
    assert first["state"]["stages"]["calls"]["done"] == 40
    assert second["state"]["role"] == "tick"
    lines = ok(run("inspect", "stats")).splitlines()
    assert [line.split()[0] for line in lines] == ["process", "r1", "t1"]
    assert lines[1].split()[-6:] == ["calls", "3", "40", "1", "2", "3.5"]


def test_consumers_are_listed_with_what_they_hold_and_how_long_they_have_been_idle(run: Run, db: Any) -> None:
    stream = KEYS.stream("events")
    db.xadd(stream, {"type": "x"})
    db.xgroup_create(stream, GROUP, id="0")
    db.xreadgroup(GROUP, "r1", {stream: ">"})
    found = read(run("inspect", "consumers", "--json"))
    assert [one["name"] for one in found["events"]] == ["r1"]
    assert found["events"][0]["pending"] == 1
    assert found["ticks"] == []
    assert ok(run("inspect", "consumers")).splitlines()[1].split()[:3] == ["events", "r1", "1"]


@pytest.mark.parametrize("what", ["active", "stats", "consumers", "streams", "pending", "registered"])
def test_of_an_empty_server_there_is_nothing_to_tell(run: Run, db: Any, what: str) -> None:
    read(run("inspect", what, "--json"))
    assert run("inspect", what).exit_code == 0


# purge


def fill(db: Any, stream: str, entries: int) -> None:
    pipe = db.pipeline()
    for number in range(entries):
        pipe.xadd(stream, {"n": number})
    pipe.execute()


def test_a_purged_stream_is_empty_and_keeps_its_consumers(run: Run, db: Any) -> None:
    stream = KEYS.stream("ticks")
    fill(db, stream, 1201)
    db.xgroup_create(stream, GROUP, id="0")
    db.xreadgroup(GROUP, "r1", {stream: ">"}, count=10)
    assert read(run("purge", "ticks", "--yes", "--json")) == {"stream": "ticks", "deleted": 1201}
    assert db.xlen(stream) == 0
    assert db.xpending(stream, GROUP)["pending"] == 0
    assert [one["name"] for one in db.xinfo_consumers(stream, GROUP)] == ["r1"]
    assert ok(run("purge", "ticks", "--yes")) == "0 entries deleted\n"


@pytest.mark.parametrize(
    ("stream", "key", "why"),
    [
        ("calls", KEYS.reserved("7"), "calls are reserved"),
        ("updates", KEYS.outbox("7"), "has not confirmed every update"),
    ],
)
def test_what_something_needs_is_not_purged(run: Run, db: Any, stream: Stream, key: str, why: str) -> None:
    fill(db, KEYS.stream(stream), 3)
    db.hset(KEYS.directory, "7", "sales")
    db.zadd(key, {"1": 1}) if stream == "calls" else db.hset(key, "1", "{}")
    result = run("purge", stream, "--yes")
    assert result.exit_code == 1
    assert why in result.output
    assert db.xlen(KEYS.stream(stream)) == 3
    db.delete(key)
    assert read(run("purge", stream, "--yes", "--json"))["deleted"] == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(("ticks",), "add --yes"), (("lunch", "--yes"), "takes ticks, calls, events, updates, dead, outcomes")],
)
def test_a_purge_without_yes_or_of_no_stream_is_wrong_usage(
    run: Run, db: Any, arguments: tuple[str, ...], says: str
) -> None:
    fill(db, KEYS.stream("ticks"), 1)
    result = run("purge", *arguments)
    assert result.exit_code == 2
    assert says in result.output
    assert db.xlen(KEYS.stream("ticks")) == 1


def test_outcomes_are_purged_when_every_group_has_finished_them(run: Run, db: Any) -> None:
    stream = KEYS.outcomes
    fill(db, stream, 3)
    db.xgroup_create(stream, "crm", id="0")
    refused(run("purge", "outcomes", "--yes"), 1, "crm", "XGROUP DESTROY dialer:outcomes crm")
    taken = [entry for entry, _ in db.xreadgroup("crm", "one", {stream: ">"})[0][1]]
    refused(run("purge", "outcomes", "--yes"), 1, "crm")
    db.xack(stream, "crm", *taken)
    assert read(run("purge", "outcomes", "--yes", "--json"))["deleted"] == 3


# progress
