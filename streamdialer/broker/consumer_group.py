"""One consumer of a stream's group, as Redis knows it: how it reads, takes over, keeps and ends entries."""

from __future__ import annotations

import logging
from typing import Any, Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from streamdialer.broker.connection import TRANSIENT
from streamdialer.broker.entries import Entry, kept_fields
from streamdialer.broker.keys import GROUP, Keys, Stage
from streamdialer.broker.scripts import Script, Scripts
from streamdialer.observability.redaction import mask_text

log = logging.getLogger(__name__)
_PACKAGE: Final = "streamdialer.broker"
ACK_DELETE: Final = Script(_PACKAGE, "ack_delete")
DEAD_LETTER: Final = Script(_PACKAGE, "dead_letter")
EXTEND_LEASE: Final = Script(_PACKAGE, "extend_lease")
RESET_IDLE_TIME: Final = Script(_PACKAGE, "reset_idle_time")
REMOVE_CONSUMER: Final = Script(_PACKAGE, "remove_consumer")
REPAIR_STREAM: Final = Script(_PACKAGE, "repair_stream")
MOST_MOVED: Final = 500
"""Entries that one script call moves to the new stream."""
MOST_MOVED_BYTES: Final = 2_000_000
"""Bytes after which it moves no more; each text counts a hundred bytes more than it has."""
READ_ENTRIES: Final = Script(_PACKAGE, "read_entries")
READ_BYTES: Final = 8 * 1024 * 1024
"""Bytes after which a read ends: 128 entries of the largest size that other programs may write."""
Row = tuple[str, dict[str, str] | None]
"""An entry's id and fields; no fields when the entry has been deleted."""
RedeliveredRow = tuple[str, dict[str, str] | None, int]
"""A row with the number of its deliveries."""


class ConsumerGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Each method is one step at Redis; the order of the steps is the consumer's. They raise the client's errors."""

    reader: Redis
    """Blocks while it reads: a client of its own."""
    scripts: Scripts
    keys: Keys
    stage: Stage
    consumer: str
    dead_letters_maxlen: int
    dead_letters_max_bytes: int
    retention_ms: int = 0
    """How long entries that are done stay for other groups of the stream."""

    @property
    def stream(self) -> str:
        return self.keys.stream(self.stage)

    async def create(self) -> bool:
        """Whether the group exists now."""
        try:
            await self.reader.xgroup_create(self.stream, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            return "BUSYGROUP" in str(error)
        except TRANSIENT:
            return False
        log.info("created the consumer group", extra={"stream": self.stream})
        return True

    async def wait_for_new(self, count: int, block_ms: int) -> list[Row]:
        """New entries, as soon as there is one. Their size is not bounded: for a stream that was just read empty."""
        answer: Any = await self.reader.xreadgroup(
            GROUP, self.consumer, {self.stream: ">"}, count=count, block=block_ms
        )
        return [(entry, fields) for _, entries in answer or [] for entry, fields in entries]

    async def read_new(self, count: int) -> tuple[bool, list[Row]]:
        """New entries, and whether these are all."""
        more_after, rows = await self._read("new", "", count)
        return not more_after, [(entry, fields) for entry, fields, _ in rows]

    async def read_own(
        self, after: str, count: int, *, is_delivery: bool, last_delivery: int
    ) -> tuple[str | None, list[RedeliveredRow]]:
        """Own pending entries after an id, and the id from which to go on, None after the last one.

        The last delivery is not counted in Redis: `extend_lease` does it when the entry is begun.
        """
        kind = "own" if is_delivery else "seen"
        more_after, rows = await self._read(kind, after, count, last_delivery=last_delivery)
        return more_after or None, rows

    async def autoclaim(
        self, start: str, min_idle_ms: int, count: int, *, last_delivery: int
    ) -> tuple[str | None, list[RedeliveredRow]]:
        """Entries that others have left idle, and the id from which to look next, None after the last one.

        The last delivery is not counted in Redis: `extend_lease` does it when the entry is begun.
        """
        await self.scripts.run(RESET_IDLE_TIME, [self.stream, self.keys.server], [GROUP])
        more_after, rows = await self._read("idle", start, count, min_idle_ms, last_delivery)
        return more_after or None, rows

    async def _read(
        self, kind: str, after: str, count: int, min_idle_ms: int = 0, last_delivery: int = 0
    ) -> tuple[str, list[RedeliveredRow]]:
        """It is not repeated when its reply is lost: that would deliver other entries."""
        args = [GROUP, self.consumer, kind, after, count, READ_BYTES, min_idle_ms, last_delivery]
        answer: Any = self.reader.eval(READ_ENTRIES.source, 1, self.stream, *map(str, args))
        more_after, rows = await answer
        return more_after, [
            (entry, dict(zip(fields[::2], fields[1::2], strict=True)), deliveries)
            for entry, fields, deliveries in rows
        ]

    async def acknowledge(self, entries: list[str]) -> None:
        names = [self.stream, self.keys.events_retained]
        await self.scripts.run(ACK_DELETE, names, [GROUP, self.retention_ms, *entries])

    async def dead_letter(self, entry: Entry, reason: str, detail: str) -> None:
        kept, cut = kept_fields(entry.fields)
        log.error(
            "dead letter",
            extra={"stream": self.stream, "entry": entry.id, "reason": reason, "detail": mask_text(detail)},
        )
        await self.scripts.run(
            DEAD_LETTER,
            [self.stream, *self.keys.of_dead_letters, self.keys.events_retained],
            [
                GROUP,
                entry.id,
                self.dead_letters_maxlen,
                self.dead_letters_max_bytes,
                self.retention_ms,
                reason,
                detail[:2000],
                entry.deliveries,
                cut,
                *kept,
            ],
        )

    async def repair(self) -> None:
        """Makes the streams anew whose newest id is near the last possible one."""
        streams = {self.stage: self.stream, "dead": self.keys.stream("dead"), "previews": self.keys.previews}
        for stream, name in streams.items():
            answer = "more"
            while answer == "more":
                names = [name, self.keys.anew(stream), self.keys.events_retained]
                args: list[str | int] = [MOST_MOVED, MOST_MOVED_BYTES, GROUP]
                answer = str(await self.scripts.run(REPAIR_STREAM, names, args))
            if answer == "repaired":
                log.error(
                    "someone wrote an entry with the last possible id, after which a stream takes no other entry: "
                    "the stream was made anew, with its entries",
                    extra={"stream": stream},
                )

    async def extend_lease(self, entries: list[str], idle_ms: int, deliveries: int) -> list[str]:
        """Returns the entries that another consumer has taken over."""
        args: list[str | int] = [GROUP, self.consumer, idle_ms, deliveries, *entries]
        try:
            return list(await self.scripts.run(EXTEND_LEASE, [self.stream], args))
        except ResponseError as error:  # the stream or its group no longer exists
            log.warning(
                "cannot renew the lease of entries", extra={"stream": self.stream, "error": str(error)}
            )
            return []

    async def remove_idle_consumers(self, idle_s: float) -> None:
        """Removes the others that have nothing pending and have been idle for longer than that."""
        consumers: Any = await self.reader.xinfo_consumers(self.stream, GROUP)
        for other in consumers:
            is_idle = not other["pending"] and int(other["idle"]) > idle_s * 1000
            if is_idle and other["name"] != self.consumer:
                await self.remove(other["name"])
                log.info("removed an idle consumer", extra={"stream": self.stream, "consumer": other["name"]})

    async def remove(self, consumer: str) -> None:
        """Does nothing to a consumer that still has entries pending."""
        await self.scripts.run(REMOVE_CONSUMER, [self.stream], [GROUP, consumer])
