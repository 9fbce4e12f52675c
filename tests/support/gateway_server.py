"""A server that answers the gateways as a test says, and keeps what they asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web

from streamdialer.config.settings import Settings
from streamdialer.gateways.backend import Backend
from tests.support.http_server import listening

Answer = Callable[["Request"], "web.StreamResponse | Awaitable[web.StreamResponse]"]


class Request(msgspec.Struct):
    """One request as the server saw it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


def html(status: int) -> web.Response:
    return web.Response(text="<html><title>Oops</title></html>", content_type="text/html", status=status)


class Server:
    """A server that answers every request with `answer` and keeps the requests."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.url = ""

    async def handle(self, arrived: web.Request) -> web.StreamResponse:
        raw = await arrived.read()
        request = Request(
            method=arrived.method,
            path=arrived.raw_path.partition("?")[0],
            query=dict(arrived.query),
            headers={name.lower(): value for name, value in arrived.headers.items()},
            body=msgspec.json.decode(raw) if raw else None,
        )
        self.requests.append(request)
        answer = self.answer(request)
        return answer if isinstance(answer, web.StreamResponse) else await answer


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[Server]:
    server = Server(answer)
    async with listening(server.handle) as server.url:
        yield server


def always(document: object, status: int = 200) -> Answer:
    return lambda _: web.json_response(document, status=status)


@asynccontextmanager
async def backend_of(answer: Answer, below: str = "") -> AsyncIterator[tuple[Server, Backend]]:
    async with serving(answer) as server, Backend(Settings(backend_url=server.url + below)) as backend:
        yield server, backend
