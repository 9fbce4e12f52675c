"""How long the silent attempts of campaigns are waited for, as the campaigns' pacing names it."""

from __future__ import annotations

from typing import Any

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys


class _Pacing(msgspec.Struct, frozen=True):
    deadline_ms: int | None = None


async def longest_deadline_ms(client: Redis, keys: Keys) -> int:
    """From sending to the deadline of a silent attempt, of all campaigns the longest; 0 when none names one."""
    queues: set[Any] = set(await client.hvals(keys.directory))
    async with client.pipeline(transaction=False) as pipe:
        for queue in queues:
            pipe.hvals(keys.queue_pacing(str(queue)))
        stored: list[list[Any]] = await pipe.execute()
    pacing = [msgspec.json.decode(raw, type=_Pacing) for each in stored for raw in each if raw]
    return max((each.deadline_ms or 0 for each in pacing), default=0)
