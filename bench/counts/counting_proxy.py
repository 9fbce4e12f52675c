"""A TCP proxy in front of Redis that counts what clients ask: scripts of the ledger, other commands, round trips."""

from __future__ import annotations

import asyncio
from importlib import resources
from types import TracebackType
from typing import Any, Final, Self

import hiredis
import msgspec
from redis.connection import parse_url

from streamdialer.broker.scripts import Script

HOST: Final = "127.0.0.1"
SCRIPT_CALLS: Final = frozenset(name + suffix for name in (b"EVAL", b"EVALSHA") for suffix in (b"", b"_RO"))


def scripts_of(package: str) -> list[Script]:
    files = (resources.files(package) / "lua").iterdir()
    names = [file.name[:-4] for file in files if file.name.endswith(".lua")]
    return [Script(package, name, joins_calls=True) for name in names]


_LEDGER: Final = scripts_of("streamdialer.ledger")
_ALONE: Final = frozenset(script.sha.encode() for script in _LEDGER)
_JOINED: Final = frozenset(script.joined.sha.encode() for script in _LEDGER if script.joined)


class Asked(msgspec.Struct):
    """What all connections have asked since the last reset."""

    round_trips: int = 0
    """How often a connection has begun to wait: once for a pipeline, however many commands it has."""
    ledger_calls: int = 0
    """Of scripts that change or read calls, contacts, agents and campaigns; several may be joined in one run."""
    ledger_bytes: int = 0
    """Names and arguments of these calls."""
    other_commands: int = 0
    """Reads of streams, acknowledgements, heartbeats, and whatever is no script."""

    def count(self, command: list[bytes]) -> None:
        script = command[1] if command[0].upper() in SCRIPT_CALLS else None
        if script in _ALONE or script in _JOINED:
            self.ledger_calls += 1 if script in _ALONE else len(msgspec.json.decode(command[-1]))
            self.ledger_bytes += sum(map(len, command))
        else:
            self.other_commands += 1


class CountingProxy:
    """An async context manager; `url` is what the clients connect to."""

    def __init__(self, redis_url: str) -> None:
        parse: Any = parse_url
        self._target = parse(redis_url)
        self._server: asyncio.Server
        self.asked = Asked()
        self.sides = set[_Side]()
        """Of all connections."""

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self._server.sockets[0].getsockname()[1]}"

    def reset(self) -> None:
        self.asked = Asked()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _ClientSide(self), HOST, 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for side in list(self.sides):
            side.transport.abort()

    async def connect(self, client: _ClientSide) -> None:
        """To Redis, on behalf of the client."""
        loop = asyncio.get_running_loop()
        if path := self._target.get("path"):
            await loop.create_unix_connection(lambda: _RedisSide(self, client), path)
        else:
            address = (self._target["host"], self._target["port"])
            await loop.create_connection(lambda: _RedisSide(self, client), *address)


class _Side(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, proxy: CountingProxy) -> None:
        self._proxy = proxy
        self._reader = hiredis.Reader()
        self.other: _Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._proxy.sides.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio calls it
        self._proxy.sides.discard(self)
        if self.other:
            self.other.transport.close()


class _ClientSide(_Side):
    def __init__(self, proxy: CountingProxy) -> None:
        super().__init__(proxy)
        self._early = bytearray()
        """What came before the connection to Redis."""
        self.open = 0
        """Commands without a reply yet."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connecting = asyncio.ensure_future(self._proxy.connect(self))

    def connected(self, redis: _RedisSide) -> None:
        self.other = redis
        redis.transport.write(bytes(self._early))

    def data_received(self, data: bytes) -> None:
        asked = self._proxy.asked
        asked.round_trips += not self.open and not self._reader.has_data()
        self._reader.feed(data)
        while (command := self._reader.gets()) is not False:
            self.open += 1
            asked.count(command)
        if self.other:
            self.other.transport.write(data)
        else:
            self._early += data


class _RedisSide(_Side):
    def __init__(self, proxy: CountingProxy, client: _ClientSide) -> None:
        super().__init__(proxy)
        self.other = self._client = client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._client.connected(self)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while self._reader.gets() is not False:
            self._client.open -= 1
        self._client.transport.write(data)
