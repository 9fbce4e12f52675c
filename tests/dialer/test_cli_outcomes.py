"""`outcomes`: what it prints of the stream of ended attempts, and how it follows it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
import redis as blocking

from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.cli import KEYS, UNREACHABLE, Run, ok, refused
from tests.support.eventually import wait_until


def add(db: Any, number: int, *, at: str = "*", **fields: Any) -> dict[str, Any]:
    data = {
        "attempt_id": f"7:{number}:1:m",
        "campaign_id": 7,
        "contact_id": number,
        "phone_number": "+573001234567",
        "call_id": "c",
        "agent_id": None,
        "disposition": "busy",
        "cause": "q850:17",
        "sent_at": "2026-03-01T10:00:00.000Z",
        "answered_at": None,
        "ended_at": "2026-03-01T10:00:30.000Z",
        "duration": None,
        "attempt": 1,
        "next_at": "2026-03-01T10:05:30.000Z",
        "final": False,
        **fields,
    }
    db.xadd(KEYS.outcomes, {"type": "attempt_ended", "data": json.dumps(data)}, id=at)
    return data


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_without_options_all_that_is_kept_is_printed_oldest_first(run: Run, db: Any) -> None:
    assert ok(run("outcomes")) == ""
    added = [add(db, number) for number in range(1100)]
    assert lines(ok(run("outcomes", "--json"))) == added
    assert ok(run("outcomes")).splitlines()[3].split("  ") == [
        "2026-03-01T10:00:30.000Z",
        "campaign 7",
        "contact 3",
        "+573001234567",
        "attempt 1",
        "busy (q850:17)",
        "next call 2026-03-01T10:05:30.000Z",
    ]


def test_the_line_of_a_talk_names_agent_and_duration(run: Run, db: Any) -> None:
    add(
        db,
        1,
        disposition="completed",
        cause=None,
        agent_id="PJSIP/1",
        duration=12.5,
        next_at=None,
        final=True,
    )
    parts = ok(run("outcomes")).strip().split("  ")
    assert parts[5:] == ["completed", "12.5 s", "agent PJSIP/1", "no further call"]


def test_only_one_campaign(run: Run, db: Any) -> None:
    add(db, 1, campaign_id="a b")
    own = add(db, 2, campaign_id="7")
    assert lines(ok(run("outcomes", "--json", "--campaign", "7"))) == [own]


def test_since_is_an_instant_or_an_age(run: Run, db: Any) -> None:
    add(db, 1, at="1772359200000-5")  # 2026-03-01T10:00:00Z
    second = add(db, 2, at="1772359201000-0")
    now = add(db, 3)
    for since in ("2026-03-01T10:00:01Z", "2026-03-01T11:00:01+01:00", "2026-03-01 10:00:01"):
        assert lines(ok(run("outcomes", "--json", "--since", since))) == [second, now]
    for since in ("15m", "30s", "2h"):
        assert lines(ok(run("outcomes", "--json", "--since", since))) == [now]
    assert len(lines(ok(run("outcomes", "--json", "--since", "1970-01-01")))) == 3
    for wrong in ("yesterday", "15", "-3m", "9999999999d x", ""):
        refused(run("outcomes", "--since", wrong), 2, "--since", "ISO 8601", "15m")


def test_an_entry_of_another_program_is_left_out(run: Run, db: Any) -> None:
    for fields in (
        {"x": "1"},
        {"type": "attempt_ended", "data": "{"},
        {"type": "attempt_ended", "data": "[]"},
    ):
        db.xadd(KEYS.outcomes, fields)
    assert lines(ok(run("outcomes", "--json"))) == []
    db.delete(KEYS.outcomes)


def test_a_server_that_is_away_is_exit_code_3(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", UNREACHABLE)
    refused(run("outcomes"), 3)


def test_followed_it_waits_for_a_server_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedServer(tcp=True, appendonly=True) as server:
        monkeypatch.setenv("REDIS_URL", server.url)
        command = [sys.executable, "-m", "streamdialer", "outcomes", "--follow", "--json", "--since", "1h"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                for number in (1, 2):
                    with blocking.Redis.from_url(server.url, decode_responses=True) as db:
                        added = add(db, number)
                        assert json.loads(process.stdout.readline()) == added
                    if number == 1:
                        server.kill()
                        assert "Redis is away" in process.stderr.readline()
                        server.restart()
                process.send_signal(signal.SIGTERM)
                assert process.wait(10) == 0
            finally:
                process.kill()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("since", [[], ["--since", "1h"]])
def test_followed_it_prints_what_comes_until_a_signal(
    run: Run, db: Any, sent: signal.Signals, since: list[str]
) -> None:
    before = add(db, 1)
    command = [sys.executable, "-m", "streamdialer", "outcomes", "--follow", "--json", *since]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: any(client["cmd"] == "xread" for client in db.client_list()))
            added = add(db, 2)
            assert process.stdout is not None
            first = [before] if since else []
            assert [json.loads(process.stdout.readline()) for _ in [*first, added]] == [*first, added]
            began = time.monotonic()
            process.send_signal(sent)
            assert process.wait(10) == 0
            assert time.monotonic() - began < 5
            assert process.stdout.read() == ""
        finally:
            process.kill()
