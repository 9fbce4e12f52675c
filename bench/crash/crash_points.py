"""A point: where a process may die. Named `duty: effect, when`, with the piece of code the effect belongs to."""

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
    """What of the code it is, for the coverage: `script:<sha>`, or names of gateway methods with commas."""
    duty: str = ""
    """Instead of the duty that runs."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where a process kills itself."""

    point: str
    occurrence: int
    """Counted in each process, from 1."""
    marker: str
    """A file that is made at the kill: while it exists nobody kills themselves any more."""


class ChildCommand(msgspec.Struct, frozen=True, kw_only=True):
    """What a child of the harness is told."""

    role: Literal["replica", "producer"]
    log: str = ""
    """A file that gets a line per point passed; '' keeps none."""
    target: Target | None = None
    without: tuple[str, ...] = ()
    """Guards of the design that are taken out."""


class Death(msgspec.Struct, frozen=True):
    """What the process wrote into the marker before it died."""

    point: str
    open_calls: int
    """Calls between their begin mark and the settlement of their reply."""


class RecordedPoints(msgspec.Struct):
    """What a recording run gives."""

    points: Counter[str] = msgspec.field(default_factory=Counter)
    """How often each point was passed."""
    codes: set[str] = msgspec.field(default_factory=set)


def read_passages(logs: list[Path]) -> RecordedPoints:
    """The lines of all children's logs, points in the order they were first passed."""
    found = RecordedPoints()
    for log in logs:
        for line in log.read_text("utf-8").splitlines():
            point, _, code = line.partition("\t")
            found.points[point] += 1
            found.codes.update(code.split(",") if code else ())
    return found
