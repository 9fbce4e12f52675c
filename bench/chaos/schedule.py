"""When which fault comes: a pure function of the seed."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

import msgspec

from bench.chaos.faults import CATALOGUE

EVERY_S: Final = 10.0
"""Long enough that a fault is healed and its effect seen before the next one comes."""
REBUILDING_S: Final = 8.0
"""More after a fault of Redis: what may have been forgotten is waited out before anybody is dialed again."""
FIRST_S: Final = 3.0


class Planned(msgspec.Struct, frozen=True):
    """One fault to come."""

    at_s: float
    """Since the campaigns were started."""
    kind: str
    seed: str
    """Of everything that is drawn while it is injected."""


def plan(seed: int, seconds: float, kinds: Sequence[str]) -> list[Planned]:
    """All kinds in a random order, again and again; in a short run they come faster, and each once."""
    random = Random(f"{seed}:schedule")
    round_s = sum(_share_s(kind) for kind in kinds)
    pace = min(1.0, (seconds - FIRST_S) / round_s) if round_s else 1.0
    planned: list[Planned] = []
    at_s = FIRST_S
    while kinds:
        for kind in random.sample(kinds, len(kinds)):
            if len(planned) >= len(kinds) and (pace < 1 or at_s >= seconds):
                return planned
            planned.append(Planned(round(at_s, 3), kind, f"{seed}:{len(planned)}:{kind}"))
            at_s += pace * _share_s(kind) * random.uniform(0.8, 1.2)
    return planned


def _share_s(kind: str) -> float:
    """Until the next fault comes after one of this kind."""
    return EVERY_S + (REBUILDING_S if CATALOGUE[kind].victim == "redis" else 0.0)
