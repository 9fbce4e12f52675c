"""The base of the call centre's HTTP services: on loopback; records every request, and misbehaves when a test wants."""

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
    return web.Response(
        body=msgspec.json.encode(content), status=status, headers=headers, content_type="application/json"
    )


def drop_connection(request: web.Request) -> web.Response:
    """For responders: cuts the connection, so the client gets no reply."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


class Service(ABC):
    """Base of both services; a subclass has the routes and checks the token."""

    def __init__(self, clock: Callable[[], float], port: int = 0) -> None:
        """`port` 0: any."""
        self.requests: deque[RecordedRequest] = deque(maxlen=MAX_REQUESTS)
        self._clock = clock
        self._port = port
        self._responder: Responder | None = None
        self._runner: web.AppRunner | None = None

    @abstractmethod
    def routes(self) -> list[web.RouteDef]:
        """The paths and their handlers."""

    @abstractmethod
    def is_allowed(self, request: web.Request) -> bool:
        """Whether the request has the right token, where one is needed."""

    @property
    def url(self) -> str:
        if not self._port:
            raise CannotBeDone("the call centre has not been opened")
        return f"http://{HOST}:{self._port}"

    def set_responder(self, fn: Responder | None) -> None:
        """Calls `fn` first for every request from now on; None ends it.

        `fn` may return a response, sleep, drop the connection, or return None for normal behaviour.
        """
        self._responder = fn

    async def handle_normally(self, request: web.Request) -> web.StreamResponse:
        """For responders: does what the service does without one, for example to place the call and then answer 500."""
        if not self.is_allowed(request):
            detail = "Authentication credentials were not provided or are not valid."
            return json_reply({"detail": detail}, 401, {"WWW-Authenticate": 'Bearer realm="api"'})
        try:
            return await request.match_info.handler(request)
        except (msgspec.DecodeError, ValueError) as error:  # the request cannot be read
            return json_reply({"detail": str(error)}, 400)

    async def start(self) -> None:
        """Listens; after stop() on the same port as before."""
        app = web.Application(middlewares=[self._handle])
        app.add_routes(self.routes())
        # Held replies must not delay the end of the program.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Refuses connections from now on and cuts the open ones."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:  # noqa: ARG002
        body = await request.read()
        self.requests.append(
            RecordedRequest(
                self._clock(), request.method, request.path, dict(request.query), request.headers.copy(), body
            )
        )
        if self._responder is not None:
            answer = self._responder(request)
            if inspect.isawaitable(answer):
                answer = await answer
            if answer is not None:
                return answer
        return await self.handle_normally(request)
