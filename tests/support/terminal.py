"""A program at a terminal of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

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
        """Reads until the program has written these words; returns what it wrote up to there."""
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
        """Its exit code; reads the rest of its output, which would block it otherwise."""
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
