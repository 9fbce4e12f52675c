"""In a child process: counts and logs the points it passes, and kills the process at the target."""

from __future__ import annotations

import os
import signal
from collections import Counter
from contextvars import ContextVar
from pathlib import Path
from typing import Final

import msgspec

from bench.crash.crash_points import ChildCommand, Crash, Effect, When

DUTY: Final[ContextVar[str]] = ContextVar("duty", default="start-up")
"""The purpose of the running task: the stage whose entry it handles, the sweeper, a reader …"""
SHARED: Final = frozenset({"start-up", "scripts"})
"""Duties that every process has: the names of their points include the role."""


class Probe:
    """One per process."""

    def __init__(self, command: ChildCommand) -> None:
        self._command = command
        self._passed: Counter[str] = Counter()
        self._log = os.open(command.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if command.log else None
        self.open_calls: set[str] = set()
        """Attempts whose handler has called `mark_sent` and is not done."""

    def pass_point(self, effect: Effect, when: When) -> None:
        """Counts the point; does not return when it is the target."""
        duty = effect.duty or DUTY.get()
        if self._command.role == "producer" or duty in SHARED:
            duty = f"{self._command.role} {duty}"
        point = f"{duty}: {effect.name}, {when}"
        self._passed[point] += 1
        if self._log is not None:
            os.write(self._log, f"{point}\t{effect.code}\n".encode())
        target = self._command.target
        if target and point == target.point and self._passed[point] >= target.occurrence:
            self._die(point, Path(target.marker))

    def _die(self, point: str, marker: Path) -> None:
        try:
            file = os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except FileExistsError:  # another process has crashed already
            return
        os.write(file, msgspec.json.encode(Crash(point, len(self.open_calls))))
        os.kill(os.getpid(), signal.SIGKILL)
