"""Health of a process for orchestrators: a file it keeps touching, or a port that answers."""

from __future__ import annotations

from typing import Final

import anyio
from aiohttp import web

BEAT_S: Final = 2.0


async def beat_file(path: str) -> None:
    """Touches the file every two seconds, as long as the event loop runs; until cancelled."""
    file = anyio.Path(path)
    while True:
        await file.touch()
        await anyio.sleep(BEAT_S)


async def serve_health(port: int, host: str = "0.0.0.0") -> None:
    """Answers `GET /` on `port` with 200; until cancelled."""

    async def healthy(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    app = web.Application()
    app.router.add_get("/{path:.*}", healthy)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        await anyio.sleep_forever()
    finally:
        await runner.cleanup()
