"""Posts every ended attempt to one address: in order per contact, again and again for a day, by one process at a time.

An entry is acknowledged when the address has taken it, or when it is given up. A process that takes over begins with
what the one before it had not acknowledged, so an outcome may come twice, with the same `webhook-id`.
"""

from __future__ import annotations

import hashlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import anyio
import msgspec
from anyio.abc import TaskGroup
from redis.asyncio.lock import Lock
from redis.exceptions import LockError, RedisError

from streamdialer.broker.connection import TRANSIENT
from streamdialer.broker.outcome_group import OutcomeEntries, OutcomeGroup
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.gateways.webhook import Answer, WebhookEndpoint
from streamdialer.observability.metrics import WEBHOOK_OLDEST, WEBHOOK_OUTCOMES, WEBHOOK_WAITING

log = logging.getLogger(__name__)
CONNECTIONS: Final = 32
"""Requests open at once, each of another contact."""
MAX_WAITING: Final = 10_000
"""Outcomes in memory; the others wait in the stream."""
BATCH: Final = 500
BLOCK_MS: Final = 1000
LEASE_S: Final = 30.0
"""For how long a process that stopped without a word keeps others from posting."""
RENEW_S: Final = 5.0
PAUSE_S: Final = 2.0
MIN_BACKOFF_S: Final = 1.0
MAX_BACKOFF_S: Final = 300.0


class Outcome(msgspec.Struct, frozen=True):
    entry: str
    """The id of its entry, which is the message's id, too."""
    body: bytes

    @property
    def age_s(self) -> float:
        """Since it was written, by the clocks of Redis and of this machine."""
        return max(0.0, time.time() - int(self.entry.partition("-")[0]) / 1000)


def group_name(url: str) -> str:
    """Each address has a consumer group of its own."""
    return f"streamdialer-webhooks-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def backoff_s(failures: int) -> float:
    """The pause after so many failures in a row: doubled each time, up to five minutes, and a fifth more or less."""
    pause_s = min(MAX_BACKOFF_S, MIN_BACKOFF_S * 2.0 ** min(failures - 1, 30))
    return pause_s * random.uniform(0.8, 1.2)


def read_entry(entry: str, fields: dict[str, str]) -> tuple[str, Outcome] | None:
    """The contact that it is about, and the message; None for an entry that is no outcome."""
    try:
        data = msgspec.json.decode(fields.get("data", ""))
        if fields.get("type") != "attempt_ended" or not isinstance(data, dict):
            return None
        written = datetime.fromtimestamp(int(entry.partition("-")[0]) / 1000, UTC)
        message = {"type": "attempt_ended", "timestamp": written, "data": data}
        contact = f"{data.get('campaign_id')}:{data.get('contact_id')}"
        return contact, Outcome(entry, msgspec.json.encode(message))
    except (msgspec.MsgspecError, ValueError, OverflowError, OSError):
        return None


async def _take_turn(lease: Lock) -> bool:
    """Whether this process is the one that posts: it still has the lease, or nobody has it."""
    try:
        return bool(await lease.reacquire())
    except LockError:
        return bool(await lease.acquire(blocking=False))


class WebhookDelivery:
    """Outcomes that are being posted to one address."""

    def __init__(
        self,
        group: OutcomeGroup,
        endpoint: WebhookEndpoint,
        shutdown: ShutdownSignal,
        *,
        retry_for_s: float,
        stop_within_s: float,
    ) -> None:
        self._group = group
        self._endpoint = endpoint
        self._shutdown = shutdown
        self._retry_for_s = retry_for_s
        self._stop_within_s = stop_within_s
        self._of_contact: dict[str, deque[Outcome]] = {}
        self._waiting: dict[str, Outcome] = {}
        self._done: list[str] = []
        """Entries to acknowledge."""
        self._has_done = anyio.Event()
        self._acknowledging = anyio.Lock()
        self._has_room = anyio.Event()
        self._places = anyio.Semaphore(CONNECTIONS)
        self._paused_until_s = 0.0
        self._given_up = 0
        self._is_failing = False

    async def run(self) -> None:
        """Until the stop. Waits for a Redis that goes away, and for its turn while another process posts."""
        client, keys = self._group.client, self._group.keys
        lease = client.lock(keys.webhooks_lease(self._group.name), LEASE_S, thread_local=False)
        is_new = True
        while not self._shutdown.stopping:
            try:
                await self._group.create("$" if is_new else "0")
                is_new = False  # a group that goes from now on went with the data of its Redis
                if await _take_turn(lease):
                    log.info("posts outcomes", extra={"group": self._group.name})
                    await self._post_while_leased(lease)
                    continue
            except (RedisError, *TRANSIENT) as error:
                log.error("webhooks wait: Redis cannot be read", extra={"error": str(error)})
            except ExceptionGroup as errors:
                expected, others = errors.split((RedisError, *TRANSIENT))
                if others is not None:
                    raise
                log.error("webhooks wait: Redis cannot be read", extra={"error": str(expected)})
            await self._shutdown.sleep(PAUSE_S)

    async def _post_while_leased(self, lease: Lock) -> None:
        """Until the stop, or until another process has the lease. The lease ends by itself if Redis goes away."""
        self._of_contact, self._waiting, self._done = {}, {}, []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._renew, lease, tasks.cancel_scope.cancel)
            tasks.start_soon(self._acknowledge)
            async with anyio.create_task_group() as posting:
                await self._read(posting)
                posting.cancel_scope.deadline = anyio.current_time() + self._stop_within_s
            await self._acknowledge_done()
            await lease.release()
            tasks.cancel_scope.cancel()

    async def _renew(self, lease: Lock, lose: Callable[[], None]) -> None:
        while True:
            await anyio.sleep(RENEW_S)
            try:
                await lease.reacquire()
            except LockError:
                log.warning("another process posts the outcomes now", extra={"group": self._group.name})
                return lose()
            WEBHOOK_OLDEST.set(max((each.age_s for each in self._waiting.values()), default=0.0))

    async def _acknowledge(self) -> None:
        """All that is done at a time in one round trip: a process that is killed meanwhile has them posted again."""
        while True:
            await self._has_done.wait()
            await self._acknowledge_done()

    async def _acknowledge_done(self) -> None:
        async with self._acknowledging:
            done, self._done, self._has_done = self._done, [], anyio.Event()
            if done:
                await self._group.acknowledge(done)

    def _finish(self, entry: str) -> None:
        self._done.append(entry)
        self._has_done.set()

    async def _read(self, posting: TaskGroup) -> None:
        after = "0"
        while after and not self._shutdown.stopping:  # what was taken before comes first
            pending = await self._group.read_pending(after, BATCH)
            await self._add(pending, posting)
            after = pending[-1][0] if pending else ""
        while not self._shutdown.stopping:
            await self._add(await self._group.read_new(BATCH, BLOCK_MS), posting)

    async def _add(self, entries: OutcomeEntries, posting: TaskGroup) -> None:
        for entry, fields in entries:
            found = read_entry(entry, fields)
            if found is None:
                log.warning("an entry is no outcome and is not posted", extra={"entry": entry})
                WEBHOOK_OUTCOMES.labels("unreadable").inc()
                self._finish(entry)
                continue
            contact, outcome = found
            self._waiting[entry] = outcome
            if contact in self._of_contact:
                self._of_contact[contact].append(outcome)
            else:
                self._of_contact[contact] = deque([outcome])
                posting.start_soon(self._post_of_contact, contact)
        WEBHOOK_WAITING.set(len(self._waiting))
        while len(self._waiting) >= MAX_WAITING and not self._shutdown.stopping:
            self._has_room = anyio.Event()
            with anyio.move_on_after(PAUSE_S):
                await self._has_room.wait()

    async def _post_of_contact(self, contact: str) -> None:
        """Its outcomes one after the other, until there is none or the process stops."""
        outcomes = self._of_contact[contact]
        while outcomes:
            if not await self._post(outcomes[0]):
                return
            entry = outcomes.popleft().entry
            self._finish(entry)
            del self._waiting[entry]
            WEBHOOK_WAITING.set(len(self._waiting))
            self._has_room.set()
        del self._of_contact[contact]

    async def _post(self, outcome: Outcome) -> bool:
        """Whether it is done with: taken, or given up."""
        failures = 0
        while not self._shutdown.stopping:
            await self._shutdown.sleep(self._paused_until_s - anyio.current_time())
            async with self._places:
                answer = await self._send(outcome)
            if answer is None:
                return False
            self._note(answer)
            if answer.is_taken:
                WEBHOOK_OUTCOMES.labels("delivered").inc()
                return True
            if outcome.age_s > self._retry_for_s:
                self._given_up += 1
                WEBHOOK_OUTCOMES.labels("dead").inc()
                log.error(
                    "an outcome is given up: it was not taken in time",
                    extra={"entry": outcome.entry, "error": answer.detail, "given_up": self._given_up},
                )
                return True
            failures += 1
            await self._shutdown.sleep(backoff_s(failures))
        return False

    async def _send(self, outcome: Outcome) -> Answer | None:
        """None when the process stops."""
        if self._shutdown.stopping:
            return None
        return await self._endpoint.send(outcome.entry, outcome.body)

    def _note(self, answer: Answer) -> None:
        """Says once when the address begins to fail, and when it takes outcomes again."""
        self._paused_until_s = max(self._paused_until_s, anyio.current_time() + answer.pause_s)
        if answer.is_taken == self._is_failing:
            self._is_failing = not answer.is_taken
            if self._is_failing:
                log.error("webhooks wait: an outcome is not taken", extra={"error": answer.detail})
            else:
                log.warning("outcomes are taken again")
