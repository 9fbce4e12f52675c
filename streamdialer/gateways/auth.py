"""The backend's SimpleJWT log-in: obtain a token, refresh it when it is stale, obtain again."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import msgspec

from streamdialer.errors import Unreachable
from streamdialer.gateways.body import Response

REFUSED_PAUSE_S: Final = 5.0
"""Pause after a refused log-in: some backends lock accounts that fail often."""

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
        self._refusal = ""
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
                tokens = _read_tokens(await _send(post, self._refresh_url, {"refresh": self._refresh}))
                if tokens is not None:
                    self._access = tokens.access
                    # the backend sends one only if its refresh tokens rotate
                    self._refresh = tokens.refresh or self._refresh
            if self._access in ("", stale):
                self._access = self._refresh = ""
                await self._obtain(post)
            return self._access

    async def _obtain(self, post: Post) -> None:
        if time.monotonic() < self._paused_until:
            raise Unreachable(self._refusal)
        response = await _send(post, self._login_url, self._credentials)
        tokens = _read_tokens(response)
        if tokens is None:
            text = f"backend: log-in at {self._login_url} answered HTTP {response.status_code}"
            if response.status_code in (400, 401, 403):
                self._refusal = f"{text}; check BACKEND_USERNAME and BACKEND_PASSWORD"
                self._paused_until = time.monotonic() + REFUSED_PAUSE_S
                raise Unreachable(self._refusal)
            raise Unreachable(f"{text} and no token; check STREAMDIALER_BACKEND_LOGIN_PATH")
        self._access, self._refresh = tokens.access, tokens.refresh


def is_stale(response: Response) -> bool:
    """401, or 403: Django REST framework answers it when session authentication comes first."""
    if response.status_code == 403:
        return b"token_not_valid" in response.content
    return response.status_code == 401


async def _send(post: Post, url: str, document: dict[str, str]) -> Response:
    return await post(url, msgspec.json.encode(document))


def _read_tokens(response: Response) -> _Tokens | None:
    try:
        tokens = msgspec.json.decode(response.content, type=_Tokens) if response.is_success else None
    except ValueError:
        return None
    return tokens if tokens and tokens.access else None
