"""The backend's SimpleJWT log-in as an httpx.Auth: obtain, refresh on 401, obtain again."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import Final

import anyio
import httpx
import msgspec

from streamdialer.errors import Unreachable

REFUSED_PAUSE_S: Final = 5.0
"""Pause after a refused log-in: some backends lock accounts that fail often."""


class _Tokens(msgspec.Struct):
    access: str
    refresh: str = ""


class SimpleJWT(httpx.Auth):
    """Tokens from `login_url`, refreshed below it at `refresh/`; a request is sent at most twice."""

    def __init__(self, login_url: str, username: str, password: str) -> None:
        self._login_url = login_url.rstrip("/") + "/"
        self._refresh_url = self._login_url + "refresh/"
        self._credentials = {"username": username, "password": password}
        self._access = ""
        self._refresh = ""
        self._refusal = ""
        self._paused_until = 0.0
        self._lock = anyio.Lock()

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Raises Unreachable when the backend gives no token."""
        used = self._access
        if not used:
            async with self._lock:
                if not self._access:
                    response = yield self._obtain(request)
                    await self._store(response)
                used = self._access
        request.headers["authorization"] = f"Bearer {used}"
        response = yield request
        if not await _is_stale(response):
            return
        async with self._lock:
            if self._access == used and self._refresh:
                response = yield _post(self._refresh_url, {"refresh": self._refresh}, request)
                await self._store_refreshed(response)
            if self._access in ("", used):
                self._access = self._refresh = ""
                response = yield self._obtain(request)
                await self._store(response)
            used = self._access
        request.headers["authorization"] = f"Bearer {used}"
        yield request

    def _obtain(self, request: httpx.Request) -> httpx.Request:
        if time.monotonic() < self._paused_until:
            raise Unreachable(self._refusal)
        return _post(self._login_url, self._credentials, request)

    async def _store(self, response: httpx.Response) -> None:
        tokens = await _read_tokens(response)
        if tokens is None:
            text = f"backend: log-in at {self._login_url} answered HTTP {response.status_code}"
            if response.status_code in (400, 401, 403):
                self._refusal = f"{text}; check BACKEND_USERNAME and BACKEND_PASSWORD"
                self._paused_until = time.monotonic() + REFUSED_PAUSE_S
                raise Unreachable(self._refusal)
            raise Unreachable(f"{text} and no token; check STREAMDIALER_BACKEND_LOGIN_PATH")
        self._access, self._refresh = tokens.access, tokens.refresh

    async def _store_refreshed(self, response: httpx.Response) -> None:
        tokens = await _read_tokens(response)
        if tokens is not None:
            self._access = tokens.access
            # the backend sends one only if its refresh tokens rotate
            self._refresh = tokens.refresh or self._refresh


def _post(url: str, document: dict[str, str], like: httpx.Request) -> httpx.Request:
    """A log-in request with the time-outs and the User-Agent of the original request."""
    return httpx.Request(
        "POST",
        url,
        content=msgspec.json.encode(document),
        headers={
            "content-type": "application/json",
            "accept": "application/json",
            "user-agent": like.headers.get("user-agent", "streamdialer"),
        },
        extensions=dict(like.extensions),
    )


async def _is_stale(response: httpx.Response) -> bool:
    """401, or 403: Django REST framework answers it when session authentication comes first."""
    if response.status_code == 403:
        return b"token_not_valid" in await response.aread()
    return response.status_code == 401


async def _read_tokens(response: httpx.Response) -> _Tokens | None:
    body = await response.aread()
    try:
        tokens = msgspec.json.decode(body, type=_Tokens) if response.is_success else None
    except ValueError:
        return None
    return tokens if tokens and tokens.access else None
