"""The most that each step may ask: what `python -m bench.counts` found, and room for how entries happen to gather.

Whoever makes the dialer ask less lowers the limit with it. Raise one only with a reason in the commit.
"""

from __future__ import annotations

from typing import Final

import msgspec

from bench.counts.measures import Counts

ROOM: Final = {
    "round_trips": 2.0,
    "ledger_calls": 1.1,
    "ledger_runs": 2.0,
    "ledger_bytes": 1.5,
    "other_commands": 2.0,
    "requests": 1.02,
}
"""How much of what was found a limit is. How many entries share a round trip, a run of a script or an
acknowledgement depends on the machine's pace."""

LIMITS: Final[dict[str, Counts]] = {
    "call": Counts(
        round_trips=0.152,
        ledger_calls=2.2,
        ledger_runs=3.0,
        ledger_bytes=1530.0,
        other_commands=0.092,
        requests=1.02,
    ),
    "update": Counts(
        round_trips=0.408,
        ledger_calls=2.2,
        ledger_runs=3.0,
        ledger_bytes=1290.0,
        other_commands=0.244,
        requests=2.04,
    ),
    "event": Counts(
        round_trips=0.296,
        ledger_calls=1.11,
        ledger_runs=1.51,
        ledger_bytes=1120.0,
        other_commands=0.212,
        requests=0.0,
    ),
    "first tick": Counts(
        round_trips=6.04,
        ledger_calls=9.87,
        ledger_runs=13.5,
        ledger_bytes=7770.0,
        other_commands=5.16,
        requests=3.06,
    ),
    "tick": Counts(
        round_trips=0.46,
        ledger_calls=4.4,
        ledger_runs=6.0,
        ledger_bytes=5150.0,
        other_commands=0.16,
        requests=0.0,
    ),
}


STEADY: Final = ("ledger_calls", "requests")
SLACK: Final = 0.7
"""A steady count below this part of its limit means that the limit keeps nothing, or that no work was done."""


def complaints(found: dict[str, Counts]) -> list[str]:
    """A sentence for each count that is over its limit, and for each steady one that is far below."""
    said = []
    for step, counts in found.items():
        for name, count in msgspec.structs.asdict(counts).items():
            limit = getattr(LIMITS[step], name)
            what = f"{step}: {count:.5g} {name.replace('_', ' ')} each, the limit is {limit:.5g}."
            if count > limit:
                said.append(
                    f"{what} Find what asks more than before (`python -m bench.counts` shows all counts), or raise the "
                    f"limit in bench/counts/limits.py and say why it is worth it"
                )
            elif name in STEADY and count < SLACK * limit:
                said.append(
                    f"{what} If all work is done, lower the limits: `python -m bench.counts --limits`"
                )
    return said


def with_room(counts: Counts) -> Counts:
    """The limit for such counts."""
    return Counts(
        **{name: float(f"{count * ROOM[name]:.3g}") for name, count in msgspec.structs.asdict(counts).items()}
    )
