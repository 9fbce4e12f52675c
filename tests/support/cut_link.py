"""A proxy for one TCP server that a test may cut, for tests with a real Asterisk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import anyio
from anyio.abc import ByteStream, SocketAttribute

GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


class CutLink:
    """A link that passes everything on until it is cut."""

    def __init__(self, url: str) -> None:
        self._server = urlsplit(url)
        self._links: list[ByteStream] = []
        self.port = 0
        self.swallows = b""
        """What holds these bytes reaches the server once; then the link is cut, and no answer comes."""
        self.swallowed = 0

    @property
    def url(self) -> str:
        """The server's, through the proxy."""
        return self._server._replace(
            netloc=self._server.netloc.replace(f":{self._server.port}", f":{self.port}")
        ).geturl()

    async def cut(self) -> None:
        for link in list(self._links):
            await anyio.aclose_forcefully(link)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        self.port = listener.extra(SocketAttribute.local_port)
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, self._serve)
            yield
            tasks.cancel_scope.cancel()

    async def _serve(self, ours: ByteStream) -> None:
        try:
            theirs = await anyio.connect_tcp(str(self._server.hostname), self._server.port or 0)
        except OSError:
            await ours.aclose()
            return
        async with ours, theirs, anyio.create_task_group() as tasks:
            self._links += [ours, theirs]
            tasks.start_soon(self._pass_on, theirs, ours, b"", tasks.cancel_scope)
            await self._pass_on(ours, theirs, b"up", tasks.cancel_scope)

    async def _pass_on(
        self, source: ByteStream, sink: ByteStream, direction: bytes, scope: anyio.CancelScope
    ) -> None:
        with suppress(*GONE):
            while True:
                piece = await source.receive()
                is_last = direction and self.swallows and self.swallows in piece
                if is_last:
                    self.swallows, self.swallowed = b"", self.swallowed + 1
                    await anyio.aclose_forcefully(source)
                await sink.send(piece)
                if is_last:
                    await anyio.sleep(0.3)  # Asterisk reads it before the link ends
                    break
        scope.cancel()
