"""The dashboard's web server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio
from aiohttp import web

from streamdialer.broker.dead_letters import DeadLetters
from streamdialer.broker.scripts import Scripts
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.config.settings import Settings
from streamdialer.dashboard.actions import Actions
from streamdialer.dashboard.login import LoginPages
from streamdialer.dashboard.middleware import Middleware, require_safe
from streamdialer.dashboard.pages import OverviewCache, Pages
from streamdialer.dashboard.people import PeoplePages
from streamdialer.dashboard.render import Renderer
from streamdialer.dashboard.sessions import Sessions
from streamdialer.observability.http_port import BoundedSite, close_after
from streamdialer.operations.dead_letters import LETTER_ID
from streamdialer.operations.session import open_client, require_port

MAX_FORM_BYTES: Final = 256 * 1024
REQUEST_MAX_S: Final = 60.0
"""Longer than it takes to replay all dead letters."""
SHUTDOWN_TIMEOUT_S: Final = 1.0
STATIC: Final = Path(__file__).parent / "static"


async def serve(
    settings: Settings, host: str, port: int, shutdown: ShutdownSignal, on_listening: Callable[[str], None]
) -> None:
    """Serves until `shutdown`; once it listens, calls `on_listening` with a line that says where.

    Raises SettingsError where a stranger could act, CannotBeDone when the port is taken, Unreachable without Redis.
    """
    sessions = Sessions(settings)
    require_safe(settings, host, sessions)
    async with open_client(settings) as (client, keys), Scripts(client, patient=False) as scripts:
        require_port(host, port, "--port")
        letters, renderer = DeadLetters(client, scripts, keys), Renderer(settings.dashboard_admin_url)
        middleware, cache = Middleware(settings, sessions, renderer, port), OverviewCache(scripts, keys)
        app = _application(
            middleware,
            LoginPages(sessions, middleware, renderer),
            Pages(client, keys, cache, letters, renderer),
            PeoplePages(client, keys, cache, renderer),
            Actions(client, keys, letters, middleware, renderer, cache),
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
        await runner.setup()
        try:
            await BoundedSite(runner, host, port, REQUEST_MAX_S).start()
            on_listening(_address_line(host, port, sessions))
            await shutdown.wait_stopping()
        finally:
            with anyio.CancelScope(shield=True):
                await runner.cleanup()


def _application(
    middleware: Middleware, login: LoginPages, pages: Pages, people: PeoplePages, actions: Actions
) -> web.Application:
    app = web.Application(middlewares=[middleware.errors, middleware.admit], client_max_size=MAX_FORM_BYTES)
    app.on_response_prepare.append(middleware.add_headers)
    app.on_response_prepare.append(close_after)
    app.add_routes(
        [
            web.get("/login", login.show),
            web.post("/login", login.log_in),
            web.post("/logout", login.log_out),
            web.post("/theme", login.choose_theme),
            web.get("/", pages.campaigns),
            web.post("/campaigns/start", actions.set_campaign_status),
            web.get("/campaigns/{campaign}", pages.campaign),
            web.post("/campaigns/{campaign}/{command:start|pause|stop}", actions.set_campaign_status),
            web.get("/campaigns/{campaign}/contacts/{contact}", people.contact),
            web.get("/calls", people.calls),
            web.get("/agents", people.agents),
            web.get("/contacts", people.contacts),
            web.post("/contacts", people.search),
            web.get("/streams", pages.streams),
            web.get("/replicas", pages.replicas),
            web.get("/dead", pages.dead_letters),
            web.get(f"/dead/{{letter:{LETTER_ID.pattern}}}", pages.dead_letter),
            web.post("/dead/replay", actions.replay),
            web.post("/dead/drop", actions.drop),
            web.get("/live", _live),
            web.static("/static", STATIC),
        ]
    )
    return app


async def _live(_: web.Request) -> web.Response:
    """For process supervisors: the event loop answers."""
    return web.json_response({"status": "ok"})


def _address_line(host: str, port: int, sessions: Sessions) -> str:
    shown = f"[{host}]" if ":" in host else host
    users = (
        "log-in required"
        if sessions.require_login
        else "no log-in: every user of this machine is an operator"
    )
    return f"dashboard: http://{shown}:{port}/ ({users})"
