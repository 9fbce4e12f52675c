"""The dashboard's web server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio
from aiohttp import web

from streamdialer.broker import DeadLetters, ShutdownSignal
from streamdialer.broker.scripts import Scripts
from streamdialer.config.settings import Settings
from streamdialer.dashboard.actions import Actions
from streamdialer.dashboard.login import LoginPages
from streamdialer.dashboard.middleware import Middleware, require_safe
from streamdialer.dashboard.pages import OverviewCache, Pages
from streamdialer.dashboard.render import Renderer
from streamdialer.dashboard.sessions import Sessions
from streamdialer.operations.dead_letters import LETTER_ID
from streamdialer.operations.session import open_client, require_port

MAX_FORM_BYTES: Final = 256 * 1024
SHUTDOWN_TIMEOUT_S: Final = 1.0
STATIC: Final = Path(__file__).parent / "static"


async def serve(
    settings: Settings, host: str, port: int, run: ShutdownSignal, listening: Callable[[str], None]
) -> None:
    """Answers until the run stops; calls `listening` with what there is to say once it does.

    Raises SettingsError where strangers could act, CannotBeDone when the port is taken, Unreachable without Redis.
    """
    access = Sessions(settings)
    require_safe(settings, host, access)
    async with open_client(settings) as (client, keys), Scripts(client, patient=False) as scripts:
        require_port(host, port)
        letters, renderer = DeadLetters(client, scripts, keys), Renderer()
        guard, reader = Middleware(settings, access, renderer, port), OverviewCache(scripts, keys)
        app = _application(
            guard,
            LoginPages(access, guard, renderer),
            Pages(client, keys, reader, letters, renderer),
            Actions(client, keys, letters, guard, renderer, reader),
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            listening(_where(host, port, access))
            await run.wait_stopping()
        finally:
            with anyio.CancelScope(shield=True):
                await runner.cleanup()


def _application(guard: Middleware, entrance: LoginPages, pages: Pages, acts: Actions) -> web.Application:
    app = web.Application(middlewares=[guard.errors, guard.admit], client_max_size=MAX_FORM_BYTES)
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


def _where(host: str, port: int, access: Sessions) -> str:
    shown = f"[{host}]" if ":" in host else host
    users = "no log-in: whoever uses this machine may act" if access.is_open else "behind a log-in"
    return f"Dashboard at http://{shown}:{port}/ ({users})"
