"""A consumer group of the stream `dialer:outcomes`, or of another one.

Each entry is handled at least once, also when its reader is killed.

All readers of a group share one consumer name, so each finds what another has taken and not finished.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from streamdialer.broker.keys import Keys

log = logging.getLogger(__name__)
CONSUMER: Final = "one"
OutcomeEntries = list[tuple[str, dict[str, str]]]
"""Ids and fields, oldest first."""


class OutcomeGroup(msgspec.Struct, frozen=True):
    """The methods raise the client's errors; NOGROUP among them when the group has gone."""

    client: Redis
    keys: Keys
    name: str
    stream: str = ""
    """The key of another stream than that of the outcomes."""

    @property
    def _key(self) -> str:
        return self.stream or self.keys.outcomes

    async def create(self, after: str = "0") -> None:
        """Makes the group if it does not exist; it begins after that entry: `0` the oldest, `$` the next one."""
        try:
            await self.client.xgroup_create(self._key, self.name, id=after, mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def read_new(self, count: int, block_ms: int) -> OutcomeEntries:
        """Entries that no reader has taken; waits for the first one."""
        entries: OutcomeEntries = await self._read(">", count, block_ms)
        return entries

    async def read_pending(self, after: str, count: int) -> OutcomeEntries:
        """Entries after this one that were taken and not acknowledged. Those that are gone are acknowledged."""
        while True:
            rows: list[tuple[str, dict[str, str] | None]] = await self._read(after, count, None)
            gone = [entry for entry, fields in rows if not fields]
            if gone:
                log.error(
                    "entries left the stream before they were handled, because it keeps only the newest",
                    extra={"stream": self._key, "group": self.name, "entries": len(gone)},
                )
                await self.acknowledge(gone)
            entries = [(entry, fields) for entry, fields in rows if fields]
            if entries or not rows:
                return entries
            after = rows[-1][0]

    async def _read(self, after: str, count: int, block_ms: int | None) -> Any:
        reply: Any = await self.client.xreadgroup(
            self.name, CONSUMER, {self._key: after}, count=count, block=block_ms
        )
        return reply[0][1] if reply else []

    async def has_abandoned(self, idle_ms: int) -> bool:
        """Whether an entry was taken that long ago and not acknowledged."""
        return bool(
            await self.client.xpending_range(self._key, self.name, "-", "+", 1, CONSUMER, idle=idle_ms)
        )

    async def acknowledge(self, entries: list[str]) -> None:
        await self.client.xack(self._key, self.name, *entries)
