"""Call events spoilt on their way, and entries in their stream that nobody can read."""

from __future__ import annotations

from random import Random
from typing import Any, Final

import anyio
from redis.exceptions import RedisError

from bench.chaos.environment import Environment
from bench.chaos.event_faults import Spoil

MARK: Final = "chaos"
"""Field that all malformed entries carry, to know them again among the dead letters."""
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
"""With the reason each should be a dead letter for."""


async def spoilt(scene: Environment, spoil: Spoil, random: Random) -> str:
    """A stretch of spoilt events; returns when the last of them has been written."""
    seconds = random.uniform(2.0, 4.0)
    scene.distortion.spoil(spoil)
    await anyio.sleep(seconds)
    scene.distortion.spoil(None)
    while scene.distortion.held:  # noqa: ASYNC110 - a matter of two seconds
        await anyio.sleep(0.05)
    return f"for {seconds:.1f} s"


async def malformed(scene: Environment, random: Random) -> str:
    """Unreadable entries between the others; each must end as a dead letter and stop nobody."""
    stream = scene.centre.keys.stream("events")
    entries = random.choices(MALFORMED, k=random.randint(4, 10))
    written = 0
    for reason, fields in entries:
        entry: Any = {**fields, MARK: "1"}  # redis-py wants a dict of a wider type
        try:
            await scene.client.xadd(stream, entry)
        except (RedisError, OSError):  # Redis may be away: an entry fewer
            continue
        finally:
            scene.injected[reason] = scene.injected.get(reason, 0) + 1
        written += 1
        await anyio.sleep(random.uniform(0, 0.2))
    return f"{written} entries"
