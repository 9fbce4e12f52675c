"""One adaptive decision of a queue at a time in a replica, so that each sees what the one before learnt and placed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import anyio

from streamdialer.consumers.ttl_cache import TTLCache

Acquired = Literal["acquired", "duplicate"]


class DecisionLock:
    """A lock per queue that a campaign waits for at most once."""

    def __init__(self, ttl_s: float) -> None:
        """A queue that is no longer decided is forgotten after so many seconds."""
        self._locks: TTLCache[anyio.Lock] = TTLCache(ttl_s)
        self._queued: set[str] = set()

    @asynccontextmanager
    async def acquire(self, queue: str, campaign: str) -> AsyncIterator[Acquired]:
        """Waits for the queue's lock.

        `duplicate` when a queued decision for this campaign will see the same data: it is not waited for again, so
        that no more decisions queue up than there are campaigns.
        """
        if campaign in self._queued:
            yield "duplicate"
            return
        lock = self._locks.put(queue, self._locks.get(queue) or anyio.Lock())
        self._queued.add(campaign)
        try:
            await lock.acquire()
        finally:
            self._queued.discard(campaign)
        try:
            yield "acquired"
        finally:
            lock.release()
