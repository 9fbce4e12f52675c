"""Checks of every request (origin, session, role, form token) and the headers of every response."""

from __future__ import annotations

import logging
from typing import Any, Final, NoReturn

from aiohttp import web
from aiohttp.typedefs import Handler
from multidict import MultiDictProxy
from redis.exceptions import RedisError

from streamdialer.broker.connection import TRANSIENT
from streamdialer.config.settings import Settings
from streamdialer.dashboard.refusal import TEXT, bad_request, refused
from streamdialer.dashboard.render import Renderer
from streamdialer.dashboard.sessions import ANONYMOUS, SESSION, Session, Sessions
from streamdialer.errors import SettingsError, StreamdialerError
from streamdialer.observability.http_port import host_of, is_loopback
from streamdialer.operations.phrase import Phrase

AUDIT: Final = logging.getLogger("streamdialer.audit")
"""Who did what; logged whatever LOG_LEVEL says."""
AUDIT.setLevel(logging.INFO)
PUBLIC_PATHS: Final = ("/login", "/live")
VIEWER_PATHS: Final = ("/logout", "/theme", "/contacts")
"""Forms that a viewer may send too."""
EXPIRED_FORM: Final = Phrase("This form has expired. Reload the page and try again.")
RETRY_S: Final = "5"
"""An error page reloads itself after this, because no one reloads a wall screen by hand."""
PROXY_HEADERS: Final = ("Forwarded", "Via", "X-Real-IP", "X-Client-IP", "CF-Connecting-IP", "True-Client-IP")
"""A proxy writes one of these, or one that begins with X-Forwarded."""
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "Server": "streamdialer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def require_safe(settings: Settings, host: str, sessions: Sessions) -> None:
    """Raises SettingsError where a stranger could act: no log-in, and reachable from other machines."""
    if sessions.require_login:
        return
    remedy = "set STREAMDIALER_DASHBOARD_USERS or STREAMDIALER_DASHBOARD_TOKEN"
    if not is_loopback(host):
        raise SettingsError(f"dashboard: without a log-in it listens on loopback addresses only; {remedy}")
    if settings.dashboard_behind_proxy:
        raise SettingsError(f"dashboard: without a log-in it does not work behind a proxy; {remedy}")


def safe_redirect(path: str) -> str:
    """The path if it belongs to this dashboard, else /: a form may ask for any redirect."""
    is_inner = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_inner else "/"


async def read_form(request: web.Request) -> MultiDictProxy[Any]:
    """The form that was sent; raises HTTPBadRequest when it cannot be read."""
    try:
        form = await request.post()
        "".join(str(value) for value in form.values()).encode()
    except (ValueError, LookupError) as error:
        # not UTF-8, unknown encoding, broken multipart, half a character
        raise bad_request(Phrase("This form cannot be read.")) from error
    return form


def session_of(request: web.Request) -> Session:
    """The session of a request that `admit` let through; KeyError on the pages without log-in."""
    return request[SESSION]


class Middleware:
    """Lets a request through to its handler, or refuses it."""

    def __init__(self, settings: Settings, sessions: Sessions, renderer: Renderer, port: int) -> None:
        self._sessions = sessions
        self._renderer = renderer
        self._proxied = settings.dashboard_behind_proxy
        self._cookie = f"streamdialer-{port}"
        """Named with the port, because browsers share the cookies of a host between its ports."""

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """For every response, errors included."""
        response.headers.update(HEADERS)
        response.headers["Cache-Control"] = "public, max-age=300" if _is_file(request) else "no-store"

    @web.middleware
    async def errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPError as error:
            text = error.get(TEXT) or error.reason
            if error.status == web.HTTPNotFound.status_code and TEXT not in error:
                text = Phrase("There is no such page.")
            response = self._renderer.error(request, error.status, text)
            if "Retry-After" in error.headers:
                response.headers["Retry-After"] = error.headers["Retry-After"]
            return response
        except (StreamdialerError, RedisError, *TRANSIENT) as error:
            response = self._renderer.error(
                request, 503, Phrase("Redis does not answer: {error}", error=error)
            )
            if request.method == "GET":
                response.headers["Refresh"] = RETRY_S
            return response

    @web.middleware
    async def admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Raises HTTPForbidden, or redirects to the log-in page."""
        if not self._sessions.require_login and not _is_local(request):
            text = Phrase(
                "This dashboard has no log-in. It answers only on its own machine, as localhost or 127.0.0.1."
            )
            raise refused(web.HTTPForbidden(), text)
        writes = request.method not in ("GET", "HEAD")
        if writes and not _is_same_origin(request):
            self._refuse(request, "sent by another site", Phrase("Another site's page sent this form."))
        session = self._sessions.read(request.cookies.get(self._cookie, ""))
        if session is not None:
            request[SESSION] = session
        if request.path in PUBLIC_PATHS or _is_file(request):
            return await handler(request)
        if session is None:
            if self._sessions.require_login:
                raise web.HTTPSeeOther("/login")
            return await self._admit_anonymous(request, handler, writes=writes)
        if writes:
            await self._require_permission(request, session)
        return await handler(request)

    async def _admit_anonymous(
        self, request: web.Request, handler: Handler, *, writes: bool
    ) -> web.StreamResponse:
        """Without log-ins, the first page begins the session whose forms are accepted."""
        if writes:
            self._refuse(request, "no session", EXPIRED_FORM)
        cookie, request[SESSION] = self._sessions.begin(ANONYMOUS)
        response = await handler(request)
        self.set_cookie(request, response, cookie)
        return response

    async def _require_permission(self, request: web.Request, session: Session) -> None:
        form = await read_form(request)
        if not self._sessions.is_valid_form_token(session, str(form.get("token", ""))):
            self._refuse(request, "no form token, or one of another session", EXPIRED_FORM)
        if not session.may_act and request.path not in VIEWER_PATHS:
            self._refuse(request, "read-only", Phrase("You may not change anything: your role is viewer."))

    def _refuse(self, request: web.Request, outcome: str, text: str) -> NoReturn:
        AUDIT.info("refused", extra={**self.actor(request), "action": request.path, "outcome": outcome})
        raise refused(web.HTTPForbidden(), text)

    def actor(self, request: web.Request) -> dict[str, str]:
        """Who sent the request, as fields of an audit log line."""
        session = request.get(SESSION)
        user = {} if session is None else {"user": session.login.name, "role": session.login.role}
        return {**user, "address": self.address(request)}

    def address(self, request: web.Request) -> str:
        """The client's address; behind a proxy, the one that the nearest proxy added to X-Forwarded-For."""
        # there may be several such lines, because some proxies add their own
        lines = request.headers.getall("X-Forwarded-For", []) if self._proxied else []
        return ",".join(lines).rpartition(",")[2].strip() or request.remote or "?"

    def set_cookie(self, request: web.Request, response: web.StreamResponse, cookie: str) -> None:
        """Sets the session cookie; '' deletes it."""
        scheme = request.headers.get("X-Forwarded-Proto", "") if self._proxied else ""
        response.set_cookie(
            self._cookie,
            cookie,
            max_age=int(self._sessions.ttl_s) if cookie else 0,
            httponly=True,
            samesite="Strict",
            secure=request.secure or scheme == "https",
        )


def _is_file(request: web.Request) -> bool:
    return request.path.startswith("/static/")


def _is_local(request: web.Request) -> bool:
    """Not through a proxy, and not by a foreign host name that points to this machine (DNS rebinding).

    A proxy that adds no header shows itself in the Origin, which the browser writes.
    """
    headers = request.headers
    is_proxied = any(name in headers for name in PROXY_HEADERS) or any(
        name.lower().startswith("x-forwarded") for name in headers
    )
    return (
        not is_proxied
        and is_loopback(host_of(request.host))
        and ("Origin" not in headers or is_loopback(host_of(headers["Origin"])))
    )


def _is_same_origin(request: web.Request) -> bool:
    """By the browser's own headers; a program sends none, and needs the form token as everybody does."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin")
    return origin is None or origin.partition("://")[2] == request.host
