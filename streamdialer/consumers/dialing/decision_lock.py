"""Whose turn it is to decide: adaptive decisions of one queue are made one after the other in a replica."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import anyio

from streamdialer.consumers.ttl_cache import TTLCache

Acquired = Literal["at once", "waited", "taken"]


class DecisionLock:
    """Each decision sees the calls and the learning of the one before, which it would otherwise throw away."""

    def __init__(self, remembered_s: float) -> None:
        """A queue that is not decided any more is forgotten after so many seconds."""
        self._deciding: TTLCache[anyio.Lock] = TTLCache(remembered_s)
        self._waiting: set[str] = set()

    @asynccontextmanager
    async def turn(self, queue: str, campaign: str) -> AsyncIterator[Acquired]:
        """The campaign's turn: `waited`, others have decided since it was asked for; `taken`, there is no turn.

        It is taken by another decision of the campaign that still waits: that one will see all this one could. So no
        more wait than there are campaigns, however slow the server is.
        """
        if campaign in self._waiting:
            yield "taken"
            return
        lock = self._deciding.put(queue, self._deciding.get(queue) or anyio.Lock())
        how: Acquired = "at once"
        try:
            lock.acquire_nowait()
        except anyio.WouldBlock:
            how = "waited"
            self._waiting.add(campaign)
            try:
                await lock.acquire()
            finally:
                self._waiting.discard(campaign)
        try:
            yield how
        finally:
            lock.release()
