"""A TCP connection with a tap: forwards to a target that may change, and can hold back what a replica is sent."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

CHUNK = 65_536


class Pipe:
    """An async context manager listening on a loopback port."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        self.holds_replication = False
        """What a master sends to its replicas is read and dropped: they believe to be up to date."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(OSError):  # the target is not there, or one side has gone
                await self._forward(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        is_replica = False

        async def towards_target() -> None:
            nonlocal is_replica
            while data := await reader.read(CHUNK):
                is_replica = is_replica or b"PSYNC" in data
                far_writer.write(data)
                await far_writer.drain()

        async def towards_client() -> None:
            while data := await far_reader.read(CHUNK):
                if not (is_replica and self.holds_replication):
                    writer.write(data)
                    await writer.drain()

        ways = [asyncio.ensure_future(towards_target()), asyncio.ensure_future(towards_client())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for ended in await asyncio.gather(*ways, return_exceptions=True):
                if isinstance(ended, BaseException) and not isinstance(
                    ended, OSError | asyncio.CancelledError
                ):
                    raise ended
            far_writer.close()
