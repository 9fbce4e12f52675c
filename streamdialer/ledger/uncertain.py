"""Attempts that may or may not be calls. They are not dialed again; their events or their deadline decide."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.connection import server_ms
from streamdialer.broker.keys import Keys
from streamdialer.ledger.records import decode_contact

MAX_SHOWN: Final = 1000


class UncertainAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One call that may be up."""

    attempt: str
    contact: str
    why: Literal["no clear reply", "forgotten by Redis"]
    seconds_left: float
    """Until its deadline; negative while it has passed and no event of another call has come since."""


async def uncertain_attempts(client: Redis, keys: Keys, campaign: str) -> list[UncertainAttempt]:
    """The campaign's, the nearest deadline first, at most `MAX_SHOWN` of each kind; raises redis.RedisError."""
    pipe = client.pipeline(transaction=False)
    pipe.zrange(keys.dialing(campaign), 0, MAX_SHOWN - 1, withscores=True)
    pipe.zrange(keys.orphaned(campaign), 0, MAX_SHOWN - 1, withscores=True)
    pipe.hget(keys.server, "clock_offset")
    answers: list[Any] = await pipe.execute()
    dialing, orphaned, clock_offset = answers
    ledger_ms = await server_ms(client) + int(clock_offset or 0)
    deadlines = dict([*dialing, *orphaned])
    records: list[Any] = await client.hmget(keys.records(campaign), list(deadlines)) if deadlines else []
    uncertain = []
    for (contact, deadline), raw in zip(deadlines.items(), records, strict=True):
        newest = decode_contact(raw).newest if raw else None
        if newest is None:
            continue  # it ended between the two readings
        is_unclear = newest.state == "sent" and newest.verdict == "unknown"
        if is_unclear or newest.state == "orphaned":
            uncertain.append(
                UncertainAttempt(
                    attempt=newest.id,
                    contact=contact,
                    why="no clear reply" if is_unclear else "forgotten by Redis",
                    seconds_left=round((deadline - ledger_ms) / 1000, 1),
                )
            )
    return sorted(uncertain, key=lambda attempt: attempt.seconds_left)
