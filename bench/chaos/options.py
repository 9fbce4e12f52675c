"""The options of a chaos run, its world, and the settings of its processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from bench.without_guard import Guard
from streamdialer.config.settings import NAMES
from streamdialer.simulation.demo.options import DemoOptions, child_environment

CAMPAIGNS: Final = 2
"""Those that share the queue of the demo; two progressive and an agentless one come on top (`bench/chaos/world.py`)."""
AGENT_LIST_LAG_S: Final = 3.0
"""The backend's lists of agents are this old."""
CONTACTS_PER_AGENT: Final = 0.012
"""Contacts per agent and second of life: a few more than the agents can handle while faults are injected."""
CLAIM_MIN_IDLE_S: Final = 2.0
"""An entry idle for this long is taken over; a process that was stopped for longer finds its work taken over."""
MAX_CALL_DURATION_S: Final = 30.0
"""Fifteen times the mean talk at the default speed: calls of unknown state after a data loss are over by then."""
BREAKER_MAX_OPEN_S: Final = 3.0


class ChaosOptions(msgspec.Struct, frozen=True, kw_only=True):
    """One run with one seed."""

    seed: int = 0
    """For the simulated people, and for the time and the victim of each fault."""
    seconds: float = 600.0
    """How long faults are injected; the run takes a minute or two longer."""
    contacts: int | None = None
    """None: as many as the agents can handle."""
    agents: int = 10
    speed: float = 30.0
    """Seconds of life per second."""
    replicas: int = 3
    producers: int = 2
    only: tuple[str, ...] = ()
    """Kinds of faults; empty: all."""
    serial_api: bool = False
    """The Dialer API places calls one after the other, and answers 500 to placed calls."""
    without: Guard | None = None
    """The guard of the design that is removed from the dialer."""

    @property
    def contact_count(self) -> int:
        if self.contacts is not None:
            return self.contacts
        return max(100, round(CONTACTS_PER_AGENT * (self.agents + self.team) * self.speed * self.seconds))

    @property
    def team(self) -> int:
        """Agents of the progressive campaigns, on top of `agents`."""
        return max(2, self.agents // 2)

    @property
    def team_contacts(self) -> int:
        return self.contact_count * self.team // (self.agents + self.team)

    @property
    def as_demo(self) -> DemoOptions:
        """The same world and processes without faults."""
        return DemoOptions(
            mode="predictive",
            agents=self.agents,
            contacts=self.contact_count - self.team_contacts,
            campaigns=CAMPAIGNS,
            speed=self.speed,
            replicas=self.replicas,
            seed=self.seed,
        )


def chaos_environment(
    options: ChaosOptions, urls: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, str]:
    """The environment of replicas and producers; `urls` are settings by field name."""
    changes: dict[str, float] = {
        "claim_min_idle_s": CLAIM_MIN_IDLE_S,
        "max_call_duration_s": MAX_CALL_DURATION_S,
        "breaker_max_open_s": BREAKER_MAX_OPEN_S,
    }
    environment = child_environment(options.as_demo, urls, environ)
    return environment | {NAMES[field]: str(value) for field, value in changes.items()}
