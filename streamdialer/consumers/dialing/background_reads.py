"""Reads of a server that ticks ask for and do not wait for."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup

from streamdialer.broker.background_duty import BackgroundDuty
from streamdialer.broker.connection import NO_FAULT

log = logging.getLogger(__name__)


class BackgroundReads(BackgroundDuty):
    """Reads what is requested, each name at most once at a time; a slow reply holds up no other."""

    is_running = False
    """Whether `request` is of any use."""

    def __init__(self) -> None:
        self._requested: set[str] = set()
        self._is_requested = anyio.Event()
        self._in_progress: set[str] = set()
        self._tasks: TaskGroup

    def request(self, name: str) -> None:
        """Reads it in the background."""
        if name not in self._in_progress:
            self._requested.add(name)
            self._is_requested.set()

    async def read_requested(self, name: str) -> None:
        """Reads it; may raise the errors of servers."""
        raise NotImplementedError

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as self._tasks:
            self.is_running = True
            try:
                yield
            finally:
                self.is_running = False
                self._tasks.cancel_scope.cancel()

    async def turn(self) -> float:
        await self._is_requested.wait()
        self._is_requested = anyio.Event()
        requested, self._requested = self._requested, set()
        for name in requested - self._in_progress:
            self._in_progress.add(name)
            self._tasks.start_soon(self._read, name)
        return 0.0

    async def _read(self, name: str) -> None:
        try:
            await self.read_requested(name)
        except NO_FAULT as error:  # the next tick reads it itself, and has the error as its result
            log.debug(
                "a read in the background failed",
                extra={"duty": self.name, "read": name, "error": str(error)},
            )
        finally:
            self._in_progress.discard(name)
