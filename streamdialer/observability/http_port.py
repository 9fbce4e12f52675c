"""A web server's port that half-open connections cannot use up, and the names under which it may be asked."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict
from typing import Final, cast
from urllib.parse import urlsplit

from aiohttp import web

MAX_CONNECTIONS: Final = 64
"""Open at once; one more closes the oldest."""
CONNECTION_MAX_S: Final = 10.0
PRIVATE_DOMAINS: Final = ("internal", "local", "localhost", "svc", "lan", "home.arpa")
"""Domains in which nobody outside can have a name."""


class BoundedSite(web.BaseSite):
    """Listens like `web.TCPSite`; the application has `close_after` among its signals."""

    def __init__(self, runner: web.AppRunner, host: str, port: int, max_s: float | None = None) -> None:
        """`max_s` is how long a connection may last: its header, its body and the answer."""
        super().__init__(runner)
        self._max_s = CONNECTION_MAX_S if max_s is None else max_s
        self._host = host
        self._port = port
        self._open: OrderedDict[_Connection, asyncio.Transport] = OrderedDict()

    @property
    def name(self) -> str:
        return f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        await super().start()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, self._host, self._port, backlog=128)

    def _connection(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        assert server is not None, "the runner is set up before its sites start"
        return _Connection(server(), self._open, self._max_s)


class _Connection(asyncio.Protocol):
    """Passes everything on to aiohttp's protocol, and closes the connection when its time is over."""

    def __init__(
        self, inner: asyncio.Protocol, all_open: OrderedDict[_Connection, asyncio.Transport], max_s: float
    ) -> None:
        self._max_s = max_s
        self._inner = inner
        self._open = all_open
        self.data_received = inner.data_received  # type: ignore[method-assign]
        self.eof_received = inner.eof_received  # type: ignore[method-assign]
        self.pause_writing = inner.pause_writing  # type: ignore[method-assign]
        self.resume_writing = inner.resume_writing  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connection = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self._inner.connection_made(connection)
        self._open[self] = connection
        self._timer = asyncio.get_running_loop().call_later(self._max_s, connection.abort)
        if len(self._open) > MAX_CONNECTIONS:
            _, oldest = self._open.popitem(last=False)
            oldest.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._open.pop(self, None)
        self._inner.connection_lost(exc)


async def close_after(_: web.Request, response: web.StreamResponse) -> None:
    """Signal `on_response_prepare`: one request per connection."""
    response.headers["Connection"] = "close"
    response.force_close()


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(authority: str) -> str:
    """The host of `host:port` or of an origin, without brackets; '' when it has none."""
    try:
        return urlsplit(authority if "//" in authority else f"//{authority}").hostname or ""
    except ValueError:  # half an IPv6 address
        return ""


def may_be_asked_as(host: str, listens_at: str, names: str) -> bool:
    """Whether a page of another site cannot have sent a request with this Host.

    Such a page can let its own name point here (DNS rebinding), but no address, no name without a dot and none of a
    private domain. `names` are further ones, with commas between them.
    """
    if is_loopback(listens_at):
        return is_loopback(host)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        domain = f".{host.rstrip('.')}"
        is_private = domain.count(".") == 1 or domain.endswith(tuple(f".{one}" for one in PRIVATE_DOMAINS))
        return bool(host) and (is_private or host in [name.strip().lower() for name in names.split(",")])
    return True
