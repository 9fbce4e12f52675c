"""Logging in and out, and the choice of light or dark."""

from __future__ import annotations

import math
from typing import Final

from aiohttp import web

from streamdialer.dashboard.middleware import AUDIT, Middleware, form_of, safe_redirect, session_of
from streamdialer.dashboard.render import THEMES, Renderer
from streamdialer.dashboard.sessions import SESSION, LoginThrottle, Sessions

YEAR_S: Final = 365 * 86_400
MAX_NAME_CHARS: Final = 64


class LoginPages:
    """`/login`, `/logout`, `/theme`."""

    def __init__(self, access: Sessions, guard: Middleware, renderer: Renderer) -> None:
        self._access = access
        self._guard = guard
        self._renderer = renderer
        self._failures = LoginThrottle()

    async def ask(self, request: web.Request) -> web.Response:
        if self._access.is_open or SESSION in request:
            raise web.HTTPSeeOther("/")
        return self._page(request)

    async def log_in(self, request: web.Request) -> web.StreamResponse:
        form = await form_of(request)
        name, secret = str(form.get("name", "")).strip()[:MAX_NAME_CHARS], str(form.get("secret", ""))
        address = self._guard.address(request)
        wait_s = self._failures.wait_s(address)
        if wait_s > 0:
            AUDIT.info("log-in", extra={"who": name, "address": address, "outcome": "too many failures"})
            minutes = math.ceil(wait_s / 60)
            raise web.HTTPTooManyRequests(
                text=f"Too many failed log-ins from here: wait {minutes} min.",
                headers={"Retry-After": str(math.ceil(wait_s))},
            )
        login = self._access.logins.authenticate(name, secret)
        if login is None:
            self._failures.note(address)
            AUDIT.info("log-in", extra={"who": name, "address": address, "outcome": "refused"})
            return self._page(request, 403, problem="That is not right.")
        cookie, _ = self._access.begin(login)
        AUDIT.info(
            "log-in", extra={"who": login.name, "role": login.role, "address": address, "outcome": "done"}
        )
        response = _to("/")
        self._guard.set_cookie(request, response, cookie)
        return response

    async def log_out(self, request: web.Request) -> web.StreamResponse:
        self._access.end(session_of(request))
        AUDIT.info("log-out", extra={**self._guard.actor(request), "outcome": "done"})
        response = _to("/login")
        self._guard.set_cookie(request, response, "")
        return response

    async def choose_theme(self, request: web.Request) -> web.StreamResponse:
        form = await form_of(request)
        theme, back = str(form.get("theme")), str(form.get("back", "/"))
        if theme not in THEMES:
            raise web.HTTPBadRequest(text=f"The theme is one of {', '.join(THEMES)}.")
        response = _to(safe_redirect(back))
        response.set_cookie("theme", theme, max_age=YEAR_S, httponly=True, samesite="Strict")
        return response

    def _page(self, request: web.Request, status: int = 200, problem: str = "") -> web.Response:
        takes_names = self._access.logins.has_named_users
        return self._renderer.page(request, "login", status, takes_names=takes_names, problem=problem)


def _to(path: str) -> web.Response:
    return web.Response(status=303, headers={"Location": path})
