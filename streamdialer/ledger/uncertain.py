"""Attempts whose fate is not known: nobody redials them; their events decide, or their deadline."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys

MAX_SHOWN: Final = 1000


class UncertainAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One call that may be up."""

    attempt: str
    contact: str
    why: Literal["no clear reply", "forgotten by Redis"]
    seconds_left: float
    """Until its deadline; negative when it has passed and no events of other calls have come since."""


class _Attempt(msgspec.Struct, frozen=True):
    id: str
    state: str = msgspec.field(name="s")
    verdict: str = msgspec.field(default="", name="v")


class _Record(msgspec.Struct, frozen=True):
    attempts: list[_Attempt] = msgspec.field(default_factory=list, name="h")


async def uncertain_attempts(client: Redis, keys: Keys, campaign: str) -> list[UncertainAttempt]:
    """Those of the campaign, the nearest deadline first, at most `MOST` of each kind; raises redis.RedisError."""
    pipe = client.pipeline(transaction=False)
    pipe.zrange(keys.dialing(campaign), 0, MAX_SHOWN - 1, withscores=True)
    pipe.zrange(keys.orphaned(campaign), 0, MAX_SHOWN - 1, withscores=True)
    pipe.hget(keys.server, "clock_offset")
    answers: list[Any] = await pipe.execute()
    unanswered, in_doubt, ahead = answers
    seconds, micros = await client.time()
    now_ms = seconds * 1000 + micros // 1000 + int(ahead or 0)
    deadlines = dict([*unanswered, *in_doubt])
    raw: list[Any] = await client.hmget(keys.records(campaign), list(deadlines)) if deadlines else []
    found = []
    for (contact, deadline), record in zip(deadlines.items(), raw, strict=True):
        attempts = msgspec.json.decode(record, type=_Record).attempts if record else []
        if not attempts:
            continue  # it ended between the two readings
        newest = attempts[-1]
        is_unclear = newest.state == "sent" and newest.verdict == "unknown"
        if is_unclear or newest.state == "orphaned":
            found.append(
                UncertainAttempt(
                    attempt=newest.id,
                    contact=contact,
                    why="no clear reply" if is_unclear else "forgotten by Redis",
                    seconds_left=round((deadline - now_ms) / 1000, 1),
                )
            )
    return sorted(found, key=lambda one: one.seconds_left)
