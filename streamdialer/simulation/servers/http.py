"""An HTTP service of the call centre: on loopback, behind one door that records, misbehaves on request, and
checks the token."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from streamdialer.errors import CannotBeDone

Responder = Callable[[web.Request], web.StreamResponse | Awaitable[web.StreamResponse | None] | None]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_REQUESTS = 10_000
HOST = "127.0.0.1"


class RecordedRequest(msgspec.Struct, frozen=True):
    """One request as it came in."""

    at: float
    """Seconds of life."""
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Case-insensitive."""
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


def json_reply(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON response."""
    return web.Response(
        body=msgspec.json.encode(content), status=status, headers=headers, content_type="application/json"
    )


def drop_connection(request: web.Request) -> web.Response:
    """For scripts: cut the connection, so that the client gets no reply at all."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


class Service(ABC):
    """Base of both services; a subclass says its routes and who may come in."""

    def __init__(self, clock: Callable[[], float], port: int) -> None:
        self.requests: deque[RecordedRequest] = deque(maxlen=MAX_REQUESTS)
        self._clock = clock
        self._port = port
        self._script: Responder | None = None
        self._runner: web.AppRunner | None = None

    @abstractmethod
    def routes(self) -> list[web.RouteDef]:
        """What it answers, and by whom."""

    @abstractmethod
    def is_allowed(self, request: web.Request) -> bool:
        """Whether the request may come in."""

    @property
    def url(self) -> str:
        if not self._port:
            raise CannotBeDone("the call centre has not been opened")
        return f"http://{HOST}:{self._port}"

    def set_responder(self, fn: Responder | None) -> None:
        """Ask `fn` first from now on; None ends it.

        It may return a response, sleep, drop the connection, or return None for normal behaviour.
        """
        self._script = fn

    async def normal(self, request: web.Request) -> web.StreamResponse:
        """For scripts: what the service would do by itself, say to place the call and then answer 500."""
        if not self.is_allowed(request):
            detail = "Authentication credentials were not provided or are not valid."
            return json_reply({"detail": detail}, 401, {"WWW-Authenticate": 'Bearer realm="api"'})
        try:
            return await request.match_info.handler(request)
        except (msgspec.DecodeError, ValueError) as error:  # what the client sent cannot be read
            return json_reply({"detail": str(error)}, 400)

    async def start(self) -> None:
        """Listen, after stop() on the same port as before."""

        @web.middleware
        async def door(request: web.Request, handler: Handler) -> web.StreamResponse:  # noqa: ARG001
            return await self._let_in(request)

        app = web.Application(middlewares=[door])
        app.add_routes(self.routes())
        # Held replies must not hold up the end of the program.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Refuse connections from now on and cut the open ones."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _let_in(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(
            RecordedRequest(
                self._clock(), request.method, request.path, dict(request.query), request.headers.copy(), body
            )
        )
        if self._script is not None:
            answer = self._script(request)
            if inspect.isawaitable(answer):
                answer = await answer
            if answer is not None:
                return answer
        return await self.normal(request)
