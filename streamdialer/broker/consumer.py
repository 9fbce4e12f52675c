"""One consumer of one stream: reads no more than it has places for, and loses nothing whatever fails.

After a start and after any failed read it reads its own pending entries again; what other consumers left idle it takes
over; what it works on it renews; what is done is acknowledged and deleted together; what is hopeless is buried.

Deliveries are counted where an entry may have killed its process: at the first reading after a start and when it is
taken over. Reading again what a failed read may have delivered does not count, however long replies are lost.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from streamdialer.broker.concurrency import ConcurrencyLimit
from streamdialer.broker.connection import TRANSIENT
from streamdialer.broker.entries import BadEntry, Entry
from streamdialer.broker.keys import GROUP
from streamdialer.broker.scripts import Script, Scripts, backoff_s
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.errors import StreamdialerError, Unreachable
from streamdialer.observability.metrics import ENTRIES, ENTRY_SECONDS
from streamdialer.observability.redaction import mask_text

log = logging.getLogger(__name__)
Handler = Callable[[Entry], Awaitable[None]]

_PACKAGE: Final = "streamdialer.broker"
ACK_DELETE, DEAD_LETTER, EXTEND_LEASE, RESET_IDLE_TIME, REMOVE_CONSUMER, OWN_PENDING = (
    Script(_PACKAGE, name)
    for name in (
        "ack_delete",
        "dead_letter",
        "extend_lease",
        "reset_idle_time",
        "remove_consumer",
        "own_pending",
    )
)
READ_BATCH: Final = 200
DRAIN_FRACTION: Final = 0.7
"""Part of the grace period in which handlers may finish; the rest is for handing back what they could not."""
HANDED_BACK_IDLE_MS: Final = 86_400_000
"""An entry marked this idle is taken over by whoever looks next."""


class StreamConsumer:
    """Runs `handle` for each entry of `stream`; `handle` returns when the entry is done.

    It raises BadEntry for an entry that can never be handled. Any other error leaves the entry pending: it is
    delivered again, to whoever takes it over, and buried after `max_deliveries`.
    """

    def __init__(
        self,
        *,
        reader: Redis,
        scripts: Scripts,
        stream: str,
        dead: str,
        server: str,
        consumer: str,
        handle: Handler,
        places: ConcurrencyLimit,
        run: ShutdownSignal,
        read_block_s: float,
        claim_min_idle_s: float,
        max_deliveries: int,
        dead_letters_maxlen: int,
        forget_s: float,
    ) -> None:
        self._reader = reader
        self._scripts = scripts
        self.stream = stream
        self._dead = dead
        self._server = server
        self._consumer = consumer
        self._handle = handle
        self._places = places
        self._run = run
        self._read_block_ms = round(read_block_s * 1000)
        self._claim_min_idle_s = claim_min_idle_s
        self._max_deliveries = max_deliveries
        self._dead_letters_maxlen = dead_letters_maxlen
        self._forget_s = forget_s
        self._held: set[str] = set()
        self._own_after: str | None = "0"
        """Own pending entries after this id are still to be read again; None when that is done."""
        self._own_counts = True
        """Reading own pending entries is a delivery: an earlier process of this name may have died of them."""
        self._take_over_at = 0.0
        self._take_over_from = "0-0"
        self._forget_at = 0.0
        self._stage = stream.rpartition(":")[2]
        self._seconds = ENTRY_SECONDS.labels(self._stage)

    async def serve(self, shutdown_timeout_s: float) -> None:
        """Works until the run is stopped, then finishes or hands back what it holds within `shutdown_timeout_s`.

        A server that is away when the run is stopped is not waited for longer than that.
        """
        deadline = anyio.CancelScope()
        async with anyio.create_task_group() as meanwhile:
            meanwhile.start_soon(self._extend_held_leases)
            meanwhile.start_soon(self._end_after_stop, deadline, shutdown_timeout_s * DRAIN_FRACTION)
            with deadline:
                async with anyio.create_task_group() as handling:
                    await self._read_until_stopped(handling)
            meanwhile.cancel_scope.cancel()
        await self._deregister()

    async def _end_after_stop(self, deadline: anyio.CancelScope, seconds: float) -> None:
        await self._run.wait_stopping()
        deadline.deadline = anyio.current_time() + seconds

    async def _read_until_stopped(self, handling: TaskGroup) -> None:
        failures = 0
        while not self._run.stopping:
            free = self._places.free
            if not free:
                self._places.scale_up()
                await self._places.wait_for_change(self._read_block_ms / 1000)
                continue
            try:
                entries = await self._next_entries(min(free, READ_BATCH))
            except (RedisError, *TRANSIENT) as error:
                self._own_after, self._own_counts = "0", False
                if str(error).startswith("NOGROUP") and await self._create_group():
                    continue
                if failures == 0:
                    log.error("cannot read", extra={"stream": self.stream, "error": str(error)})
                await self._run.sleep(backoff_s(failures))
                failures += 1
                continue
            if failures:
                log.warning("reading again", extra={"stream": self.stream, "tries": failures})
                failures = 0
            for entry in entries:
                self._held.add(entry.id)
                self._places.acquire()
                handling.start_soon(self._work_on, entry)

    async def _create_group(self) -> bool:
        try:
            await self._reader.xgroup_create(self.stream, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            return "BUSYGROUP" in str(error)
        except TRANSIENT:
            return False
        log.info("created the consumer group", extra={"stream": self.stream})
        return True

    async def _next_entries(self, count: int) -> list[Entry]:
        if self._own_after is not None:
            return await self._own_pending(count)
        now = anyio.current_time()
        if now >= self._take_over_at:
            taken = await self._autoclaim(count)
            if self._take_over_from == "0-0":
                self._take_over_at = now + self._claim_min_idle_s / 3
            if taken:
                return taken
        if now >= self._forget_at:
            self._forget_at = now + self._forget_s / 2
            await self._remove_dead_consumers()
        delivered = await self._reader.xreadgroup(
            GROUP, self._consumer, {self.stream: ">"}, count=count, block=self._read_block_ms
        )
        entries = [Entry(entry, fields) for entry, fields in _rows(delivered) if fields]
        if len(entries) == count:
            self._places.scale_up()
        elif not entries:
            self._places.scale_down()
        return entries

    async def _own_pending(self, count: int) -> list[Entry]:
        assert self._own_after is not None
        after = self._own_after
        if self._own_counts:
            rows = _rows(
                await self._reader.xreadgroup(GROUP, self._consumer, {self.stream: after}, count=count)
            )
        else:
            found = await self._scripts.run(OWN_PENDING, [self.stream], [GROUP, self._consumer, after, count])
            rows = [(entry, dict(zip(fields[::2], fields[1::2], strict=True))) for entry, fields in found]
        self._own_after = rows[-1][0] if rows else None
        self._own_counts = self._own_counts and bool(rows)
        return await self._filter_redelivered(rows)

    async def _autoclaim(self, count: int) -> list[Entry]:
        await self._scripts.run(RESET_IDLE_TIME, [self.stream, self._server], [GROUP])
        answer: Any = await self._reader.xautoclaim(
            self.stream,
            GROUP,
            self._consumer,
            round(self._claim_min_idle_s * 1000),
            self._take_over_from,
            count=count,
        )
        self._take_over_from = answer[0]
        entries = await self._filter_redelivered([row for row in answer[1] if row[0] is not None])
        if entries:
            log.info("took over entries", extra={"stream": self.stream, "count": len(entries)})
        return entries

    async def _filter_redelivered(self, rows: list[tuple[str, dict[str, str] | None]]) -> list[Entry]:
        """Redelivered rows as entries: without those already in hand, deleted, or delivered too often."""
        rows = [row for row in rows if row[0] not in self._held]
        if not rows:
            return []
        gone = [entry for entry, fields in rows if not fields]
        if gone:
            await self._scripts.run(ACK_DELETE, [self.stream], [GROUP, *gone])
        pending: Any = await self._reader.xpending_range(
            self.stream, GROUP, rows[0][0], rows[-1][0], len(rows) + len(self._held) + 100, self._consumer
        )
        times = {item["message_id"]: int(item["times_delivered"]) for item in pending}
        entries = []
        for entry, fields in rows:
            deliveries = times.get(entry, 1)
            if not fields:
                continue
            if deliveries > self._max_deliveries:
                await self._dead_letter(
                    Entry(entry, fields, deliveries),
                    "never_finished",
                    f"delivered {deliveries} times and never finished: its handler may kill the process",
                )
            else:
                entries.append(Entry(entry, fields, deliveries))
        return entries

    async def _work_on(self, entry: Entry) -> None:
        finished, outcome, is_away, began = False, "again", False, anyio.current_time()
        self._run.activity.begin(self._stage, entry)
        try:
            await self._handle(entry)
            finished, outcome = True, "done"
        except BadEntry as bad:
            await self._dead_letter(entry, bad.reason, bad.detail)
            finished, outcome = True, "dead"
        except (*TRANSIENT, StreamdialerError) as error:
            is_away = isinstance(error, (*TRANSIENT, Unreachable))
            log.warning(
                "will try again", extra={"stream": self.stream, "entry": entry.id, "error": str(error)}
            )
        except Exception as error:
            outcome = "failed"
            log.exception("handler failed", extra={"stream": self.stream, "entry": entry.id})
            if entry.deliveries >= self._max_deliveries:
                await self._dead_letter(entry, "handler_failed", f"{type(error).__name__}: {error}")
                finished, outcome = True, "dead"
        finally:
            self._seconds.observe(anyio.current_time() - began)
            ENTRIES.labels(self._stage, outcome).inc()
            self._run.activity.end(self._stage, entry, outcome)
            try:
                with anyio.CancelScope(shield=True), anyio.move_on_after(2):
                    if finished:
                        await self._scripts.run(ACK_DELETE, [self.stream], [GROUP, entry.id])
                    elif is_away or self._run.stopping:  # not the entry's fault: this was no delivery
                        idle_ms = HANDED_BACK_IDLE_MS if self._run.stopping else 0
                        await self._extend_lease([entry.id], idle_ms, entry.deliveries - 1)
            finally:
                self._held.discard(entry.id)
                self._places.release()
                self._run.count_entry()

    async def _dead_letter(self, entry: Entry, reason: str, detail: str) -> None:
        log.error(
            "dead letter",
            extra={"stream": self.stream, "entry": entry.id, "reason": reason, "detail": mask_text(detail)},
        )
        await self._scripts.run(
            DEAD_LETTER,
            [self.stream, self._dead],
            [GROUP, entry.id, self._dead_letters_maxlen, reason, detail[:2000], entry.deliveries],
        )

    async def _extend_lease(self, entries: list[str], idle_ms: int, deliveries: int) -> list[str]:
        """Those that another consumer has taken over meanwhile."""
        args: list[str | int] = [GROUP, self._consumer, idle_ms, deliveries, *entries]
        try:
            return list(await self._scripts.run(EXTEND_LEASE, [self.stream], args))
        except ResponseError as error:  # the stream or its group has gone: nothing is left to renew
            log.warning("cannot renew", extra={"stream": self.stream, "error": str(error)})
            return []

    async def _extend_held_leases(self) -> None:
        while True:
            await anyio.sleep(self._claim_min_idle_s / 3)
            held = list(self._held)
            for at in range(0, len(held), READ_BATCH):
                lost = await self._extend_lease(held[at : at + READ_BATCH], 0, 1)
                still = [entry for entry in lost if entry in self._held]
                if still:
                    log.warning("entries were taken over", extra={"stream": self.stream, "count": len(still)})

    async def _remove_dead_consumers(self) -> None:
        consumers: Any = await self._reader.xinfo_consumers(self.stream, GROUP)
        for consumer in consumers:
            idle_ms = int(consumer["idle"])
            if (
                consumer["name"] != self._consumer
                and not consumer["pending"]
                and idle_ms > self._forget_s * 1000
            ):
                await self._scripts.run(REMOVE_CONSUMER, [self.stream], [GROUP, consumer["name"]])
                log.info(
                    "removed an idle consumer", extra={"stream": self.stream, "consumer": consumer["name"]}
                )

    async def _deregister(self) -> None:
        with anyio.CancelScope(shield=True), anyio.move_on_after(1):
            try:
                await self._scripts.run(REMOVE_CONSUMER, [self.stream], [GROUP, self._consumer])
            except (RedisError, *TRANSIENT, StreamdialerError) as error:
                log.warning("could not leave the group", extra={"stream": self.stream, "error": str(error)})


def _rows(answer: Any) -> list[tuple[str, dict[str, str] | None]]:
    """The entries in an XREADGROUP answer for one stream."""
    return [(entry, fields) for _, entries in answer or [] for entry, fields in entries]
