"""A TCP proxy between the dialer and one server, which loses or delays replies and cuts or refuses connections.

It does not know the protocol. Requests always reach the server. Only replies are lost: a client cannot tell this from a
request that never arrived.
"""

from __future__ import annotations

import asyncio
from random import Random
from types import TracebackType
from typing import Final, Self, cast

HOST: Final = "127.0.0.1"
LISTEN_TIMEOUT_S: Final = 5.0


class Proxy:
    """An async context manager; the address stays the same from its start to its end."""

    def __init__(self, host: str, port: int, random: Random) -> None:
        """Forwards to `host`:`port`; `random` decides which replies are lost, and the delay of the others."""
        self._target = (host, port)
        self._random = random
        self._server: asyncio.Server | None = None
        self._pairs: set[_ClientSide] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._lost_share = 0.0
        self._delay_s = (0.0, 0.0)
        self.port = 0
        """0 before the start."""
        self.holds_replication = False
        """Drops what a Redis master sends to its replicas, which still believe they are up to date."""
        self.replies_lost = 0

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)

    def lose_replies(self, share: float = 1.0) -> None:
        """From now on this share of the pieces of replies is dropped, and their connection is cut."""
        self._lost_share = share

    def delay_replies(self, least_s: float, most_s: float) -> None:
        """From now on each piece of a reply is delayed by this much, in order."""
        self._delay_s = (least_s, most_s)

    def retarget(self, port: int) -> None:
        """New connections go to another port of the same host."""
        self._target = (self._target[0], port)

    def cut(self) -> None:
        """Cuts all connections."""
        for pair in list(self._pairs):
            pair.abort()

    async def refuse(self) -> None:
        """Cuts all connections and refuses new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    async def forward(self) -> None:
        """Forwards normally again."""
        self._lost_share = 0.0
        self._delay_s = (0.0, 0.0)
        if self._server is None:
            await self._listen()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + LISTEN_TIMEOUT_S
        while True:
            try:
                server = await loop.create_server(lambda: _ClientSide(self), HOST, self.port)
            except OSError:  # another connection may use the port as its local port for a moment
                if loop.time() > give_up_at:
                    raise
                await asyncio.sleep(0.05)
                continue
            self._server = server
            self.port = int(server.sockets[0].getsockname()[1])
            return

    # Called by its connections.

    def opened(self, pair: _ClientSide) -> None:
        self._pairs.add(pair)
        task = asyncio.create_task(self._reach_target(pair))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def closed(self, pair: _ClientSide) -> None:
        self._pairs.discard(pair)

    def next_delay_s(self) -> float:
        return self._random.uniform(*self._delay_s)

    def loses_reply(self) -> bool:
        is_lost = bool(self._lost_share) and self._random.random() < self._lost_share
        self.replies_lost += is_lost
        return is_lost

    async def _reach_target(self, pair: _ClientSide) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: _ServerSide(self, pair), *self._target)
        except OSError:  # the server is down
            pair.abort()


class _Side(asyncio.Protocol):
    """One end of a connection: data read here is written to the other end, no faster than it accepts it."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def abort(self) -> None:
        """Cuts both ends."""
        for side in (self, self.other):
            if side is not None and side.transport is not None:
                side.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()  # still delivers what was written before


class _ClientSide(_Side):
    """Towards the dialer."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__()
        self._proxy = proxy
        self._early: list[bytes] = []
        """Requests that arrived before the server was connected."""
        self.is_replica = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._proxy.opened(self)

    def data_received(self, data: bytes) -> None:
        self.is_replica = self.is_replica or b"PSYNC" in data
        if self.other is None:
            self._early.append(data)
        else:
            self.other.write(data)

    def joined(self, server_side: _ServerSide) -> None:
        self.other = server_side
        for data in self._early:
            server_side.write(data)
        self._early.clear()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._proxy.closed(self)


class _ServerSide(_Side):
    """Towards the server."""

    def __init__(self, proxy: Proxy, client_side: _ClientSide) -> None:
        super().__init__()
        self._proxy = proxy
        self.other: _Side = client_side
        self._free_at = 0.0
        """When the last delayed piece is sent: no piece overtakes another."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        client = cast("_ClientSide", self.other)
        if client.transport is None or client.transport.is_closing():
            self.abort()
        else:
            client.joined(self)

    def data_received(self, data: bytes) -> None:
        if self._proxy.holds_replication and cast("_ClientSide", self.other).is_replica:
            return
        if self._proxy.loses_reply():
            self.abort()
            return
        loop = asyncio.get_running_loop()
        self._free_at = max(self._free_at, loop.time() + self._proxy.next_delay_s())
        if self._free_at <= loop.time():
            self.other.write(data)
        else:
            loop.call_at(self._free_at, self.other.write, data)
