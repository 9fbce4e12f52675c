"""The schedule of the faults: a pure function of the seed."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

import msgspec

from bench.chaos.faults import CATALOGUE

INTERVAL_S: Final = 10.0
"""Long enough that a fault is healed and shows its effect before the next one."""
REBUILD_S: Final = 8.0
"""Extra time after a fault of Redis: the dialer waits for calls it may have lost before it dials again."""
FIRST_S: Final = 3.0


class PlannedFault(msgspec.Struct, frozen=True):
    """One fault of the schedule."""

    at_s: float
    """Since the start of the campaigns."""
    kind: str
    seed: str
    """For the random draws while it is injected."""


def plan(seed: int, seconds: float, kinds: Sequence[str]) -> list[PlannedFault]:
    """All kinds in random order, again and again; in a short run each comes once, and faster."""
    random = Random(f"{seed}:schedule")
    round_s = sum(_interval_after_s(kind) for kind in kinds)
    pace = min(1.0, (seconds - FIRST_S) / round_s) if round_s else 1.0
    planned: list[PlannedFault] = []
    at_s = FIRST_S
    while kinds:
        for kind in random.sample(kinds, len(kinds)):
            if len(planned) >= len(kinds) and (pace < 1 or at_s >= seconds):
                return planned
            planned.append(PlannedFault(round(at_s, 3), kind, f"{seed}:{len(planned)}:{kind}"))
            at_s += pace * _interval_after_s(kind) * random.uniform(0.8, 1.2)
    return planned


def _interval_after_s(kind: str) -> float:
    """Time until the next fault after one of this kind."""
    return INTERVAL_S + (REBUILD_S if CATALOGUE[kind].victim == "redis" else 0.0)
