"""The port of the dashboard and of /metrics answers on each event loop that programs run on."""

from __future__ import annotations

from importlib.util import find_spec

import anyio
import httpx
import pytest
from aiohttp import web

from streamdialer.observability.http_port import BoundedSite, close_after
from streamdialer.operations.session import free_port


async def ask() -> str:
    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    app, port = web.Application(), free_port()
    app.on_response_prepare.append(close_after)
    app.add_routes([web.get("/", hello)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await BoundedSite(runner, "127.0.0.1", port).start()
        async with httpx.AsyncClient(timeout=2) as client:
            return (await client.get(f"http://127.0.0.1:{port}/")).text
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("use_uvloop", [False, True])
def test_it_answers(use_uvloop: bool) -> None:
    if use_uvloop and find_spec("uvloop") is None:
        pytest.skip("uvloop has no package for this platform")
    assert anyio.run(ask, backend_options={"use_uvloop": use_uvloop}) == "hello"
