"""The formulas of fixed pacing: how many calls each of the dial modes allows for the free agents.

A level counts calls that are reserved or placed and not yet answered. The product of agents and ratio is truncated.
"""

from __future__ import annotations

import math
from typing import Final

from streamdialer.model import DialMode

_MAX_LEVEL: Final = 1_000_000_000
"""Above any real number of calls; an absurd ratio must not overflow."""


def level(mode: DialMode, agents: int, ratio: float) -> int:
    """Unanswered calls the mode allows for that many free agents; 0 where agents do not decide."""
    if agents <= 0 or mode in ("preview", "agentless"):
        return 0
    if mode == "progressive":
        return agents
    return max(0, int(min(agents * ratio, _MAX_LEVEL)))


def calls_per_agent(mode: DialMode, ratio: float) -> float:
    """How many unanswered calls one free agent stands for."""
    return ratio if mode in ("predictive", "power") else 1.0


def agents_for(calls: int, per_agent: float) -> int:
    """The smallest number of agents whose level is at least `calls`: the inverse of `level`."""
    if calls <= 0:
        return 0
    agents = math.ceil(min(calls / per_agent, _MAX_LEVEL))
    # Rounding may put the division and the product one agent apart.
    if int(agents * per_agent) < calls:
        return agents + 1
    return agents - 1 if int((agents - 1) * per_agent) >= calls else agents
