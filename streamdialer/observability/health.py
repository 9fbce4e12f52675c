"""The health of a process, for orchestrators: a file that it touches, and a port that answers.

The event loop that does the work serves both: a loop that is stuck neither touches the file nor answers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from streamdialer.observability import metrics
from streamdialer.observability.http_port import BoundedSite, close_after, host_of, may_be_asked_as

BEAT_S: Final = 2.0
FOREIGN_HOST: Final = (
    "This port does not answer to that host name: ask for its address, "
    "or add the name to STREAMDIALER_HEALTH_NAMES.\n"
)
READING_MAX_AGE_S: Final = 3.0
Measure = Callable[[], Awaitable[bool]]
"""Reads what Redis holds into `metrics.LEDGER`; False when it could not."""


class HealthPort:
    """`/live`: the event loop runs · `/ready`: this process takes work, and Redis answers · `/metrics`."""

    def __init__(self, measure: Measure, is_stopping: Callable[[], bool], names: str = "") -> None:
        """`names` are host names under which `/metrics` may be asked for, with commas between them."""
        self._names = names
        self._listens_at = ""
        self._measure = measure
        self._is_stopping = is_stopping
        self._measuring = anyio.Lock()
        self._measured_at = float("-inf")
        self._is_up = False

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[None]:
        """Answers requests; raises OSError when nothing can listen there."""
        self._listens_at = host
        app = web.Application()
        app.on_response_prepare.append(close_after)
        app.router.add_get("/", self._live)
        app.router.add_get("/live", self._live)
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            with anyio.CancelScope(shield=True):  # cancelled half-way, asyncio would leave the socket open
                await BoundedSite(runner, host, port).start()
            yield
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await runner.cleanup()

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _ready(self, _: web.Request) -> web.Response:
        why_not = await self._why_not_ready()
        if why_not:
            return web.json_response({"status": "not ready", "reason": why_not}, status=503)
        return web.json_response({"status": "ready"})

    async def _metrics(self, request: web.Request) -> web.Response:
        asked = request.headers.get("Host")
        if asked is not None and not may_be_asked_as(host_of(asked), self._listens_at, self._names):
            raise web.HTTPForbidden(text=FOREIGN_HOST)
        metrics.READY.set(not await self._why_not_ready())
        body = metrics.exposition(with_ledger=self._is_up)
        return web.Response(body=body, headers={"content-type": CONTENT_TYPE_LATEST})

    async def _why_not_ready(self) -> str:
        """'' when this process takes work. Reads Redis again when the last reading is a few seconds old."""
        async with self._measuring:
            if anyio.current_time() - self._measured_at > READING_MAX_AGE_S:
                self._is_up = await self._measure()
                self._measured_at = anyio.current_time()
                metrics.REDIS_UP.set(self._is_up)
        if self._is_stopping():
            return "stopping"
        return "" if self._is_up else "Redis does not answer"
