"""Reads of a server that many wait for: one at a time, and its answer or its error is that of all who wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Generic, TypeVar

import anyio

from streamdialer.broker.connection import NO_FAULT
from streamdialer.consumers.ttl_cache import TTLCache

Answer = TypeVar("Answer")


class SharedReads(Generic[Answer]):
    """By name: a campaign, a queue. A slow read of one name holds up no other."""

    def __init__(self, max_age_s: float = 0.0) -> None:
        """`max_age_s`: how long an answer serves; 0: `read` is called each time, but one at a time."""
        self._max_age_s = max_age_s
        self._reading: TTLCache[anyio.Lock] = TTLCache()
        self._answers: TTLCache[tuple[Answer]] = TTLCache(max_age_s)
        self._errors: TTLCache[Exception] = TTLCache()

    async def get(self, name: str, read: Callable[[], Awaitable[Answer]]) -> Answer:
        """Raises the error of `read`: all who waited for that read get it, and the next call reads again."""
        asked_s = monotonic()
        async with self._reading.put(name, self._reading.get(name) or anyio.Lock()):
            error = self._errors.get(name, monotonic() - asked_s)
            if error is not None:
                raise error.with_traceback(None)
            answer = self._answers.get(name, self._max_age_s) if self._max_age_s else None
            if answer is not None:
                return answer[0]
            try:
                answer = (await read(),)
            except NO_FAULT as failed:
                self._errors.put(name, failed)
                raise
            self._errors.pop(name)
            return self._answers.put(name, answer)[0]
