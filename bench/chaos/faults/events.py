"""Faults of the call events on their way to the stream, and malformed entries in the stream."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

import anyio
from redis.exceptions import RedisError

from bench.chaos import event_faults
from bench.chaos.environment import Environment
from bench.chaos.event_faults import EventFault

MARK: Final = "chaos"
"""Field of all malformed entries, to recognise them among the dead letters."""
Fields = dict[str, str | bytes]
MALFORMED: Final[tuple[tuple[str, Fields], ...]] = (
    ("broken_json", {"type": "call_answered", "data": '{"campaign_id": 1, "contact_id": 1'}),
    ("broken_json", {"type": "call_answered", "data": "[1, 2]"}),
    ("broken_json", {"type": "call_completed", "data": b"\xff\xfe{}"}),
    ("unknown_type", {"type": "call_teleported", "data": '{"campaign_id": 1, "contact_id": 1}'}),
    ("unknown_type", {"data": '{"campaign_id": 1, "contact_id": 1}'}),
    ("wrong_type", {"type": "call_failed", "data": '{"campaign_id": 1}'}),
    ("wrong_type", {"type": "call_answered", "data": '{"contact_id": 1}'}),
    ("wrong_type", {"type": "call_completed", "campaign_id": "1"}),
)
"""Each with the reason of its dead letter."""


async def apply_fault(environment: Environment, random: Random, build: Callable[[Random], EventFault]) -> str:
    """Events get the fault for a while; returns when the last of them has been written."""
    fault, seconds = build(random), random.uniform(2.0, 4.0)
    environment.event_faults.apply(fault)
    await anyio.sleep(seconds)
    environment.event_faults.apply(None)
    while environment.event_faults.held:  # noqa: ASYNC110 - a matter of two seconds
        await anyio.sleep(0.05)
    return f"for {seconds:.1f} s"


async def restart_source(environment: Environment, random: Random) -> str:
    """The event source is away for a while. It has not seen calls begin, reads how they ended, and lists those up."""
    seconds = random.uniform(2.0, 4.0)
    faults = environment.event_faults
    faults.apply(event_faults.only_ends(seconds))
    await anyio.sleep(seconds)
    faults.apply(None)
    while faults.held:  # noqa: ASYNC110 - a matter of four seconds
        await anyio.sleep(0.05)
    environment.centre.restart_event_source()
    return f"away for {seconds:.1f} s"


async def write_malformed(environment: Environment, random: Random) -> str:
    """Malformed entries between the others: each must become a dead letter and stop no consumer."""
    stream = environment.centre.keys.stream("events")
    entries = random.choices(MALFORMED, k=random.randint(4, 10))
    written = 0
    for reason, fields in entries:
        entry: Any = {**fields, MARK: "1"}  # redis-py wants a dict of a wider type
        try:
            await environment.client.xadd(stream, entry)
        except (RedisError, OSError):  # Redis may be down: one entry less
            continue
        finally:
            environment.malformed_injected[reason] = environment.malformed_injected.get(reason, 0) + 1
        written += 1
        await anyio.sleep(random.uniform(0, 0.2))
    return f"{written} entries"
