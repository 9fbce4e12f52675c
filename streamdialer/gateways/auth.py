"""The backend's SimpleJWT log-in: obtain a token, refresh it when it is stale, obtain again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final

import anyio
import msgspec

from streamdialer.errors import CredentialsRefused, Throttled, Unreachable
from streamdialer.gateways.body import Response
from streamdialer.gateways.originate_reply import RETRY_AFTER_S, retry_after

REFUSED_PAUSE_S: Final = 5.0
"""Pause after a refused log-in: some backends lock accounts that fail often."""
BUSY_PAUSE_MIN_S: Final = 1.0
"""Shortest pause after 429 and 503, whatever Retry-After says: all requests that wait for a token would ask at once."""

Post = Callable[[str, bytes], Awaitable[Response]]
"""Sends a JSON document to a URL."""


class _Tokens(msgspec.Struct):
    access: str
    refresh: str = ""


class SimpleJWT:
    """Tokens from `login_url`, refreshed below it at `refresh/`; both functions raise Unreachable without one."""

    def __init__(self, login_url: str, username: str, password: str) -> None:
        self._login_url = login_url.rstrip("/") + "/"
        self._refresh_url = self._login_url + "refresh/"
        self._credentials = {"username": username, "password": password}
        self._access = ""
        self._refresh = ""
        self._refusal = Unreachable()
        self._paused_until = 0.0
        self._lock = anyio.Lock()

    async def token(self, post: Post) -> str:
        """The access token."""
        if not self._access:
            async with self._lock:
                if not self._access:
                    await self._obtain(post)
        return self._access

    async def token_after(self, stale: str, post: Post) -> str:
        """The access token after the server has refused `stale`; several requests may have been refused with it."""
        async with self._lock:
            if self._access == stale and self._refresh:
                tokens = _read_tokens(await self._send(post, self._refresh_url, {"refresh": self._refresh}))
                if tokens is not None:
                    self._access = tokens.access
                    # the backend sends one only if its refresh tokens rotate
                    self._refresh = tokens.refresh or self._refresh
            if self._access in ("", stale):
                self._access = self._refresh = ""
                await self._obtain(post)
            return self._access

    async def _obtain(self, post: Post) -> None:
        response = await self._send(post, self._login_url, self._credentials)
        tokens = _read_tokens(response)
        if tokens is None:
            text = f"backend: log-in at {self._login_url} answered HTTP {response.status_code}"
            if response.status_code in (400, 401, 403):
                refusal = CredentialsRefused(f"{text}; check BACKEND_USERNAME and BACKEND_PASSWORD")
                raise self._paused(refusal, REFUSED_PAUSE_S)
            raise Unreachable(f"{text} and no token; check STREAMDIALER_BACKEND_LOGIN_PATH")
        self._access, self._refresh = tokens.access, tokens.refresh

    async def _send(self, post: Post, url: str, document: dict[str, str]) -> Response:
        """Sends nothing during a pause: raises then what the server answered before it."""
        if monotonic() < self._paused_until:
            raise type(self._refusal)(*self._refusal.args)
        response = await post(url, msgspec.json.encode(document))
        if response.status_code in (429, 503):
            asks = response.status_code == 429 or "retry-after" in response.headers
            pause_s = max(retry_after(response.headers, default_s=RETRY_AFTER_S), BUSY_PAUSE_MIN_S)
            text = f"backend: log-in at {url} answered HTTP {response.status_code}"
            refusal = (
                Throttled(f"{text}: it asks for fewer requests")
                if asks
                else Unreachable(f"{text} and no token")
            )
            raise self._paused(refusal, pause_s)
        return response

    def _paused(self, refusal: Unreachable, pause_s: float) -> Unreachable:
        """The refusal, which all requests get from now on, for that long."""
        self._refusal, self._paused_until = refusal, monotonic() + pause_s
        return refusal


def is_stale(response: Response) -> bool:
    """401, or 403: Django REST framework answers it when session authentication comes first."""
    if response.status_code == 403:
        return b"token_not_valid" in response.content
    return response.status_code == 401


def _read_tokens(response: Response) -> _Tokens | None:
    try:
        tokens = msgspec.json.decode(response.content, type=_Tokens) if response.is_success else None
    except ValueError:
        return None
    return tokens if tokens and tokens.access else None
