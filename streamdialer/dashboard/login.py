"""Log in, log out, and the choice of theme."""

from __future__ import annotations

import math
from typing import Final

from aiohttp import web

from streamdialer.dashboard.middleware import AUDIT, Middleware, read_form, safe_redirect, session_of
from streamdialer.dashboard.refusal import bad_request, refused
from streamdialer.dashboard.render import THEMES, Renderer
from streamdialer.dashboard.sessions import SESSION, LoginThrottle, Sessions
from streamdialer.operations.phrase import Phrase

YEAR_S: Final = 365 * 86_400
MAX_NAME_CHARS: Final = 64


class LoginPages:
    def __init__(self, sessions: Sessions, middleware: Middleware, renderer: Renderer) -> None:
        self._sessions = sessions
        self._middleware = middleware
        self._renderer = renderer
        self._throttle = LoginThrottle()

    async def show(self, request: web.Request) -> web.Response:
        if not self._sessions.require_login or SESSION in request:
            raise web.HTTPSeeOther("/")
        return self._page(request)

    async def log_in(self, request: web.Request) -> web.StreamResponse:
        form = await read_form(request)
        name, secret = str(form.get("name", "")).strip()[:MAX_NAME_CHARS], str(form.get("secret", ""))
        address = self._middleware.address(request)
        wait_s = self._throttle.wait_s(address, name)
        if wait_s > 0:
            AUDIT.info("log-in", extra={"user": name, "address": address, "outcome": "too many failures"})
            minutes = math.ceil(wait_s / 60)
            text = Phrase(
                "Too many failed log-ins from your address or for this user. Try again in {minutes} min.",
                minutes=minutes,
            )
            raise refused(web.HTTPTooManyRequests(headers={"Retry-After": str(math.ceil(wait_s))}), text)
        login = self._sessions.users.authenticate(name, secret)
        if login is None:
            self._throttle.record_failure(address, name)
            AUDIT.info("log-in", extra={"user": name, "address": address, "outcome": "refused"})
            return self._page(request, 403, error=Phrase("Wrong name, password or token."))
        cookie, _ = self._sessions.begin(login)
        AUDIT.info(
            "log-in", extra={"user": login.name, "role": login.role, "address": address, "outcome": "done"}
        )
        response = _redirect("/")
        self._middleware.set_cookie(request, response, cookie)
        return response

    async def log_out(self, request: web.Request) -> web.StreamResponse:
        self._sessions.end(session_of(request))
        AUDIT.info("log-out", extra={**self._middleware.actor(request), "outcome": "done"})
        response = _redirect("/login")
        self._middleware.set_cookie(request, response, "")
        return response

    async def choose_theme(self, request: web.Request) -> web.StreamResponse:
        form = await read_form(request)
        theme, back = str(form.get("theme")), str(form.get("back", "/"))
        if theme not in THEMES:
            raise bad_request(Phrase("The theme is one of {themes}.", themes=", ".join(THEMES)))
        response = _redirect(safe_redirect(back))
        response.set_cookie("theme", theme, max_age=YEAR_S, httponly=True, samesite="Strict")
        return response

    def _page(self, request: web.Request, status: int = 200, error: str = "") -> web.Response:
        asks_names = self._sessions.users.has_named_users
        return self._renderer.page(request, "login", status, asks_names=asks_names, error=error)


def _redirect(path: str) -> web.Response:
    return web.Response(status=303, headers={"Location": path})
