"""Inside a child: counts the points it passes, logs them, and kills the process at the one that was ordered."""

from __future__ import annotations

import os
import signal
from collections import Counter
from contextvars import ContextVar
from pathlib import Path
from typing import Final

import msgspec

from bench.crash.crash_points import ChildCommand, Death, Effect, When

DUTY: Final[ContextVar[str]] = ContextVar("duty", default="start-up")
"""What the running task is there for: the stage whose entry it handles, the sweeper, a reader …"""
SHARED: Final = frozenset({"start-up", "scripts"})
"""Duties that every process has: their points carry the role."""


class Probe:
    """One per process."""

    def __init__(self, orders: ChildCommand) -> None:
        self._orders = orders
        self._passed: Counter[str] = Counter()
        self._log = os.open(orders.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if orders.log else None
        self.open_calls: set[str] = set()
        """Entries of `calls` whose handler has asked for the begin mark and is not done."""

    def passes(self, effect: Effect, when: When) -> None:
        """Does not return when this is where the process has to die."""
        duty = effect.duty or DUTY.get()
        if self._orders.role == "producer" or duty in SHARED:
            duty = f"{self._orders.role} {duty}"
        point = f"{duty}: {effect.name}, {when}"
        self._passed[point] += 1
        if self._log is not None:
            os.write(self._log, f"{point}\t{effect.code}\n".encode())
        target = self._orders.target
        if target and point == target.point and self._passed[point] >= target.occurrence:
            self._die(point, Path(target.marker))

    def _die(self, point: str, marker: Path) -> None:
        try:
            file = os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except FileExistsError:  # somebody has died already
            return
        os.write(file, msgspec.json.encode(Death(point, len(self.open_calls))))
        os.kill(os.getpid(), signal.SIGKILL)
