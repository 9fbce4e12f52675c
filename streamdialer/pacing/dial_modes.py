"""What the four dial modes do with free agents: the formulas of the fixed pacing.

Levels count calls that are placed (or reserved) and not yet answered; `int()` truncates the product of agents
and ratio, floats as they come.
"""

from __future__ import annotations

import math
from typing import Final

from streamdialer.model import DialMode

_MOST: Final = 1_000_000_000
"""Above any number of calls; keeps an absurd ratio from overflowing."""


def level(mode: DialMode, agents: int, ratio: float) -> int:
    """Unanswered calls the mode allows that many free agents."""
    if agents <= 0 or mode == "preview":
        return 0
    if mode == "progressive":
        return agents
    return max(0, int(min(agents * ratio, _MOST)))


def calls_per_agent(mode: DialMode, ratio: float) -> float:
    """How many unanswered calls one free agent stands for."""
    return ratio if mode in ("predictive", "power") else 1.0


def agents_for(calls: int, per_agent: float) -> int:
    """The fewest agents whose level is at least `calls`: the inverse of `level`."""
    if calls <= 0:
        return 0
    agents = math.ceil(min(calls / per_agent, _MOST))
    # Division and product round apart, by one agent at most.
    if int(agents * per_agent) < calls:
        return agents + 1
    return agents - 1 if int((agents - 1) * per_agent) >= calls else agents


def calls_wanted(
    mode: DialMode,
    free_agents: int,
    pacing_ratio: float,
    unanswered: int,
    live: int,
    max_concurrent: int,
) -> int:
    """Calls to place now; never negative, and never more live calls than `max_concurrent`.

    `unanswered` are the calls placed and not yet answered or ended, `live` those and the connected ones.
    """
    room = max_concurrent - live
    return max(0, min(level(mode, free_agents, pacing_ratio) - unanswered, room))
