"""When a process stops taking work, and how much it has done: shared by its stages and background duties."""

from __future__ import annotations

import anyio

from streamdialer.broker.activity import Activity
from streamdialer.broker.isolation import Isolation


class ShutdownSignal:
    """Shared by all stages of a replica; `stop()` may be called from anywhere, any number of times."""

    def __init__(self, max_tasks: int | None = None) -> None:
        self._stopping = anyio.Event()
        self._left = max_tasks
        self.done = 0
        self.activity = Activity()
        self.isolation = Isolation()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        self._stopping.set()

    async def wait_stopping(self) -> None:
        await self._stopping.wait()

    async def sleep(self, seconds: float) -> None:
        """Sleeps for that long, or until the stop."""
        with anyio.move_on_after(seconds):
            await self._stopping.wait()

    def count_entry(self) -> None:
        """Counts an entry against `max_tasks`; the last one stops the process."""
        self.done += 1
        if self._left is not None and self.done >= self._left:
            self.stop()
