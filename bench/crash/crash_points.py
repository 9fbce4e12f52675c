"""Crash points: where a process may be killed. Named `duty: effect, when`, with the code that has the effect."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

import msgspec

When = Literal["before", "after"]


class Effect(msgspec.Struct, frozen=True):
    """One effect on the world outside the process."""

    name: str
    """`mark_sent.lua`, `POST calls/originate (originate)`, `HGET (queue_of)`."""
    code: str = ""
    """For the coverage: `script:<sha>`, or names of gateway methods with commas between them."""
    duty: str = ""
    """Replaces the duty that is running."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where a process kills itself."""

    point: str
    occurrence: int
    """Counted in each process, from 1."""
    marker: str
    """A file that the process creates when it kills itself; while it exists no other process does."""


class ChildCommand(msgspec.Struct, frozen=True, kw_only=True):
    """What a child process has to do."""

    role: Literal["replica", "producer"]
    log: str = ""
    """A file that gets one line per passed point; '' for none."""
    target: Target | None = None
    without: tuple[str, ...] = ()
    """Guards of the design that are removed."""


class Crash(msgspec.Struct, frozen=True):
    """What the process writes into the marker before it dies."""

    point: str
    open_calls: int
    """Calls between `mark_sent` and `settle_originate`."""


class RecordedPoints(msgspec.Struct):
    """What a recording run passed."""

    points: Counter[str] = msgspec.field(default_factory=Counter)
    """How often each point was passed."""
    effects: set[str] = msgspec.field(default_factory=set)


def read_passages(logs: list[Path]) -> RecordedPoints:
    """The logs of all child processes, points in the order they were first passed."""
    recorded = RecordedPoints()
    for log in logs:
        for line in log.read_text("utf-8").splitlines():
            point, _, code = line.partition("\t")
            recorded.points[point] += 1
            recorded.effects.update(code.split(",") if code else ())
    return recorded
