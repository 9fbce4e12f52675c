"""One HTTP service: httpx requests on the aiohttp transport, its base URL, and its failures as errors.

httpx's own transport scans its whole pool on every request, and the dialer has hundreds of requests open at once. Its
client, with cookies, redirects and hooks that no server of ours needs, takes as long as the request itself: requests
go to the transport directly. It never sends a POST or PATCH twice: aiohttp repeats idempotent methods only.
"""

from __future__ import annotations

import logging
import math
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from functools import cache
from importlib import metadata
from typing import Final, Self

import aiohttp
import anyio
import httpx
import msgspec
from aiohttp.http_exceptions import HttpProcessingError

from streamdialer.config.urls import HTTP_URL_FORMS, mask_url, validate_http_url
from streamdialer.errors import CredentialsRefused, SettingsError, Throttled, Unreachable
from streamdialer.gateways.body import BoundedTransport
from streamdialer.gateways.originate_reply import RETRY_AFTER_S, one_line, retry_after
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
    httpx.HTTPError,
    httpx.InvalidURL,
    aiohttp.ClientError,  # the transport does not translate all of them
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
        auth: httpx.Auth | None = None,
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
            "accept-encoding": "gzip, deflate",
        }
        if token:
            self._headers["authorization"] = f"Bearer {token}"
        elif auth is None and (userinfo := httpx.URL(base_url)).username:
            auth = httpx.BasicAuth(userinfo.username, userinfo.password)
        self._auth = auth
        self._transport = BoundedTransport(verify=_tls_context(), client=self._open_session)

    def _open_session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self._connections, keepalive_timeout=KEEP_ALIVE_S, ssl=self._transport.ssl_context
        )
        # with a session cookie, Django would demand a CSRF token
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )

    @property
    def prefix(self) -> str:
        """The path of the base URL, without a slash at its end."""
        return self.base.raw_path.decode("ascii").rstrip("/")

    async def aclose(self) -> None:
        await self._transport.aclose()

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
    ) -> httpx.Response:
        """Sends one request and reads the whole reply; raises TRANSPORT_ERRORS, or Unreachable from a log-in."""
        content, all_headers = None, {**self._headers, **(headers or {})}
        if body is not msgspec.UNSET:
            content = msgspec.json.encode(body)
            all_headers["content-type"] = "application/json"
        read_s = self.timeout_s if timeout_s is None else timeout_s
        started, outcome = anyio.current_time(), "no_reply"
        try:
            # every byte restarts the read time-out; this deadline ends a slow reply too
            host = self.base.host
            with tracing.request(self._label, method, host), anyio.fail_after(CONNECT_TIMEOUT_S + read_s):
                request = httpx.Request(
                    method,
                    self.url(f"{path}?{httpx.QueryParams(query)}" if query else path),
                    content=content,
                    headers={**all_headers, **tracing.inject()},
                    extensions={
                        "timeout": {"connect": CONNECT_TIMEOUT_S, "pool": CONNECT_TIMEOUT_S, "read": read_s}
                    },
                )
                response = await self._exchange(request)
                tracing.set_attributes(**{"http.response.status_code": response.status_code})
            outcome = f"{response.status_code // 100}xx"
            return response
        finally:
            HTTP_REQUESTS.labels(self._label, outcome).inc()
            HTTP_SECONDS.labels(self._label).observe(anyio.current_time() - started)

    async def _exchange(self, request: httpx.Request) -> httpx.Response:
        """Sends the request, and what the log-in needs before or after it."""
        if self._auth is None:
            return await self._transport.handle_async_request(request)
        async with aclosing(self._auth.async_auth_flow(request)) as steps:
            step = await anext(steps)
            while True:
                response = await self._transport.handle_async_request(step)
                try:
                    step = await steps.asend(response)
                except StopAsyncIteration:
                    return response

    async def ask(
        self, method: str, path: str, *, query: Query | None = None, body: object = msgspec.UNSET
    ) -> httpx.Response:
        """`send`; raises Unreachable for every failure of the network.

        A server that answers 429, or 503 with Retry-After, gets no request until the time it names; then this raises
        Throttled.
        """
        wait_s = self._paused_until_s - anyio.current_time()
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
        """`ask` sends nothing for so long; a longer pause stays."""
        self._paused_until_s = max(self._paused_until_s, anyio.current_time() + wait_s)

    def unusable_reply(self, response: httpx.Response) -> Unreachable:
        request = response.request
        text = f"{request.method} {request.url.copy_with(query=None)} answered HTTP {response.status_code}"
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


def _excerpt(response: httpx.Response) -> str:
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
        """No request of `ask` for so long: another process was told so."""
        self._service.pause(wait_s)

    async def aclose(self) -> None:
        """Closes all connections; an open request ends as unknown."""
        await self._service.aclose()


def read_base_url(raw: str, setting: str) -> httpx.URL:
    """A base URL without credentials; raises SettingsError."""
    if validate_http_url(raw) is None:
        with suppress(httpx.InvalidURL, ValueError):
            return httpx.URL(raw).copy_with(userinfo=b"")
    raise SettingsError(f"{setting}: got {mask_url(raw)!r}, takes {HTTP_URL_FORMS}")


@cache
def _tls_context() -> ssl.SSLContext:
    """One for all services: it takes 35 ms to read the certificate authorities."""
    return httpx.create_ssl_context()


def _version() -> str:
    try:
        return metadata.version("streamdialer")
    except metadata.PackageNotFoundError:
        return "checkout"
