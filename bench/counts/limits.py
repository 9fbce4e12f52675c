"""The most that each step may ask: what `python -m bench.counts` found, and room for how entries happen to gather.

When the dialer asks less, lower the limit. Raise a limit only with a reason in the commit message.
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
        round_trips=0.15,
        ledger_calls=2.2,
        ledger_runs=0.28,
        ledger_bytes=320.0,
        other_commands=0.085,
        requests=1.02,
    ),
    "update": Counts(
        round_trips=0.5,
        ledger_calls=2.2,
        ledger_runs=0.5,
        ledger_bytes=300.0,
        other_commands=0.3,
        requests=2.04,
    ),
    "event": Counts(
        round_trips=0.35,
        ledger_calls=1.11,
        ledger_runs=0.22,
        ledger_bytes=210.0,
        other_commands=0.25,
        requests=0.0,
    ),
    "first tick": Counts(
        round_trips=6.6,
        ledger_calls=12.2,
        ledger_runs=22.0,
        ledger_bytes=9100.0,
        other_commands=6.0,
        requests=3.06,
    ),
    "tick": Counts(
        round_trips=0.3,
        ledger_calls=1.11,
        ledger_runs=2.02,
        ledger_bytes=640.0,
        other_commands=0.18,
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
