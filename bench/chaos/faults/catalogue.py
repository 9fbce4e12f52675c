"""Every fault by name: what it does, whom it occupies, and what Redis forgets by it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from typing import Final, Literal

import msgspec

from bench.chaos import event_faults
from bench.chaos.environment import Environment
from bench.chaos.faults import events, network, processes, redis_server, services

Forgets = Literal["nothing", "a second", "everything"]
Victim = Literal[
    "replica", "producer", "redis", "redis wire", "backend wire", "api wire", "backend", "api", "events"
]
Inject = Callable[[Environment, Random], Awaitable[str]]
"""Does it, heals it, and returns the particulars in words."""


class Fault(msgspec.Struct, frozen=True):
    """One kind."""

    victim: Victim
    """No two faults have one victim at the same time."""
    inject: Inject
    forgets: Forgets = "nothing"


def _spoilt(how: Callable[[Random], event_faults.Spoil]) -> Inject:
    async def inject(scene: Environment, random: Random) -> str:
        return await events.spoilt(scene, how(random), random)

    return inject


CATALOGUE: Final[dict[str, Fault]] = {
    "replica_killed": Fault("replica", partial(processes.killed, role="replica")),
    "replica_terminated": Fault("replica", partial(processes.terminated, role="replica")),
    "replica_stopped": Fault("replica", partial(processes.stopped, role="replica")),
    "producer_killed": Fault("producer", partial(processes.killed, role="producer")),
    "producer_terminated": Fault("producer", partial(processes.terminated, role="producer")),
    "producer_stopped": Fault("producer", partial(processes.stopped, role="producer")),
    "redis_killed": Fault("redis", redis_server.killed),
    "redis_stalled": Fault("redis", redis_server.stalled),
    "redis_lost_a_second": Fault("redis", redis_server.loses_a_second, "a second"),
    "redis_lost_everything": Fault("redis", redis_server.loses_everything, "everything"),
    "redis_flushed": Fault("redis", redis_server.flushed, "everything"),
    "redis_replies_lost": Fault("redis wire", network.redis_replies_lost),
    "redis_cut": Fault("redis wire", network.redis_cut),
    "backend_replies_lost": Fault("backend wire", network.backend_replies_lost),
    "backend_slow": Fault("backend wire", network.backend_slow),
    "backend_refused": Fault("backend wire", network.backend_refused),
    "backend_500": Fault("backend", partial(services.backend_answers, status=500)),
    "backend_502": Fault("backend", partial(services.backend_answers, status=502)),
    "api_replies_lost": Fault("api wire", network.api_replies_lost),
    "api_slow": Fault("api wire", network.api_slow),
    "api_cut": Fault("api wire", network.api_cut),
    "api_refused": Fault("api wire", network.api_refused),
    "api_500_placed": Fault("api", services.api_500_placed),
    "api_500_unplaced": Fault("api", services.api_500_unplaced),
    "api_dropped_placed": Fault("api", services.api_dropped_placed),
    "api_503": Fault("api", partial(services.api_refuses, status=503)),
    "api_429": Fault("api", partial(services.api_refuses, status=429)),
    "events_duplicated": Fault("events", _spoilt(event_faults.duplicated)),
    "events_reordered": Fault("events", _spoilt(event_faults.reordered)),
    "events_delayed": Fault("events", _spoilt(event_faults.delayed)),
    "events_nameless": Fault("events", _spoilt(event_faults.nameless)),
    "events_malformed": Fault("events", events.malformed),
}
KINDS: Final[tuple[str, ...]] = tuple(CATALOGUE)
