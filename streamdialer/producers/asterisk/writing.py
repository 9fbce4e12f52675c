"""Writes what Asterisk says to the stream `events`; waits for Redis, and loses nothing but lists that got old."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final
from uuid import uuid4

import anyio
import msgspec
from redis.asyncio import Redis

from streamdialer.broker.connection import may_pass, server_ms
from streamdialer.broker.entries import StreamWriter
from streamdialer.broker.hangups import HangupRequests
from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Script, Scripts, backoff_s
from streamdialer.ledger.deadlines import longest_deadline_ms
from streamdialer.ledger.open_attempts import OpenAttempt, unanswered_attempts

log = logging.getLogger(__name__)
ADD_WHILE_FRESH: Final = Script("streamdialer.broker", "add_while_fresh")
FRESH_MS: Final = 3000
"""The ledger ends calls sent 5 s before a list was written that are not on it: it must not be much older."""
BATCH: Final = 500
LISTS: Final = ("calls", "agents")
MAX_LIST_BYTES: Final = 60_000
"""Of the items in one entry; an entry takes 64 kB."""

Event = dict[str, Any]


class EventWriter:
    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._client: Redis = scripts.client
        self._scripts = scripts
        self._writer = StreamWriter(self._client, keys)
        self._keys = keys
        self._stream = keys.stream("events")

    def hangup_requests(self) -> HangupRequests:
        return HangupRequests(self._client, self._keys)

    async def write(self, events: Sequence[Event]) -> None:
        """Writes them all; while Redis is away it tries again, so that an event may be written twice."""
        for at in range(0, len(events), BATCH):
            entries = [_entry(part) for event in events[at : at + BATCH] for part in parts_of(event)]
            failures = 0
            while True:
                try:
                    await self._writer.add_many("events", entries)
                    break
                except Exception as error:
                    if not may_pass(error):
                        raise
                    if not failures:
                        log.error("Redis takes no events, waiting for it", extra={"error": str(error)})
                    await anyio.sleep(backoff_s(failures))
                    failures += 1

    async def now_ms(self) -> int:
        """The server's clock; raises what the client raises."""
        return await server_ms(self._client)

    async def longest_deadline_ms(self) -> int:
        """From sending to the deadline of a silent attempt, of all campaigns the longest; 0 without any."""
        return await longest_deadline_ms(self._client, self._keys)

    async def unanswered_attempts(self, *, with_silent: bool) -> list[OpenAttempt]:
        return await unanswered_attempts(self._client, self._keys, with_silent=with_silent)

    async def write_fresh(self, event: Event, looked_at_ms: int) -> bool:
        """Writes the list, in all its parts; False, and nothing is written, when it is too old by now."""
        data = [_entry(part)["data"] for part in parts_of(event)]
        args = [looked_at_ms, FRESH_MS, event["type"], *data]
        return bool(await self._scripts.run(ADD_WHILE_FRESH, [self._stream], args))


def parts_of(event: Event) -> list[Event]:
    """The event, or a list that is too long for one entry in parts."""
    name = next((each for each in LISTS if each in event), None)
    items = event[name] if name else []
    if not name or len(_encoded(items)) <= MAX_LIST_BYTES:
        return [event]
    chunks: list[list[Any]] = [[]]
    size = 0
    for item in items:
        size += len(_encoded(item)) + 1
        if size > MAX_LIST_BYTES:
            chunks.append([])
            size = len(_encoded(item)) + 1
        chunks[-1].append(item)
    about = {"list_id": uuid4().hex, "parts": len(chunks)}
    return [{**event, name: chunk, **about, "part": part} for part, chunk in enumerate(chunks, 1)]


def _encoded(value: object) -> bytes:
    return msgspec.json.encode(value)


def _entry(event: Event) -> dict[str, str]:
    data = {name: value for name, value in event.items() if name != "type"}
    return {"type": event["type"], "data": _encoded(data).decode()}
