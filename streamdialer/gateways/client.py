"""One HTTP service: requests through aiohttp, its base URL, and its failures as errors.

Why not httpx, says docs/decisions/0030. The library itself never sends a POST or PATCH twice: it repeats idempotent
methods only. After a log-in, a request that was refused for its stale token is sent once more.
"""

from __future__ import annotations

import logging
import math
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from importlib import metadata
from time import monotonic
from typing import Final, Self
from urllib.parse import urlencode

import aiohttp
import anyio
import msgspec
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from streamdialer.config.urls import HTTP_URL_FORMS, mask_url, validate_http_url
from streamdialer.errors import CredentialsRefused, SettingsError, Throttled, Unreachable
from streamdialer.gateways.auth import SimpleJWT, is_stale
from streamdialer.gateways.body import Response, read_response
from streamdialer.gateways.connector import CleanConnector
from streamdialer.gateways.originate_reply import RETRY_AFTER_S, NothingSent, one_line, retry_after
from streamdialer.observability import tracing
from streamdialer.observability.metrics import HTTP_REQUESTS, HTTP_SECONDS

log = logging.getLogger(__name__)

_AND_ITS_URL: Final = re.compile(r" to host https?://\S+")
"""In the words of the HTTP library, where ours name the URL already."""
CONNECT_TIMEOUT_S: Final = 5.0
"""Longest wait for a connection, including the wait for a free connection of the pool."""
KEEP_ALIVE_S: Final = 1.0
"""Shorter than the keep-alive of usual servers: a request on a connection that the server closes may have been sent."""

TRANSPORT_ERRORS: Final = (
    aiohttp.ClientError,
    HttpProcessingError,
    OSError,  # TimeoutError is one
    ValueError,
)
"""All errors of a request that come from the network or the server."""

Query = Mapping[str, str | int]


class Service:
    """One server: requests by path, below a base URL that may have a path."""

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        setting: str,
        timeout_s: float,
        connections: int,
        login: SimpleJWT | None = None,
        token: str = "",
    ) -> None:
        """`name` and `setting` appear in messages; raises SettingsError for a URL that is not HTTP."""
        self.name = name
        self._label = name.lower().replace(" ", "_")
        self.setting = setting
        self.timeout_s = timeout_s
        self.base = read_base_url(base_url, setting)
        self._root = str(self.base).rstrip("/")
        self._connections = connections
        self._paused_until_s = 0.0
        self.note_pause: Callable[[float], Awaitable[None]] | None = None
        """Called when the server asks for a pause, with its length in seconds: other processes keep it as well."""
        self._headers = {
            "user-agent": f"streamdialer/{_version()}",
            "accept": "application/json",
            "accept-encoding": "gzip",
        }
        userinfo = URL(base_url)
        if token:
            self._headers["authorization"] = f"Bearer {token}"
        elif login is None and userinfo.user:
            basic = b64encode(f"{userinfo.user}:{userinfo.password or ''}".encode()).decode()
            self._headers["authorization"] = f"Basic {basic}"
        self._login = login
        self._opened: aiohttp.ClientSession | None = None
        self._is_closed = False

    @property
    def _session(self) -> aiohttp.ClientSession:
        """Opened by the first request: it needs a running loop. Raises NothingSent after `aclose`."""
        if self._is_closed:
            raise NothingSent("this client is closed")
        if self._opened is None:
            connector = CleanConnector(limit=self._connections, keepalive_timeout=KEEP_ALIVE_S)
            # with a session cookie, Django would demand a CSRF token
            self._opened = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
            )
        return self._opened

    @property
    def prefix(self) -> str:
        """The path of the base URL, without a slash at its end."""
        return self.base.raw_path.rstrip("/")

    async def aclose(self) -> None:
        self._is_closed = True
        if self._opened is not None:
            await self._opened.close()

    def url(self, path: str) -> str:
        """The full URL of a path that starts with a slash."""
        return self._root + path

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: object = msgspec.UNSET,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Response:
        """Sends one request and reads the whole reply; raises TRANSPORT_ERRORS, or Unreachable from a log-in."""
        content, all_headers = None, {**self._headers, **(headers or {})}
        if body is not msgspec.UNSET:
            content = msgspec.json.encode(body)
            all_headers["content-type"] = "application/json"
        url = self.url(f"{path}?{urlencode(query)}" if query else path)
        read_s = self.timeout_s if timeout_s is None else timeout_s
        started, outcome = monotonic(), "no_reply"
        try:
            with tracing.request(self._label, method, self.base.host or ""):
                all_headers |= tracing.inject()
                response = await self._exchange(method, url, all_headers, content, read_s)
                tracing.set_attributes(**{"http.response.status_code": response.status_code})
            outcome = f"{response.status_code // 100}xx"
            return response
        finally:
            HTTP_REQUESTS.labels(self._label, outcome).inc()
            HTTP_SECONDS.labels(self._label).observe(monotonic() - started)

    async def _exchange(
        self, method: str, url: str, headers: dict[str, str], content: bytes | None, read_s: float
    ) -> Response:
        """Sends the request, and what the log-in needs before or after it."""
        if self._login is None:
            return await self._transmit(method, url, headers, content, read_s)

        async def post(login_url: str, document: bytes) -> Response:
            plain = self._headers | {"content-type": "application/json"}
            return await self._transmit("POST", login_url, plain, document, read_s)

        with anyio.fail_after(CONNECT_TIMEOUT_S + read_s):
            token = await self._login.token(post)
            headers["authorization"] = f"Bearer {token}"
            response = await self._transmit(method, url, headers, content, read_s)
            if is_stale(response):
                token = await self._login.token_after(token, post)
                headers["authorization"] = f"Bearer {token}"
                response = await self._transmit(method, url, headers, content, read_s)
            return response

    async def _transmit(
        self, method: str, url: str, headers: dict[str, str], content: bytes | None, read_s: float
    ) -> Response:
        async with self._session.request(
            method,
            URL(url, encoded=True),
            headers=headers,
            data=content,
            allow_redirects=False,
            timeout=_timeouts(CONNECT_TIMEOUT_S, read_s),
        ) as reply:
            return await read_response(reply, url)

    async def ask(
        self, method: str, path: str, *, query: Query | None = None, body: object = msgspec.UNSET
    ) -> Response:
        """`send`; raises Unreachable for every failure of the network.

        A server that answers 429, or 503 with Retry-After, gets no request until the time it names; then this raises
        Throttled.
        """
        wait_s = self._paused_until_s - monotonic()
        if wait_s > 0:
            raise Throttled(
                f"the {self.name} asks for fewer requests and gets none for {math.ceil(wait_s)} s"
            )
        try:
            response = await self.send(method, path, query=query, body=body)
        except TRANSPORT_ERRORS as exc:
            reason = _AND_ITS_URL.sub("", one_line(str(exc) or type(exc).__name__))
            raise Unreachable(
                f"{self.name}: {method} {self.url(path)} got no reply ({reason}); "
                f"check {self.setting} and that the server is up"
            ) from exc
        status, headers = response.status_code, response.headers
        if status == 429 or (status == 503 and "retry-after" in headers):
            wait_s = retry_after(headers, default_s=RETRY_AFTER_S)
            self.pause(wait_s)
            log.warning(
                "a server asks for fewer requests and gets none for a while",
                extra={"server": self.name, "status": status, "seconds": round(wait_s, 1)},
            )
            if self.note_pause is not None:
                await self.note_pause(wait_s)
        return response

    def pause(self, wait_s: float) -> None:
        """`ask` sends nothing for that long; a longer pause stays."""
        self._paused_until_s = max(self._paused_until_s, monotonic() + wait_s)

    def unusable_reply(self, response: Response) -> Unreachable:
        path = response.url.partition("?")[0]
        text = f"{response.method} {path} answered HTTP {response.status_code}"
        if response.status_code in (401, 403):
            names = "BACKEND_TOKEN, or BACKEND_USERNAME and BACKEND_PASSWORD"
            settings = names if self.setting == "BACKEND_URL" else "DIALER_API_TOKEN"
            return CredentialsRefused(f"{self.name}: {text}: it refuses our credentials; check {settings}")
        if response.status_code == 429:
            return Throttled(f"{self.name}: {text}: it asks for fewer requests")
        if location := response.headers.get("location"):
            return Unreachable(
                f"{self.name}: {text}, a redirect to {one_line(location)}; check {self.setting}"
            )
        return Unreachable(f"{self.name}: {text} with {_excerpt(response)}")


def _excerpt(response: Response) -> str:
    kind = response.headers.get("content-type", "").partition(";")[0].strip()
    if kind == "text/html":
        return "an HTML page"
    text = one_line(response.content[:400].decode("utf-8", "replace"))
    return f"{kind or 'a body'} {text}" if text else "an empty body"


class Gateway:
    """What we ask of one service; the end of its `async with` block closes the connections."""

    _service: Service

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    def share_pauses(self, note: Callable[[float], Awaitable[None]]) -> None:
        """`note` is called when the service asks for fewer requests, with the seconds for which it gets none."""
        self._service.note_pause = note

    def pause(self, wait_s: float) -> None:
        """`ask` sends nothing for that long: the service told another process so."""
        self._service.pause(wait_s)

    async def aclose(self) -> None:
        """Closes all connections; an open request ends as unknown."""
        await self._service.aclose()


def read_base_url(raw: str, setting: str) -> URL:
    """A base URL without credentials; raises SettingsError."""
    if validate_http_url(raw) is None:
        with suppress(ValueError):
            return URL(raw).with_user(None)
    raise SettingsError(f"{setting}: got {mask_url(raw)!r}, takes {HTTP_URL_FORMS}")


@lru_cache(maxsize=64)
def _timeouts(connect_s: float, read_s: float) -> aiohttp.ClientTimeout:
    """Every byte restarts the read time-out; the total ends a slow reply too."""
    return aiohttp.ClientTimeout(
        total=connect_s + read_s, connect=connect_s, sock_connect=connect_s, sock_read=read_s
    )


def _version() -> str:
    try:
        return metadata.version("streamdialer")
    except metadata.PackageNotFoundError:
        return "checkout"
