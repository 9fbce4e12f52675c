"""Posts every ended attempt to one address, by one process at a time (`webhook_posting.py`).

A process that takes over begins with what the one before it had not acknowledged, so an outcome may come twice, with
the same `webhook-id`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import Final

import anyio
from anyio.abc import TaskGroup
from redis.asyncio.lock import Lock
from redis.exceptions import LockError, RedisError

from streamdialer.broker.connection import TRANSIENT
from streamdialer.broker.outcome_group import OutcomeGroup
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.consumers.webhook_posting import Posting
from streamdialer.gateways.webhook import WebhookEndpoint
from streamdialer.observability.metrics import WEBHOOK_OLDEST

log = logging.getLogger(__name__)
BATCH: Final = 500
BLOCK_MS: Final = 1000
LEASE_S: Final = 30.0
"""For how long a process that was killed keeps others from posting."""
RENEW_S: Final = 5.0
PAUSE_S: Final = 2.0


def group_name(url: str) -> str:
    """Each address has a consumer group of its own."""
    return f"streamdialer-webhooks-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


async def _take_turn(lease: Lock) -> bool:
    """Whether this process is the one that posts: it still has the lease, or nobody has it."""
    try:
        return bool(await lease.reacquire())
    except LockError:
        return bool(await lease.acquire(blocking=False))


def _first_of(error: BaseException) -> BaseException:
    return _first_of(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


class WebhookDelivery:
    """One process of those that post to one address."""

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

    async def run(self) -> None:
        """Posts until the stop. Waits for a Redis that goes away, and for its turn while another process posts."""
        client, keys = self._group.client, self._group.keys
        lease = client.lock(keys.webhooks_lease(self._group.name), LEASE_S, thread_local=False)
        is_new, is_away = True, False
        while not self._shutdown.stopping:
            has_turn = False
            try:
                await self._group.create("$" if is_new else "0")
                if is_away:
                    log.warning("Redis is back: outcomes are posted again")
                is_new, is_away = (
                    False,
                    False,
                )  # a group that is missing from now on was lost with the data of its Redis
                has_turn = await _take_turn(lease)
                if has_turn:
                    log.info("posts outcomes", extra={"group": self._group.name})
                    await self._post_while_leased(lease)
            except* (RedisError, *TRANSIENT) as errors:
                if not is_away:
                    log.error("webhooks wait: Redis cannot be read", extra={"error": str(_first_of(errors))})
                has_turn, is_away = False, True
            if not has_turn:
                await self._shutdown.sleep(PAUSE_S)

    async def _post_while_leased(self, lease: Lock) -> None:
        """Posts until the stop, or until another process has the lease. The lease ends by itself if Redis goes away."""
        posting = Posting(self._group, self._endpoint, self._shutdown, self._retry_for_s)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._renew, lease, posting, tasks.cancel_scope.cancel)
            tasks.start_soon(posting.acknowledge)
            async with anyio.create_task_group() as requests:
                await self._read(posting, requests)
                requests.cancel_scope.deadline = anyio.current_time() + self._stop_within_s
            await posting.acknowledge_done()
            await lease.release()
            tasks.cancel_scope.cancel()

    async def _renew(self, lease: Lock, posting: Posting, lose: Callable[[], None]) -> None:
        while True:
            await anyio.sleep(RENEW_S)
            try:
                await lease.reacquire()
            except LockError:
                log.warning("another process posts the outcomes now", extra={"group": self._group.name})
                return lose()
            WEBHOOK_OLDEST.set(posting.oldest_s)

    async def _read(self, posting: Posting, tasks: TaskGroup) -> None:
        after = "0"
        while after and not self._shutdown.stopping:  # what was taken before comes first
            pending = await self._group.read_pending(after, BATCH)
            await posting.add(pending, tasks)
            after = pending[-1][0] if pending else ""
        while not self._shutdown.stopping:
            await posting.add(await self._group.read_new(BATCH, BLOCK_MS), tasks)
