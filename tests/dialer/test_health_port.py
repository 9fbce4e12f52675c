"""The health port under attack: connections that do not finish, and requests of other sites' pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import httpx
import pytest
from aiohttp import web
from anyio.abc import SocketStream
from hypothesis import given
from hypothesis import strategies as st

from streamdialer.observability import http_port
from streamdialer.observability.health import HealthPort
from streamdialer.observability.http_port import host_of, may_be_asked_as
from streamdialer.operations.session import free_port

HALF = b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "


async def _measured() -> bool:
    return True


@asynccontextmanager
async def health_port(names: str = "") -> AsyncIterator[int]:
    port = free_port()
    async with HealthPort(_measured, lambda: False, names).listening("127.0.0.1", port):
        try:
            yield port
        finally:
            await close_all()


OPEN: list[SocketStream] = []


async def close_all() -> None:
    while OPEN:
        await OPEN.pop().aclose()


async def connect_half(port: int, data: bytes = HALF) -> SocketStream:
    OPEN.append(await anyio.connect_tcp("127.0.0.1", port))
    if data:
        await OPEN[-1].send(data)
    return OPEN[-1]


async def read_all(connection: SocketStream) -> bytes:
    """What the server sends before it closes the connection."""
    received = b""
    with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
        while True:
            received += await connection.receive()
    return received


async def test_half_open_connections_are_limited_and_do_not_keep_others_out() -> None:
    async with health_port() as port, httpx.AsyncClient() as client:
        connections = [await connect_half(port) for _ in range(4 * http_port.MAX_CONNECTIONS)]
        assert (await client.get(f"http://127.0.0.1:{port}/live", timeout=5)).status_code == 200
        with anyio.fail_after(5):
            for connection in connections[: 3 * http_port.MAX_CONNECTIONS]:
                assert await read_all(connection) == b""


@pytest.mark.parametrize(
    "data", [b"", HALF, b"POST /live HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{"]
)
async def test_a_connection_ends_when_its_time_is_over(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_port, "CONNECTION_MAX_S", 0.3)
    async with health_port() as port:
        connection = await connect_half(port, data)
        with anyio.fail_after(5):
            await read_all(connection)


async def test_a_slow_body_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_port, "CONNECTION_MAX_S", 0.5)
    outcomes: list[str] = []

    async def read_body(request: web.Request) -> web.Response:
        try:
            await request.read()
        except ConnectionError:
            outcomes.append("cut off")
            raise
        return web.Response()

    app, port = web.Application(), free_port()
    app.router.add_post("/", read_body)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await http_port.BoundedSite(runner, "127.0.0.1", port).start()
        await connect_half(port, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\n")
        with anyio.fail_after(5):
            while not outcomes:
                with suppress(anyio.BrokenResourceError):
                    await OPEN[0].send(b"x")
                await anyio.sleep(0.05)
    finally:
        await close_all()
        await runner.cleanup()


async def test_a_connection_carries_one_request() -> None:
    async with health_port() as port:
        connection = await connect_half(port, b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 2)
        with anyio.fail_after(5):
            answer = await read_all(connection)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"Connection: close" in answer


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9101", 200),
        ("localhost", 200),
        ("[::1]:9101", 200),
        ("rebound.example:9101", 403),
        ("10.0.0.1", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
async def test_metrics_of_a_loopback_port_are_for_this_machine(host: str, status: int) -> None:
    async with health_port("dialer.example") as port, httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/metrics", headers={"Host": host})
        assert answer.status_code == status
        assert ("streamdialer_" in answer.text) == (status == 200)
        assert (await client.get(f"http://127.0.0.1:{port}/live", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("10.0.0.7:9101", True),
        ("[2001:db8::1]:9101", True),
        ("consume-1:9101", True),
        ("dialer.example:9101", True),
        ("DIALER.example", True),
        ("other.example", False),
        ("host.docker.internal:9101", True),
        ("dialer.calls.svc.cluster.local:9101", True),
        ("evil-internal.example", False),
        ("notlocal", True),
        ("a.notlocal", False),
        ("example.", True),
        ("10.0.0.7.example", False),
        ("", False),
    ],
)
def test_elsewhere_they_are_for_addresses_plain_names_and_names_of_ours(host: str, is_ours: bool) -> None:
    assert may_be_asked_as(host_of(host), "0.0.0.0", "a.example, Dialer.example") is is_ours


@given(st.text(max_size=30))
def test_any_host_is_an_answer(text: str) -> None:
    assert may_be_asked_as(host_of(text), "127.0.0.1", "") in (True, False)
