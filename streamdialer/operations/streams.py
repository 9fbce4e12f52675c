"""What is in the streams and which consumers work on them; changes nothing."""

from __future__ import annotations

from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from streamdialer.broker.connection import server_ms
from streamdialer.broker.keys import GROUP, STAGES, STREAMS, Keys, Stream


class ConsumerState(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    pending: int
    idle_s: float


class GroupState(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer group of another program."""

    name: str
    consumers: int
    lag: int | None
    """Entries that no consumer of it has yet, those that have left the stream among them; None: the server does not
    say."""
    pending: int
    last_delivered: str
    """The id of the newest entry that one of its consumers has got."""


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    stream: str
    key: str
    length: int
    groups: int
    consumers: list[ConsumerState]
    lag: int
    """Entries that no consumer has yet."""
    pending: int
    """Entries that a consumer has and has not finished."""
    oldest_pending_s: float | None
    """Age of the oldest of those, since it was added."""
    read: int
    """Entries the group has read since it was made; 0 before Redis 7, which does not count them."""
    has_group: bool
    other_groups: list[GroupState]
    is_exhausted: bool
    """Its newest id is near the last possible one: it soon takes no entry any more."""


class PendingEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that a consumer has and has not finished."""

    stream: str
    id: str
    consumer: str
    idle_s: float
    deliveries: int


async def stream_states(client: Redis, keys: Keys) -> list[StreamState]:
    """Every stream, even one that does not exist yet. The dead letters have no group, outcomes only those of others."""
    now_ms = await server_ms(client)
    pipe = client.pipeline(transaction=False)
    for stream in STREAMS:
        key = keys.stream(stream)
        pipe.xlen(key)
        pipe.xinfo_groups(key)
        pipe.xinfo_consumers(key, GROUP)
        pipe.xpending_range(key, GROUP, "-", "+", 1)
        pipe.xinfo_stream(key)
    pipe.get(keys.events_retained)
    answers: list[Any] = await pipe.execute(raise_on_error=False)
    retained = int(answers.pop() or 0)
    return [
        _stream_state(
            keys.stream(stream),
            stream,
            now_ms,
            retained if stream == "events" else 0,
            *answers[5 * number : 5 * number + 5],
        )
        for number, stream in enumerate(STREAMS)
    ]


def _stream_state(
    key: str,
    stream: Stream,
    now_ms: int,
    retained: int,
    length: Any,
    groups: Any,
    consumers: Any,
    oldest: Any,
    info: Any,
) -> StreamState:
    if isinstance(length, Exception):
        raise length
    groups, consumers, oldest = map(_unless_missing, (groups, consumers, oldest))
    ours = next((group for group in groups if group["name"] == GROUP), None)
    pending = int(ours["pending"]) if ours else 0
    oldest_s = None
    if oldest:
        added_ms = int(oldest[0]["message_id"].partition("-")[0])
        oldest_s = max(0, now_ms - added_ms) / 1000
    # Finished entries are deleted, or counted when they stay for other groups: of the rest, what is not pending waits.
    # The server's own `lag` does not exist before Redis 7, and every deletion loses it.
    return StreamState(
        stream=stream,
        key=key,
        length=int(length),
        groups=len(groups),
        consumers=[
            ConsumerState(name=each["name"], pending=int(each["pending"]), idle_s=int(each["idle"]) / 1000)
            for each in consumers
        ],
        lag=max(0, int(length) - pending - retained) if stream in STAGES else 0,
        pending=pending,
        oldest_pending_s=oldest_s,
        read=int((ours or {}).get("entries-read") or 0),
        has_group=ours is not None,
        other_groups=[
            GroupState(
                name=group["name"],
                consumers=int(group["consumers"]),
                lag=None if group.get("lag") is None else int(group["lag"]),
                pending=int(group["pending"]),
                last_delivered=group["last-delivered-id"],
            )
            for group in groups
            if group is not ours
        ],
        is_exhausted=isinstance(info, dict) and len(info["last-generated-id"].partition("-")[0]) == 20,
    )


async def pending_entries(client: Redis, keys: Keys, count: int) -> list[PendingEntry]:
    """At most `count` pending entries, the oldest of each stream first."""
    pipe = client.pipeline(transaction=False)
    for stage in STAGES:
        pipe.xpending_range(keys.stream(stage), GROUP, "-", "+", count)
    answers: list[Any] = await pipe.execute(raise_on_error=False)
    entries = [
        PendingEntry(
            stream=stage,
            id=row["message_id"],
            consumer=row["consumer"],
            idle_s=int(row["time_since_delivered"]) / 1000,
            deliveries=int(row["times_delivered"]),
        )
        for stage, rows in zip(STAGES, answers, strict=True)
        for row in _unless_missing(rows)
    ]
    return entries[:count]


def _unless_missing(answer: Any) -> list[dict[str, Any]]:
    """A pipeline's answer, empty where the stream or its group does not exist (yet)."""
    if isinstance(answer, ResponseError) and ("no such key" in str(answer) or "NOGROUP" in str(answer)):
        return []
    if isinstance(answer, Exception):
        raise answer
    return list(answer)
