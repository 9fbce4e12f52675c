"""`top` in a terminal: it fits, goes on when Redis was away, and leaves the terminal as it found it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from typing import Any

import pytest
import redis as blocking

from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.cli import KEYS, Run
from tests.support.terminal import terminal


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    """A server that may be stopped, with a campaign that no replica dials."""
    with EmbeddedServer() as server:
        with blocking.Redis.from_url(server.url) as client:
            client.hset("sd:campaigns", "7", "sales")
            client.hset("campaign:7", "status", "active")
        yield server


@pytest.mark.parametrize("end", ["q", "SIGINT", "SIGTERM"])
def test_it_shows_what_there_is_and_ends_cleanly(own_server: EmbeddedServer, end: str) -> None:
    with terminal(own_server.url, "top") as shown:
        before: list[Any] = termios.tcgetattr(shown.theirs)
        text = shown.until("updates")
        assert "Campaign 7 is active, but no tick has decided about it yet" in text
        assert max(map(len, text.splitlines())) <= 80
        if end == "q":
            os.write(shown.ours, b"q")
        else:
            shown.program.send_signal(signal.Signals[end])
        assert shown.end() == 0
        assert termios.tcgetattr(shown.theirs) == before


def test_while_redis_is_away_it_says_so_and_then_goes_on(own_server: EmbeddedServer) -> None:
    with terminal(own_server.url, "top") as shown:
        shown.until("updates")
        os.kill(own_server.pid, signal.SIGSTOP)
        try:
            shown.until("Redis does not answer; this is from")
        finally:
            os.kill(own_server.pid, signal.SIGCONT)
        with blocking.Redis.from_url(own_server.url) as client:
            client.hset("campaign:7", "status", "completed")
        shown.until("completed")
        shown.until("updates")  # a picture that is whole
        assert "does not answer" not in shown.until("updates")
        os.write(shown.ours, b"q")
        assert shown.end() == 0


def test_without_a_terminal_it_is_one_snapshot(own_server: EmbeddedServer) -> None:
    def run(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "streamdialer", "top", *arguments],
            env={**os.environ, "REDIS_URL": own_server.url},
            capture_output=True,
            check=True,
            text=True,
            timeout=30,
        ).stdout

    assert "Campaign 7 is active, but no tick has decided" in run()
    [campaign] = json.loads(run("--json"))["campaigns"]
    assert (campaign["campaign_id"], campaign["reason"]) == (7, "no_decisions")


def test_a_server_that_never_answered_is_an_error(own_server: EmbeddedServer) -> None:
    with terminal("redis://127.0.0.1:1", "top") as shown:
        assert shown.end() == 3
        assert "cannot be reached" in shown.text


def test_a_long_replay_shows_its_progress_on_a_terminal_only(
    server: EmbeddedServer, run: Run, db: Any
) -> None:
    pipe = db.pipeline()
    for number in range(9000):
        pipe.xadd(KEYS.stream("dead"), {"stream": KEYS.stream("events"), "entry": "1-0", "=n": number})
    pipe.execute()
    with terminal(server.url, "dead", "replay", "--all", "--json") as shown:
        shown.until("replaying", within_s=30)
        shown.until("/9000", within_s=30)
        shown.program.kill()
    result = run("dead", "replay", "--all")
    assert result.exit_code == 0
    assert "replaying" not in result.output
    assert db.xlen(KEYS.stream("events")) == 9000
