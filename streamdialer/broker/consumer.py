"""One consumer of one stream: it reads no more entries than it may work on, and loses none, whatever fails.

After a start and after any failed read, it reads its own pending entries again. It takes over what other consumers left
idle, and renews the lease of what it works on. An entry that is done is acknowledged and deleted together. An entry
that can never be handled becomes a dead letter.

Deliveries are counted where an entry may have killed its process: at the first reading after a start, and when it is
taken over. Reading again what a failed read may have delivered does not count, however long replies are lost.

An entry that kills its process takes all entries with it that were delivered beside it. So the last delivery of each is
counted when it is begun, and it is then the only one in work: those that never killed a process are not buried.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final, Literal

import anyio
from anyio.abc import TaskGroup
from redis.exceptions import RedisError

from streamdialer.broker.concurrency import ConcurrencyLimit
from streamdialer.broker.connection import NO_FAULT, TRANSIENT, may_pass
from streamdialer.broker.consumer_group import ConsumerGroup, RedeliveredRow, Row
from streamdialer.broker.entries import BadEntry, Entry
from streamdialer.broker.scripts import backoff_s
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.errors import StreamdialerError, Unreachable
from streamdialer.observability.metrics import ENTRIES, ENTRY_SECONDS

log = logging.getLogger(__name__)
Handler = Callable[[Entry], Awaitable[None]]
Outcome = Literal["done", "dead", "again", "failed"]
READ_BATCH: Final = 200
EMPTY_FOR_S: Final = 0.1
"""For this long after a read that found nothing, the stream counts as having little to read."""
HELD_BYTES: Final = 32 * 1024 * 1024
"""While the entries that a consumer works on have this size together, it reads no more."""
DRAIN_FRACTION: Final = 0.7
"""Part of the shutdown timeout in which handlers may finish. In the rest, unfinished entries are handed back."""
HANDED_BACK_IDLE_MS: Final = 86_400_000
"""An entry marked as idle for this long is taken over by the next consumer that looks."""
FINISH_S: Final = 2.0
LEAVE_S: Final = 1.0
REPAIR_EVERY_S: Final = 5.0


class StreamConsumer:
    """Runs `handle` for each entry of the group's stream; `handle` returns when the entry is done.

    It raises BadEntry for an entry that can never be handled. Any other error leaves the entry pending: the next
    consumer that takes it over handles it again, and after `max_deliveries` it becomes a dead letter.
    """

    def __init__(
        self,
        group: ConsumerGroup,
        handle: Handler,
        concurrency: ConcurrencyLimit,
        shutdown: ShutdownSignal,
        *,
        read_block_s: float,
        claim_min_idle_s: float,
        max_deliveries: int,
        idle_consumer_ttl_s: float,
    ) -> None:
        self._group = group
        self._handle = handle
        self._concurrency = concurrency
        self._shutdown = shutdown
        self._read_block_ms = round(read_block_s * 1000)
        self._claim_min_idle_s = claim_min_idle_s
        self._max_deliveries = max_deliveries
        self._idle_consumer_ttl_s = idle_consumer_ttl_s
        self._held: dict[str, int] = {}
        """The size of each entry that is worked on."""
        self._done: list[str] = []
        """Held entries that are done and not acknowledged yet."""
        self._suspects: set[str] = set()
        """Held entries that wait for their last delivery, which they have alone. Meanwhile, only new ones are read."""
        self._is_done = anyio.Event()
        self._acknowledging = anyio.Lock()
        self._own_after: str | None = "0"
        """Own pending entries after this id are still to be read again; None when that is done."""
        self._own_counts = True
        """Reading own pending entries is a delivery: an earlier process of this name may have died of them."""
        self._take_over_at = 0.0
        self._take_over_from = "0-0"
        self._was_empty_at = -EMPTY_FOR_S
        self._remove_idle_at = 0.0
        self.stream = group.stream
        self._stage = self.stream.rpartition(":")[2]
        self._seconds = ENTRY_SECONDS.labels(self._stage)

    async def serve(self, shutdown_timeout_s: float) -> None:
        """Works until the shutdown, then finishes or hands back what it holds within `shutdown_timeout_s`.

        It waits no longer than that for a Redis that is away.
        """
        deadline = anyio.CancelScope()
        async with anyio.create_task_group() as meanwhile:
            meanwhile.start_soon(self._extend_held_leases)
            meanwhile.start_soon(self._acknowledge_until_stopped)
            meanwhile.start_soon(self._repair_until_stopped)
            meanwhile.start_soon(self._end_after_stop, deadline, shutdown_timeout_s * DRAIN_FRACTION)
            with deadline:
                async with anyio.create_task_group() as handling:
                    await self._read_until_stopped(handling)
            with anyio.CancelScope(shield=True), anyio.move_on_after(FINISH_S):
                await self._acknowledge_done()
            meanwhile.cancel_scope.cancel()
        await self._deregister()

    async def _end_after_stop(self, deadline: anyio.CancelScope, seconds: float) -> None:
        await self._shutdown.wait_stopping()
        deadline.deadline = anyio.current_time() + seconds

    async def _read_until_stopped(self, handling: TaskGroup) -> None:
        failures = 0
        while not self._shutdown.stopping:
            free = self._concurrency.free
            if not free:
                self._concurrency.scale_up()
            if not free or sum(self._held.values()) >= HELD_BYTES:
                await self._concurrency.wait_for_change(self._read_block_ms / 1000)
                continue
            try:
                entries = await self._next_entries(min(free, READ_BATCH))
            except (RedisError, *TRANSIENT) as error:
                self._own_after, self._own_counts = "0", False
                if "NOGROUP" in str(error) and await self._group.create():
                    continue
                if failures == 0:
                    log.error(
                        "cannot read the stream, trying again until it works",
                        extra={"stream": self.stream, "error": str(error)},
                    )
                await self._shutdown.sleep(backoff_s(failures))
                failures += 1
                continue
            if failures:
                log.warning("reading the stream again", extra={"stream": self.stream, "tries": failures})
                failures = 0
            for entry in entries:
                self._held[entry.id] = sum(len(name) + len(value) for name, value in entry.fields.items())
                if self._is_last_delivery(entry):
                    self._suspects.add(entry.id)
                    handling.start_soon(self._work_on_suspect, entry)
                else:
                    self._concurrency.acquire()
                    handling.start_soon(self._work_on, entry)

    async def _next_entries(self, count: int) -> list[Entry]:
        if self._own_after is not None and not self._suspects:
            return await self._own_pending(self._own_after, count)
        now = monotonic()
        if now >= self._take_over_at and not self._suspects:
            entries = await self._autoclaim(count)
            if self._take_over_from == "0-0":
                self._take_over_at = now + self._claim_min_idle_s / 3
            if entries:
                return entries
        if now >= self._remove_idle_at:
            self._remove_idle_at = now + self._idle_consumer_ttl_s / 2
            await self._group.remove_idle_consumers(self._idle_consumer_ttl_s)
        rows = await self._new(count)
        entries = [Entry(entry, fields) for entry, fields in rows if fields]
        if len(entries) == count:
            self._concurrency.scale_up()
        elif not entries:
            self._concurrency.scale_down()
        return entries

    async def _new(self, count: int) -> list[Row]:
        """Only a stream that was empty a moment ago is read without a bound on bytes: that takes one command."""
        now = monotonic()
        rows: list[Row] = []
        if now - self._was_empty_at > EMPTY_FOR_S:
            is_empty, rows = await self._group.read_new(count)
            if is_empty:
                self._was_empty_at = now
        if not rows:
            rows = await self._group.wait_for_new(count, self._read_block_ms)
            is_empty = len(rows) < count
            self._was_empty_at = monotonic() if is_empty else -EMPTY_FOR_S
        return rows

    async def _own_pending(self, after: str, count: int) -> list[Entry]:
        self._own_after, rows = await self._group.read_own(
            after, count, is_delivery=self._own_counts, last_delivery=self._max_deliveries
        )
        self._own_counts = self._own_counts and self._own_after is not None
        return await self._filter_redelivered(rows)

    async def _autoclaim(self, count: int) -> list[Entry]:
        min_idle_ms = round(self._claim_min_idle_s * 1000)
        more_after, rows = await self._group.autoclaim(
            self._take_over_from, min_idle_ms, count, last_delivery=self._max_deliveries
        )
        self._take_over_from = more_after or "0-0"
        entries = await self._filter_redelivered(rows)
        if entries:
            log.info(
                "took over entries of another consumer", extra={"stream": self.stream, "count": len(entries)}
            )
        return entries

    async def _filter_redelivered(self, rows: list[RedeliveredRow]) -> list[Entry]:
        """Redelivered rows as entries, without those already held, deleted, or delivered too often."""
        rows = [row for row in rows if row[0] not in self._held]
        deleted = [entry for entry, fields, _ in rows if not fields]
        if deleted:
            await self._group.acknowledge(deleted)
        redelivered = [Entry(entry, fields, deliveries) for entry, fields, deliveries in rows if fields]
        for entry in redelivered:
            if entry.deliveries > self._max_deliveries:
                await self._bury(
                    entry,
                    "never_finished",
                    f"delivered {entry.deliveries} times and never finished: its handler may kill the process",
                )
        return [entry for entry in redelivered if entry.deliveries <= self._max_deliveries]

    def _is_last_delivery(self, entry: Entry) -> bool:
        return 1 < entry.deliveries == self._max_deliveries

    async def _work_on_suspect(self, entry: Entry) -> None:
        """It takes a place when its turn comes: the stage goes on with new entries, however many suspects wait."""
        is_lost = False
        try:
            async with self._shutdown.isolation.alone():
                is_lost = bool(await self._group.extend_lease([entry.id], 0, entry.deliveries))
                if not is_lost:
                    self._suspects.discard(entry.id)
                    self._concurrency.acquire()
                    await self._work_on(entry)
                    # before the next one begins: else this one is buried too if the process dies of that
                    await self._acknowledge_done()
        finally:
            if entry.id in self._suspects:
                self._suspects.discard(entry.id)
                self._held.pop(entry.id, None)
                if not is_lost and self._shutdown.stopping:
                    await self._hand_back(entry, HANDED_BACK_IDLE_MS, entry.deliveries - 1)

    async def _work_on(self, entry: Entry) -> None:
        outcome: Outcome = "again"
        is_away, began = False, monotonic()
        self._shutdown.activity.begin(self._stage, entry)
        try:
            outcome, is_away = await self._try_to_handle(entry)
        finally:
            self._seconds.observe(monotonic() - began)
            ENTRIES.labels(self._stage, outcome).inc()
            self._shutdown.activity.end(self._stage, entry, outcome)
            is_stopping = self._shutdown.stopping
            try:
                if outcome == "done":
                    self._done.append(entry.id)
                    self._is_done.set()
                elif outcome != "dead" and (is_away or is_stopping):  # not the entry's fault: no delivery
                    idle_ms = HANDED_BACK_IDLE_MS if is_stopping else 0
                    has_survived = is_away and self._is_last_delivery(entry)
                    await self._hand_back(entry, idle_ms, 0 if has_survived else entry.deliveries - 1)
            finally:
                if outcome == "done":
                    self._held[entry.id] = 0
                else:
                    self._held.pop(entry.id, None)
                self._concurrency.release()
                self._shutdown.count_entry()

    async def _hand_back(self, entry: Entry, idle_ms: int, deliveries: int) -> None:
        try:
            with anyio.CancelScope(shield=True), anyio.move_on_after(FINISH_S):
                await self._group.extend_lease([entry.id], idle_ms, deliveries)
        except RedisError as error:
            log.warning(
                "entry could not be handed back, it is delivered again later",
                extra={"stream": self.stream, "entry": entry.id, "error": str(error)},
            )

    async def _acknowledge_until_stopped(self) -> None:
        while True:
            await self._is_done.wait()
            self._is_done = anyio.Event()
            await self._acknowledge_done()

    async def _acknowledge_done(self) -> None:
        """Acknowledges at once all entries that became done while the ones before them were acknowledged."""
        async with self._acknowledging:
            while self._done:
                done = self._done[:READ_BATCH]
                try:
                    await self._group.acknowledge(done)
                except RedisError as error:
                    log.warning(
                        "entries could not be acknowledged, they are delivered again",
                        extra={"stream": self.stream, "entries": " ".join(done), "error": str(error)},
                    )
                del self._done[: len(done)]  # not before: a shutdown may end this try, and makes another
                for entry in done:
                    self._held.pop(entry, None)

    async def _try_to_handle(self, entry: Entry) -> tuple[Outcome, bool]:
        """What became of the entry, and whether a server was away; no entry raises an error here."""
        try:
            if self._is_last_delivery(entry):
                await self._handle(entry)
            else:
                await self._shutdown.isolation.wait_open()
                with self._shutdown.isolation.beside_others():
                    await self._handle(entry)
        except BadEntry as bad:
            return await self._bury(entry, bad.reason, bad.detail), False
        except Exception as error:
            if isinstance(error, StreamdialerError) or may_pass(error):
                log.warning(
                    "entry could not be handled now, it is delivered again",
                    extra={"stream": self.stream, "entry": entry.id, "error": str(error)},
                )
                return "again", may_pass(error) or isinstance(error, Unreachable)
            log.exception("handler failed", extra={"stream": self.stream, "entry": entry.id})
            if entry.deliveries < self._max_deliveries:
                return "failed", False
            return await self._bury(entry, "handler_failed", f"{type(error).__name__}: {error}"), False
        return "done", False

    async def _bury(self, entry: Entry, reason: str, detail: str) -> Outcome:
        try:
            await self._group.dead_letter(entry, reason, detail)
        except RedisError as error:
            log.warning(
                "entry could not be moved to the dead letters, it is delivered again",
                extra={"stream": self.stream, "entry": entry.id, "reason": reason, "error": str(error)},
            )
            return "again"
        return "dead"

    async def _repair_until_stopped(self) -> None:
        """Runs beside reading, because all handlers may be waiting for the stream that takes no entry."""
        while True:
            await anyio.sleep(REPAIR_EVERY_S)
            try:
                await self._group.repair()
            except RedisError as error:
                log.warning(
                    "could not check whether the streams take entries",
                    extra={"stream": self.stream, "error": str(error)},
                )

    async def _extend_held_leases(self) -> None:
        while True:
            await anyio.sleep(self._claim_min_idle_s / 3)
            in_work = [entry for entry in self._held if entry not in self._suspects]
            await self._renew(in_work, 1)
            await self._renew(list(self._suspects), self._max_deliveries - 1)

    async def _renew(self, entries: list[str], deliveries: int) -> None:
        for start in range(0, len(entries), READ_BATCH):
            lost = await self._group.extend_lease(entries[start : start + READ_BATCH], 0, deliveries)
            still_held = [entry for entry in lost if entry in self._held]
            if still_held:
                log.warning(
                    "another consumer took over entries that are still being handled here",
                    extra={"stream": self.stream, "count": len(still_held)},
                )

    async def _deregister(self) -> None:
        with anyio.CancelScope(shield=True), anyio.move_on_after(LEAVE_S):
            try:
                await self._group.remove(self._group.consumer)
            except NO_FAULT as error:
                log.warning(
                    "could not leave the consumer group; another consumer removes this one later",
                    extra={"stream": self.stream, "error": str(error)},
                )
