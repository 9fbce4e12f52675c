"""Writes the events of the world to the events stream, in order; no event is lost while Redis is down."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable

import anyio
import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from streamdialer.simulation.world.entities import QueueAgents, SimEvent, SourceLive

logger = logging.getLogger(__name__)

BATCH = 500
MIN_PAUSE_S = 0.05
MAX_PAUSE_S = 1.0
Written = SimEvent | SourceLive | QueueAgents
Write = Callable[[Iterable[SimEvent]], None]
Distort = Callable[[list[SimEvent], Write], None]
"""Stands between the world and the stream: gets the events, and calls the second argument with the events to write, at
any time and any number of times."""


class EventWriter:
    """Keeps events until Redis has confirmed them. After a lost reply a batch may be written twice."""

    def __init__(self, redis: Redis, stream: str, list_calls: Callable[[], SourceLive | None]) -> None:
        """`list_calls` returns None while events that it is newer than have not been added."""
        self._redis = redis
        self._stream = stream
        self._list_calls = list_calls
        self._is_list_due = False
        self._waiting: deque[Written] = deque()
        self._wake = anyio.Event()
        self._drained = anyio.Event()

    @property
    def waiting(self) -> int:
        """Events that Redis has not confirmed."""
        return len(self._waiting)

    def add(self, events: Iterable[Written]) -> None:
        self._waiting.extend(events)
        if self._waiting:
            self._wake.set()
            if self._drained.is_set():
                self._drained = anyio.Event()

    def list_calls(self) -> None:
        """Writes which calls are up, after all that happened so far: a list ends the calls that it lacks."""
        calls = self._list_calls()
        self._is_list_due = calls is None
        if calls is not None:
            self.add([calls])

    async def drained(self) -> None:
        """Returns when everything added so far has been written."""
        while self._waiting:
            await self._drained.wait()

    async def run(self) -> None:
        """Writes until cancelled; says which calls are up at the start and when Redis is back."""
        self.list_calls()
        pause_s = MIN_PAUSE_S
        is_down = False
        while True:
            self._wake = anyio.Event()
            if self._is_list_due:
                self.list_calls()
            if not self._waiting:
                self._drained.set()
                await self._wake.wait()
                continue
            batch = [self._waiting[at] for at in range(min(BATCH, len(self._waiting)))]
            try:
                await self._write(batch)
            except (RedisError, OSError) as error:
                if not is_down:
                    logger.warning("Redis cannot be written to, events are kept until it can: %s", error)
                is_down = True
                await anyio.sleep(pause_s)
                pause_s = min(2 * pause_s, MAX_PAUSE_S)
                continue
            if is_down:
                logger.info("Redis can be written to again, %d events had been kept", len(self._waiting))
            for _ in batch:
                self._waiting.popleft()
            if is_down:
                self.list_calls()
            is_down, pause_s = False, MIN_PAUSE_S

    async def _write(self, batch: list[Written]) -> None:
        # One transaction: either the whole batch is in the stream or none of it.
        async with self._redis.pipeline(transaction=True) as pipeline:
            for event in batch:
                pipeline.xadd(self._stream, {"type": event.type, "data": msgspec.json.encode(event.data)})
            await pipeline.execute()
