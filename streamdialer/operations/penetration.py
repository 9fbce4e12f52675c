"""How much of a campaign's list was tried and reached, by the number of the attempt."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys

COUNTED: Final = 10
"""Attempts that are counted each by its number; the last one counts all later ones (`lua/lib/attempts.lua`)."""
_FIELDS: Final = [f"{what}:{number}" for number in range(1, COUNTED + 1) for what in ("tried", "reached")]


class AttemptCount(msgspec.Struct, frozen=True, kw_only=True):
    """The attempts of one number."""

    attempt: int
    tried: int
    reached: int
    """Answered by a person whom an agent took."""


async def penetration(client: Redis, keys: Keys, campaign: str) -> list[AttemptCount]:
    """One row per number of an attempt, as far as there were any; raises redis.RedisError.

    `tried` of the first row counts contacts; that of each later row those of them who were called again.
    """
    values: Any = await client.hmget(keys.totals(campaign), _FIELDS)
    rows = [
        AttemptCount(attempt=1 + at // 2, tried=int(values[at] or 0), reached=int(values[at + 1] or 0))
        for at in range(0, len(values), 2)
    ]
    while rows and not rows[-1].tried:
        rows.pop()
    return rows
