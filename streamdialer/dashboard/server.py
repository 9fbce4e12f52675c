"""The dashboard's web server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio
from aiohttp import web

from streamdialer.broker import DeadLetters, ReplicaRun
from streamdialer.broker.scripts import Scripts
from streamdialer.config.settings import Settings
from streamdialer.dashboard.actions import Acts
from streamdialer.dashboard.login import Entrance
from streamdialer.dashboard.middleware import Guard, require_safe
from streamdialer.dashboard.pages import Pages, Reader
from streamdialer.dashboard.render import Renderer
from streamdialer.dashboard.sessions import Access
from streamdialer.operations.dead_letters import LETTER_ID
from streamdialer.operations.session import reached, require_port

LARGEST_FORM: Final = 256 * 1024
LEAVE_WITHIN_S: Final = 1.0
STATIC: Final = Path(__file__).parent / "static"


async def serve(
    settings: Settings, host: str, port: int, run: ReplicaRun, listening: Callable[[str], None]
) -> None:
    """Answers until the run stops; calls `listening` with what there is to say once it does.

    Raises SettingsError where strangers could act, CannotBeDone when the port is taken, Unreachable without Redis.
    """
    access = Access(settings)
    require_safe(settings, host, access)
    async with reached(settings) as (client, keys), Scripts(client, patient=False) as scripts:
        require_port(host, port)
        letters, renderer = DeadLetters(client, scripts, keys), Renderer()
        guard, reader = Guard(settings, access, renderer, port), Reader(scripts, keys)
        app = _application(
            guard,
            Entrance(access, guard, renderer),
            Pages(client, keys, reader, letters, renderer),
            Acts(client, keys, letters, guard, renderer, reader),
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=LEAVE_WITHIN_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            listening(_where(host, port, access))
            await run.wait_stopping()
        finally:
            with anyio.CancelScope(shield=True):
                await runner.cleanup()


def _application(guard: Guard, entrance: Entrance, pages: Pages, acts: Acts) -> web.Application:
    app = web.Application(middlewares=[guard.errors, guard.admit], client_max_size=LARGEST_FORM)
    app.on_response_prepare.append(guard.add_headers)
    app.add_routes(
        [
            web.get("/login", entrance.ask),
            web.post("/login", entrance.log_in),
            web.post("/logout", entrance.log_out),
            web.post("/theme", entrance.choose_theme),
            web.get("/", pages.campaigns),
            web.post("/campaigns/start", acts.order),
            web.get("/campaigns/{campaign}", pages.campaign),
            web.post("/campaigns/{campaign}/{order:start|pause|stop}", acts.order),
            web.get("/streams", pages.streams),
            web.get("/replicas", pages.replicas),
            web.get("/dead", pages.dead),
            web.get(f"/dead/{{letter:{LETTER_ID.pattern}}}", pages.letter),
            web.post("/dead/replay", acts.replay),
            web.post("/dead/drop", acts.drop),
            web.get("/live", _live),
            web.static("/static", STATIC),
        ]
    )
    return app


async def _live(_: web.Request) -> web.Response:
    """For whoever keeps the process running: its event loop answers."""
    return web.json_response({"status": "ok"})


def _where(host: str, port: int, access: Access) -> str:
    shown = f"[{host}]" if ":" in host else host
    users = "no log-in: whoever uses this machine may act" if access.is_open else "behind a log-in"
    return f"Dashboard at http://{shown}:{port}/ ({users})"
