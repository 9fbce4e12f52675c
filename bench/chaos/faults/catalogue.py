"""Every kind of fault: what it does, what it acts on, and what Redis loses by it."""

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
    "replica", "producer", "redis", "redis link", "backend link", "api link", "backend", "api", "events"
]
Inject = Callable[[Environment, Random], Awaitable[str]]
"""Injects the fault, heals it, and returns the details in words."""


class Fault(msgspec.Struct, frozen=True):
    """One kind of fault."""

    victim: Victim
    """No two faults have the same victim at the same time."""
    inject: Inject
    forgets: Forgets = "nothing"
    misleads: bool = False
    """Agents may seem free who are not: their news is lost or comes in another order."""
    delays_updates: bool = False
    """A process that goes on may send an update after a newer one. The newest update is sent again then."""


CATALOGUE: Final[dict[str, Fault]] = {
    "replica_killed": Fault("replica", partial(processes.kill, role="replica")),
    "replica_terminated": Fault("replica", partial(processes.terminate, role="replica")),
    "replica_stopped": Fault("replica", partial(processes.stop, role="replica"), delays_updates=True),
    "producer_killed": Fault("producer", partial(processes.kill, role="producer")),
    "producer_terminated": Fault("producer", partial(processes.terminate, role="producer")),
    "producer_stopped": Fault("producer", partial(processes.stop, role="producer")),
    "records_expired": Fault("redis", redis_server.end_final_ttl),
    "redis_killed": Fault("redis", redis_server.kill),
    "redis_stalled": Fault("redis", redis_server.stall),
    "redis_lost_a_second": Fault("redis", redis_server.lose_a_second, "a second", misleads=True),
    "redis_lost_everything": Fault("redis", redis_server.lose_everything, "everything", misleads=True),
    "redis_flushed": Fault("redis", redis_server.flush, "everything", misleads=True),
    # 0.3: enough replies get through that everything is tried again and again.
    "redis_replies_lost": Fault("redis link", partial(network.lose_replies, link="redis_link", share=0.3)),
    "redis_cut": Fault("redis link", partial(network.cut, link="redis_link")),
    "backend_replies_lost": Fault(
        "backend link", partial(network.lose_replies, link="backend_link", share=0.7)
    ),
    "backend_slow": Fault("backend link", partial(network.slow, link="backend_link")),
    "backend_refused": Fault("backend link", partial(network.refuse, link="backend_link")),
    "backend_500": Fault("backend", partial(services.fail_backend, status=500)),
    "backend_502": Fault("backend", partial(services.fail_backend, status=502)),
    "backend_refuses_updates": Fault("backend", services.refuse_updates),
    "backend_ends_contacts": Fault("backend", services.end_contacts),
    "api_replies_lost": Fault("api link", partial(network.lose_replies, link="api_link", share=1.0)),
    "api_slow": Fault("api link", partial(network.slow, link="api_link")),
    "api_cut": Fault("api link", partial(network.cut, link="api_link")),
    "api_refused": Fault("api link", partial(network.refuse, link="api_link")),
    "api_500_placed": Fault("api", services.place_and_answer_500),
    "api_500_unplaced": Fault("api", services.answer_500),
    "api_dropped_placed": Fault("api", services.place_and_drop),
    "api_503": Fault("api", partial(services.refuse_api, status=503)),
    "api_429": Fault("api", partial(services.refuse_api, status=429)),
    "events_duplicated": Fault(
        "events", partial(events.apply_fault, build=event_faults.duplicate), misleads=True
    ),
    "events_reordered": Fault(
        "events", partial(events.apply_fault, build=event_faults.reorder), misleads=True
    ),
    "events_delayed": Fault("events", partial(events.apply_fault, build=event_faults.delay)),
    "events_without_call_id": Fault("events", partial(events.apply_fault, build=event_faults.drop_call_ids)),
    "event_source_restarted": Fault("events", events.restart_source),
    "events_malformed": Fault("events", events.write_malformed),
}
KINDS: Final[tuple[str, ...]] = tuple(CATALOGUE)
