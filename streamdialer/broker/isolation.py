"""Handlers of a process run beside each other, except one that the process may die of: that one runs alone.

So when the process dies, it is known which entry it died of.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import anyio

ALONE_S: Final = 1.0
"""How long the others wait for the one that is to run alone, and it for them: a slow handler holds up no stage."""


class Isolation:
    """Shared by all stages of a process."""

    def __init__(self) -> None:
        self._turn = anyio.Lock()
        self._running = 0
        self._closed_until = 0.0
        self._is_open = anyio.Event()
        self._is_quiet = anyio.Event()

    async def wait_open(self) -> None:
        """Waits while a handler runs alone."""
        while (left_s := self._closed_until - anyio.current_time()) > 0:
            with anyio.move_on_after(left_s):
                await self._is_open.wait()

    @contextmanager
    def beside_others(self) -> Iterator[None]:
        """Begins right after `wait_open`."""
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._is_quiet.set()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """One after the other; between two of them, the others that wait begin."""
        async with self._turn:
            try:
                self._close()
                with anyio.move_on_after(ALONE_S):
                    while self._running:
                        self._is_quiet = anyio.Event()
                        await self._is_quiet.wait()
                self._close()
                yield
            finally:
                self._closed_until = 0.0
                self._is_open.set()
                self._is_open = anyio.Event()

    def _close(self) -> None:
        self._closed_until = anyio.current_time() + ALONE_S
