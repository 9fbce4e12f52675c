"""Writes what Asterisk says to the stream `events`; waits for Redis, and loses nothing but lists that got old."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

import anyio
import msgspec
from redis.asyncio import Redis

from streamdialer.broker.connection import may_pass, server_ms
from streamdialer.broker.entries import StreamWriter
from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Script, Scripts, backoff_s

log = logging.getLogger(__name__)
ADD_WHILE_FRESH: Final = Script("streamdialer.broker", "add_while_fresh")
FRESH_MS: Final = 3000
"""The ledger ends calls sent 5 s before a list was written that are not on it: it must not be much older."""
BATCH: Final = 500

Event = dict[str, Any]


class EventWriter:
    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._client: Redis = scripts.client
        self._scripts = scripts
        self._writer = StreamWriter(self._client, keys)
        self._stream = keys.stream("events")

    async def write(self, events: Sequence[Event]) -> None:
        """Writes them all; while Redis is away it tries again, so that an event may be written twice."""
        for at in range(0, len(events), BATCH):
            entries = [_entry(event) for event in events[at : at + BATCH]]
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

    async def write_fresh(self, event: Event, looked_at_ms: int) -> bool:
        """Whether it was written: not when it says what was so too long ago."""
        fields = [part for pair in _entry(event).items() for part in pair]
        return bool(
            await self._scripts.run(ADD_WHILE_FRESH, [self._stream], [looked_at_ms, FRESH_MS, *fields])
        )


def _entry(event: Event) -> dict[str, str]:
    data = {name: value for name, value in event.items() if name != "type"}
    return {"type": event["type"], "data": msgspec.json.encode(data).decode()}
