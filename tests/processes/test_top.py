"""`top` in a terminal: it fits, goes on when Redis was away, and leaves the terminal as it found it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis as blocking

from streamdialer.simulation.embedded_redis import EmbeddedServer

_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>]")


class Terminal:
    """A program at a terminal of 80 columns and 24 lines."""

    def __init__(self, ours: int, theirs: int, program: subprocess.Popen[bytes]) -> None:
        self.ours, self.theirs, self.program = ours, theirs, program
        self.written = b""

    def read(self, seconds: float) -> None:
        if select.select([self.ours], [], [], seconds)[0]:
            self.written += os.read(self.ours, 65536)

    def until(self, words: str, within_s: float = 20.0) -> str:
        """Reads on until it has written that, and returns what it wrote up to there."""
        deadline = time.monotonic() + within_s
        while words not in self.text:
            assert time.monotonic() < deadline, f"not written: {words!r}; written: {self.text[-3000:]}"
            assert self.program.poll() is None or self.text, "it ended"
            self.read(0.1)
        text, self.written = self.text, b""
        return text

    @property
    def text(self) -> str:
        return _CONTROLS.sub("", self.written.decode(errors="replace"))

    def end(self) -> int:
        """Its exit code; what it still writes is read, or it could not end."""
        deadline = time.monotonic() + 10
        while self.program.poll() is None:
            assert time.monotonic() < deadline, "it does not end"
            self.read(0.1)
        return self.program.returncode


@contextmanager
def terminal(url: str, *arguments: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**os.environ, "REDIS_URL": url, "TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES"):
        environment.pop(name, None)
    program = subprocess.Popen(
        [sys.executable, "-m", "streamdialer", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    try:
        yield Terminal(ours, theirs, program)
    finally:
        program.kill()
        program.wait()
        os.close(ours)
        os.close(theirs)


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    """A server that may be stopped, with a campaign that nobody dials."""
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
