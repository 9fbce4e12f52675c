"""How the dialer logs in at the backend: tokens, their renewal, and refusals."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from aiohttp import web

from streamdialer.config.settings import Settings
from streamdialer.errors import CredentialsRefused, Throttled, Unreachable
from streamdialer.gateways.backend import Backend, ContactPatch
from tests.support.gateway_server import Answer, Request, Server, always, html, serving


class Django:
    """A backend behind SimpleJWT; tokens are numbered, and only the newest is good."""

    def __init__(self) -> None:
        self.issued = 0
        self.refresh_works = True
        self.password = "pw"
        self.log: list[str] = []
        self.stale_status = 401

    def expire(self) -> None:
        self.issued += 1

    async def __call__(self, request: Request) -> web.StreamResponse:
        await anyio.sleep(0.02)
        if request.path == "/api/token/":
            self.log.append("obtain")
            if request.body != {"username": "dialer", "password": self.password}:
                return web.json_response({"detail": "No active account"}, status=401)
            self.issued += 1
            return web.json_response({"access": f"a{self.issued}", "refresh": "r"})
        if request.path == "/api/token/refresh/":
            self.log.append("refresh")
            if not self.refresh_works or request.body != {"refresh": "r"}:
                return web.json_response({"code": "token_not_valid"}, status=401)
            self.issued += 1
            return web.json_response({"access": f"a{self.issued}"})
        good = request.headers.get("authorization") == f"Bearer a{self.issued}"
        self.log.append("ok" if good else "stale")
        if not good:
            return web.json_response({"code": "token_not_valid"}, status=self.stale_status)
        response = web.json_response([])
        response.set_cookie("sessionid", "s")
        assert "cookie" not in request.headers
        return response


def jwt_settings(server: Server) -> Settings:
    # by name: cookie jars ignore servers without one
    url = server.url.replace("127.0.0.1", "localhost")
    return Settings(backend_url=url, backend_username="dialer", backend_password="pw")


@asynccontextmanager
async def jwt_backend_of(answer: Answer) -> AsyncIterator[tuple[Server, Backend]]:
    async with serving(answer) as server, Backend(jwt_settings(server)) as backend:
        yield server, backend


async def test_concurrent_requests_share_one_log_in_and_one_refresh() -> None:
    django = Django()
    async with jwt_backend_of(django) as (server, backend):
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                for _ in range(8):
                    tasks.start_soon(backend.agents, "q")
            django.expire()
    assert django.log.count("obtain") == 1
    assert django.log.count("refresh") == 1
    assert django.log.count("ok") == 16
    login = server.requests[0]
    assert login.headers["user-agent"].startswith("streamdialer/")
    assert "authorization" not in login.headers


@pytest.mark.parametrize("stale_status", [401, 403])
async def test_a_refresh_that_fails_logs_in_again(stale_status: int) -> None:
    django = Django()
    django.refresh_works, django.stale_status = False, stale_status
    async with jwt_backend_of(django) as (server, backend):
        await backend.agents("q")
        django.expire()
        await backend.patch_contact("1", ContactPatch(status="busy"))
    assert django.log == ["obtain", "ok", "stale", "refresh", "obtain", "ok"]
    assert [request.body for request in server.requests if request.method == "PATCH"] == [
        {"status": "busy"}
    ] * 2


async def test_refused_credentials_are_said_once_and_not_hammered() -> None:
    django = Django()
    django.password = "another"
    async with jwt_backend_of(django) as (_, backend):
        for _ in range(5):
            with pytest.raises(
                CredentialsRefused, match=r"answered HTTP 401; check BACKEND_USERNAME"
            ) as refused:
                await backend.patch_contact("1", ContactPatch(status="busy"))
            assert "pw" not in str(refused.value)
    assert django.log == ["obtain"]


@pytest.mark.parametrize(
    ("status", "headers", "error", "pause_s"),
    [
        (429, {"Retry-After": "20"}, Throttled, 20),
        (429, {}, Throttled, 5),
        (429, {"Retry-After": "0"}, Throttled, 1),
        (503, {"Retry-After": "7"}, Throttled, 7),
        (503, {}, Unreachable, 5),
        (401, {}, CredentialsRefused, 5),
        (403, {}, CredentialsRefused, 5),
    ],
)
async def test_a_log_in_that_is_refused_is_tried_once_and_again_after_the_pause(
    status: int,
    headers: dict[str, str],
    error: type[Unreachable],
    pause_s: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    django = Django()
    errors: list[Unreachable] = []

    async def ask(backend: Backend) -> None:
        with pytest.raises(Unreachable) as caught:
            await backend.agents("q")
        errors.append(caught.value)

    async with jwt_backend_of(lambda _: web.json_response({}, status=status, headers=headers)) as (
        server,
        backend,
    ):
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(ask, backend)
        assert {type(each) for each in errors} == {error}
        assert len(server.requests) == 1
        server.answer = django
        now = time.monotonic()
        monkeypatch.setattr("streamdialer.gateways.auth.monotonic", lambda: now + pause_s - 0.7)
        await ask(backend)
        assert len(server.requests) == 1
        monkeypatch.setattr("streamdialer.gateways.auth.monotonic", lambda: now + pause_s + 0.1)
        await backend.agents("q")


async def test_a_refresh_that_is_throttled_keeps_the_log_in(monkeypatch: pytest.MonkeyPatch) -> None:
    django = Django()

    def throttle(request: Request) -> web.Response:
        return web.json_response({}, status=429 if "token" in request.path else 401)

    async with jwt_backend_of(django) as (server, backend):
        await backend.agents("q")
        django.expire()
        server.answer = throttle
        for _ in range(3):
            with pytest.raises(Throttled):
                await backend.agents("q")
        assert [request.path for request in server.requests if "token" in request.path] == [
            "/api/token/",
            "/api/token/refresh/",
        ]
        server.answer = django
        now = time.monotonic()
        monkeypatch.setattr("streamdialer.gateways.auth.monotonic", lambda: now + 5.1)
        await backend.agents("q")
    assert django.log == ["obtain", "ok", "stale", "refresh", "ok"]


async def test_a_request_refused_with_a_fresh_token_is_not_sent_a_third_time() -> None:
    django = Django()

    async def never_content(request: Request) -> web.StreamResponse:
        if "token" in request.path:
            return await django(request)
        return web.json_response({}, status=401)

    async with jwt_backend_of(never_content) as (server, backend):
        with pytest.raises(Unreachable, match="refuses our credentials"):
            await backend.agents("q")
    assert [request.path for request in server.requests if "token" not in request.path] == [
        "/api/queues/q/agents/"
    ] * 2


async def test_a_log_in_that_is_away_or_no_log_in_is_unreachable() -> None:
    async with jwt_backend_of(lambda _: html(200)) as (server, backend):
        for answer in (lambda _: html(200), always({}, 500), always({"access": ""}), always({"access": 5})):
            server.answer = answer
            with pytest.raises(Unreachable, match="log-in at"):
                await backend.campaign("7")
    async with Backend(jwt_settings(server)) as backend:
        with pytest.raises(Unreachable, match="BACKEND_URL"):
            await backend.campaign("7")


async def test_a_token_a_url_with_credentials_and_none_at_all() -> None:
    async with serving(always([])) as server:
        named = server.url.replace("http://", "http://us%40er:s3cret@")
        for settings in (
            Settings(backend_url=server.url, backend_token="tok", backend_username="u", backend_password="p"),
            Settings(backend_url=named),
            Settings(backend_url=server.url),
        ):
            async with Backend(settings) as backend:
                await backend.agents("q")
                assert "s3cret" not in await backend.health()
    sent = [request.headers.get("authorization", "") for request in server.requests[::2]]
    assert sent == ["Bearer tok", "Basic dXNAZXI6czNjcmV0", ""]
    async with Backend(Settings(backend_url=named)) as backend:
        with pytest.raises(Unreachable) as away:
            await backend.agents("q")
    assert "s3cret" not in str(away.value)
