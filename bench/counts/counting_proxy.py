"""A TCP proxy in front of Redis that counts what clients ask: scripts of the ledger, other commands, round trips."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import deque
from collections.abc import Sequence
from importlib import resources
from types import TracebackType
from typing import Any, Final, Self

import hiredis
import msgspec
from redis.connection import parse_url

from streamdialer.broker.scripts import Script

HOST: Final = "127.0.0.1"
SCRIPT_RUNS: Final = frozenset(name + suffix for name in (b"EVAL", b"EVALSHA") for suffix in (b"", b"_RO"))
COUNTS: Final = re.compile(rb"\[\d+(?:,\d+)*\]")


def _scripts_of_the_broker() -> frozenset[bytes]:
    package = "streamdialer.broker"
    files = (resources.files(package) / "lua").iterdir()
    return frozenset(
        Script(package, file.name[:-4]).sha.encode() for file in files if file.name.endswith(".lua")
    )


_BROKER: Final = _scripts_of_the_broker()


def is_of_the_ledger(command: Sequence[bytes]) -> bool:
    """Whether it runs a script that is not the broker's own, by its hash or by its text."""
    kind = command[0].upper()
    if kind not in SCRIPT_RUNS:
        return False
    sha = (
        command[1] if b"SHA" in kind else hashlib.sha1(command[1], usedforsecurity=False).hexdigest().encode()
    )
    return sha not in _BROKER


def calls_in(run: Sequence[bytes]) -> int:
    """Of the run of a script: the last argument of several joined calls says how many arguments each has."""
    arguments = run[3 + int(run[2]) :]
    if not arguments or not COUNTS.fullmatch(arguments[-1]):
        return 1
    counts = [int(count) for count in arguments[-1][1:-1].split(b",")]
    return len(counts) if sum(counts) == len(arguments) - 1 else 1


class Asked(msgspec.Struct):
    """What all connections have asked since the last reset, and Redis has answered."""

    round_trips: int = 0
    """How often a connection has begun to wait: once for a pipeline, however many commands it has."""
    ledger_calls: int = 0
    """Of scripts that change or read calls, contacts, agents and campaigns; several may be joined in one run."""
    ledger_runs: int = 0
    ledger_bytes: int = 0
    """Names and arguments of these runs."""
    other_commands: int = 0
    """Reads of streams, acknowledgements, heartbeats, and whatever is no script."""

    def count(self, command: Sequence[bytes]) -> None:
        if is_of_the_ledger(command):
            self.ledger_calls += calls_in(command)
            self.ledger_runs += 1
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
        self.unanswered = deque[Sequence[bytes]]()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connecting = asyncio.ensure_future(self._proxy.connect(self))

    def connected(self, redis: _RedisSide) -> None:
        self.other = redis
        redis.transport.write(bytes(self._early))

    def data_received(self, data: bytes) -> None:
        asked = self._proxy.asked
        asked.round_trips += not self.unanswered and not self._reader.has_data()
        self._reader.feed(data)
        while (command := self._reader.gets()) is not False:
            self.unanswered.append(command)
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
        while (reply := self._reader.gets()) is not False:
            command = self._client.unanswered.popleft()
            if not str(reply).startswith("NOSCRIPT"):  # else it is sent again
                self._proxy.asked.count(command)
        self._client.transport.write(data)
