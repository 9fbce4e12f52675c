"""Stream entries: how they are written, and how a handler rejects one permanently."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys, Stream

MAX_ENTRY_BYTES: Final = 65_536
"""The largest entry that another program may write: names and values of its fields together."""

MAX_FIELDS_KEPT: Final = 1000
CUT_FIELDS, CUT_CHARACTERS = 20, 1000
"""What is kept of an entry that is larger than that."""


class Entry(msgspec.Struct, frozen=True):
    """One delivered entry."""

    id: str
    fields: dict[str, str]
    deliveries: int = 1


class BadEntry(Exception):
    """A handler raises it for an entry that can never be handled: the entry becomes a dead letter."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def entry_bytes(fields: dict[str, str]) -> int:
    """What the fields take in Redis, names and values together."""
    return sum(len(text.encode(errors="surrogateescape")) for pair in fields.items() for text in pair)


def kept_fields(fields: dict[str, str]) -> tuple[list[str], str]:
    """What a dead letter keeps of an entry's fields (name, value, …), and what was cut off, '' for nothing."""
    size = entry_bytes(fields)
    if size <= MAX_ENTRY_BYTES and len(fields) <= MAX_FIELDS_KEPT:
        return [text for pair in fields.items() for text in pair], ""
    first = list(fields.items())[:CUT_FIELDS]
    kept = [text[:CUT_CHARACTERS] for pair in first for text in pair]
    return kept, f"the entry had {len(fields)} fields and {size} bytes"


def check_size(entry: Entry) -> None:
    """Raises BadEntry for an entry that is larger than another program may write."""
    characters = sum(len(name) + len(value) for name, value in entry.fields.items())
    if 4 * characters <= MAX_ENTRY_BYTES:
        return
    size = entry_bytes(entry.fields)
    if size > MAX_ENTRY_BYTES:
        raise BadEntry("too_large", f"has {size} bytes, takes {MAX_ENTRY_BYTES} at most")


class StreamWriter:
    """Adds entries to the streams."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def add(self, stream: Stream, fields: dict[str, str]) -> str:
        """The new entry's id."""
        return str(await self._client.xadd(self._keys.stream(stream), _payload(fields)))

    async def add_many(self, stream: Stream, entries: list[dict[str, str]]) -> list[str]:
        """The new entries' ids, in one round trip."""
        pipe = self._client.pipeline(transaction=False)
        for fields in entries:
            pipe.xadd(self._keys.stream(stream), _payload(fields))
        return [str(entry) for entry in await pipe.execute()]


def _payload(fields: dict[str, str]) -> dict[Any, Any]:
    """The fields as the client's signature wants them."""
    return dict(fields)
