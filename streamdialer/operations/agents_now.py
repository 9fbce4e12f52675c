"""The agents of queues: what each does now and since when, and today's calls and talk time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.ledger.records import AgentRecord

MAX_AGENTS: Final = 200
"""More are not read."""
MAX_QUEUES: Final = 50
HOUR_MS: Final = 3_600_000
Activity = Literal["talking", "wrapup", "free", "away"]
_ACTIVITIES: Final[dict[str, Activity]] = {
    "busy": "talking",
    "wrapup": "wrapup",
    "available": "free",
    "offline": "away",
}
_ORDER: Final = list(_ACTIVITIES.values())
_decode: Final = msgspec.json.Decoder(AgentRecord).decode


class AgentNow(msgspec.Struct, frozen=True, kw_only=True):
    """One agent; times are the server's ms."""

    agent: str
    activity: Activity
    """away: paused, logged out or not ready."""
    since: int | None
    queues: list[str]
    calls: int
    """Conversations that began since the day's beginning."""
    talk_s: float
    """Length of the conversations that ended since then, and of the one that goes on."""


async def agents_now(
    client: Redis, keys: Keys, queues: Mapping[str, int], now_ms: int, day_began_ms: int
) -> list[AgentNow]:
    """The agents of the queues, the busiest first: `MAX_AGENTS` at most, of `MAX_QUEUES` at most.

    `queues` has the number of agents of each. The day begins to the full hour. Raises redis.RedisError.
    """
    pipe, room = client.pipeline(transaction=False), MAX_AGENTS
    pipe.hget(keys.server, "clock_offset")
    for queue, agents in list(queues.items())[:MAX_QUEUES]:
        if room > 0:
            pipe.zrange(keys.queue_busy(queue), 0, room - 1)
            pipe.zrange(keys.queue_free(queue), 0, room - 1)
            room -= agents
    answers: Any = await pipe.execute()
    offset, *sets = answers
    names = list(dict.fromkeys(agent for each in sets for agent in each))[:MAX_AGENTS]
    stored: list[Any] = await client.hmget(keys.agents, names) if names else []
    found = [
        _agent_now(name, _decode(raw), int(offset or 0), now_ms, day_began_ms)
        for name, raw in zip(names, stored, strict=True)
        if raw
    ]
    return sorted(found, key=lambda each: (_ORDER.index(each.activity), each.since or 0, each.agent))


def _agent_now(agent: str, record: AgentRecord, offset: int, now_ms: int, day_began_ms: int) -> AgentNow:
    since = None if record.since_ms is None else round(record.since_ms) - offset
    calls = talk_ms = 0
    counted = map(int, record.talks.split())
    for hour, its_calls, its_talk_ms in zip(counted, counted, counted, strict=True):
        if hour * HOUR_MS - offset > day_began_ms - HOUR_MS:
            calls, talk_ms = calls + its_calls, talk_ms + its_talk_ms
    if record.state == "busy" and since is not None:
        talk_ms += max(0, now_ms - max(since, day_began_ms))
    return AgentNow(
        agent=agent,
        activity=_ACTIVITIES[record.state],
        since=since,
        queues=record.queues,
        calls=calls,
        talk_s=talk_ms / 1000,
    )


def day_totals(agents: Sequence[AgentNow]) -> tuple[int, float]:
    """Calls, and talk time in seconds, of all of them."""
    return sum(each.calls for each in agents), sum(each.talk_s for each in agents)
