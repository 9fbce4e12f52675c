"""What every request passes: where it comes from, who asks, what they may do; and the headers of every answer."""

from __future__ import annotations

import ipaddress
import logging
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler
from multidict import MultiDictProxy
from redis.exceptions import RedisError

from streamdialer.broker.connection import TRANSIENT
from streamdialer.config.settings import Settings
from streamdialer.dashboard.render import Renderer
from streamdialer.dashboard.sessions import ANONYMOUS, SESSION, Session, Sessions
from streamdialer.errors import SettingsError, StreamdialerError

AUDIT: Final = logging.getLogger("streamdialer.audit")
"""Who did what: told whatever the log level is."""
AUDIT.setLevel(logging.INFO)
WITHOUT_LOGIN: Final = ("/login", "/live")
PUBLIC_PATHS: Final = ("/logout", "/theme")
"""What a viewer may send as well."""
TOO_OLD: Final = "This form is too old; load the page again."
AGAIN_S: Final = "5"
"""A page that could not be shown is asked for again after this: nobody stands by a wall screen."""
FORWARDED: Final = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")
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


def require_safe(settings: Settings, host: str, access: Sessions) -> None:
    """Raises SettingsError where strangers could act: no log-in, and not on this machine alone."""
    if not access.is_open:
        return
    takes = "set STREAMDIALER_DASHBOARD_USERS or STREAMDIALER_DASHBOARD_TOKEN"
    if not is_loopback(host):
        raise SettingsError(f"dashboard: without a log-in it only listens at a loopback address; {takes}")
    if settings.dashboard_behind_proxy:
        raise SettingsError(f"dashboard: without a log-in it does not work behind a proxy; {takes}")


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address_of(request: web.Request, *, proxied: bool) -> str:
    """Who asks; behind a proxy, whom it was asked by."""
    lines = (
        request.headers.getall("X-Forwarded-For", []) if proxied else []
    )  # some proxies add a line of their own
    return ",".join(lines).rpartition(",")[2].strip() or request.remote or "?"


def safe_redirect(path: str) -> str:
    """A place to go back to: of this dashboard, whatever a form says."""
    is_inner = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_inner else "/"


async def form_of(request: web.Request) -> MultiDictProxy[Any]:
    """What was sent; raises HTTPBadRequest for what is no form."""
    try:
        form = await request.post()
        "".join(str(value) for value in form.values()).encode()
    except (ValueError, LookupError) as error:  # no UTF-8, no such encoding, no multipart, half a character
        raise web.HTTPBadRequest(text="This form cannot be read.") from error
    return form


def session_of(request: web.Request) -> Session:
    """Whoever sent it has one: raises KeyError in a page that needs no log-in."""
    return request[SESSION]


class Middleware:
    """Lets a request through to its page, or not."""

    def __init__(self, settings: Settings, access: Sessions, renderer: Renderer, port: int) -> None:
        self._access = access
        self._renderer = renderer
        self._proxied = settings.dashboard_behind_proxy
        self._cookie = f"streamdialer-{port}"
        """With the port: a host's cookies are those of all its ports."""

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Of every answer, errors included."""
        response.headers.update(HEADERS)
        response.headers["Cache-Control"] = "public, max-age=300" if _is_file(request) else "no-store"

    @web.middleware
    async def errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Trouble as a page."""
        try:
            return await handler(request)
        except web.HTTPError as error:
            answer = self._renderer.problem(request, error.status, error.text or error.reason)
            if "Retry-After" in error.headers:
                answer.headers["Retry-After"] = error.headers["Retry-After"]
            return answer
        except (StreamdialerError, RedisError, *TRANSIENT) as error:
            answer = self._renderer.problem(request, 503, f"Redis does not answer: {error}")
            if request.method == "GET":
                answer.headers["Refresh"] = AGAIN_S
            return answer

    @web.middleware
    async def admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Raises HTTPForbidden, or sends to the log-in."""
        if self._access.is_open and not _is_from_here(request):
            raise web.HTTPForbidden(
                text="Without a log-in this dashboard answers only to this machine, by its own name."
            )
        writes = request.method not in ("GET", "HEAD")
        if writes and not _is_same_origin(request):
            self._refuse(request, "sent by another site", "This was sent by another site's page.")
        session = self._access.read(request.cookies.get(self._cookie, ""))
        if session is not None:
            request[SESSION] = session
        if request.path in WITHOUT_LOGIN or _is_file(request):
            return await handler(request)
        if session is None:
            if not self._access.is_open:
                raise web.HTTPSeeOther("/login")
            return await self._let_in(request, handler, writes=writes)
        if writes:
            await self._require_right(request, session)
        return await handler(request)

    async def _let_in(self, request: web.Request, handler: Handler, *, writes: bool) -> web.StreamResponse:
        """Nobody logs in here: the first page begins the session whose forms are accepted."""
        if writes:
            self._refuse(request, "no session", TOO_OLD)
        cookie, request[SESSION] = self._access.begin(ANONYMOUS)
        response = await handler(request)
        self.set_cookie(request, response, cookie)
        return response

    async def _require_right(self, request: web.Request, session: Session) -> None:
        form = await form_of(request)
        if not self._access.is_form_of(session, str(form.get("token", ""))):
            self._refuse(request, "form of no or another session", TOO_OLD)
        if not session.may_act and request.path not in PUBLIC_PATHS:
            self._refuse(request, "read-only", "You may look, not act: your role is viewer.")

    def _refuse(self, request: web.Request, outcome: str, text: str) -> NoReturn:
        AUDIT.info("refused", extra={**self.actor(request), "action": request.path, "outcome": outcome})
        raise web.HTTPForbidden(text=text)

    def actor(self, request: web.Request) -> dict[str, str]:
        """Fields of a log line about what somebody does."""
        session = request.get(SESSION)
        who = {} if session is None else {"who": session.login.name, "role": session.login.role}
        return {**who, "address": self.address(request)}

    def address(self, request: web.Request) -> str:
        return address_of(request, proxied=self._proxied)

    def set_cookie(self, request: web.Request, response: web.StreamResponse, cookie: str) -> None:
        """The session's; '' takes it away."""
        scheme = request.headers.get("X-Forwarded-Proto", "") if self._proxied else ""
        response.set_cookie(
            self._cookie,
            cookie,
            max_age=int(self._access.lasts_s) if cookie else 0,
            httponly=True,
            samesite="Strict",
            secure=request.secure or scheme == "https",
        )


def _is_file(request: web.Request) -> bool:
    return request.path.startswith("/static/")


def _is_from_here(request: web.Request) -> bool:
    """Neither through a proxy nor by a name that somebody made point to this machine."""
    try:
        host = urlsplit(f"//{request.host}").hostname or ""
    except ValueError:  # half an IPv6 address
        return False
    return is_loopback(host) and not any(name in request.headers for name in FORWARDED)


def _is_same_origin(request: web.Request) -> bool:
    """What browsers say of where a form was sent from; programs say nothing, and need its token like everybody."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin")
    return origin is None or origin.partition("://")[2] == request.host
