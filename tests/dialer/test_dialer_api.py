"""The Dialer API on loopback: what is sent, what a reply means, and what a broken connection means."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import threading
import time
from asyncio import StreamReader, StreamWriter, start_server
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from streamdialer.config.settings import Settings
from streamdialer.errors import RefusedByServer, SettingsError, Unreachable
from streamdialer.gateways.backend import Backend
from streamdialer.gateways.dialer_api import DialerAPI
from streamdialer.gateways.originate_reply import Reply
from streamdialer.gateways.originate_request import OriginateRequest
from streamdialer.operations.session import free_port
from tests.support.gateway_server import Answer, Request, Server, always, html, serving


@asynccontextmanager
async def api_of(answer: Answer, below: str = "", **more: Any) -> AsyncIterator[tuple[Server, DialerAPI]]:
    async with serving(answer) as server, DialerAPI(dialer_settings(server.url + below, **more)) as api:
        yield server, api


@asynccontextmanager
async def speaking(
    talk: Callable[[StreamReader, StreamWriter], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """A server below HTTP: `talk` has the bare connection; yields host:port."""

    open_writers: set[StreamWriter] = set()
    ended = anyio.Event()

    async def guarded(reader: StreamReader, writer: StreamWriter) -> None:
        open_writers.add(writer)
        with suppress(OSError, EOFError):
            await talk(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        open_writers.discard(writer)
        if not open_writers:
            ended.set()

    server = await start_server(guarded, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in open_writers:
            writer.transport.abort()
        if open_writers:
            ended = anyio.Event()
            await ended.wait()


async def read_request(reader: StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return head + await reader.readexactly(int(length.partition(b":")[2]))


PLACED = b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n" + b'{"status": "success"}'


def dialer_settings(url: str, **more: Any) -> Settings:
    return Settings(dialer_api_url=url, **{"originate_timeout_s": 10.0, **more})


async def originate(url: str, **more: Any) -> Reply:
    async with DialerAPI(dialer_settings(url, **more)) as api:
        return await place(api)


async def place(api: DialerAPI, attempt: str = "7:12:1") -> Reply:
    request = OriginateRequest(
        attempt_id=attempt, campaign="7", contact="12", phone_number="+15550123", ring_timeout_s=30.0
    )
    return await api.originate(request)


async def add_reply(api: DialerAPI, replies: list[Reply]) -> None:
    replies.append(await place(api))


async def test_an_originate_request_is_what_the_contract_says() -> None:
    answer = always({"status": "success", "call_id": 5})
    async with api_of(answer, below="/dialer/", dialer_api_token="t0ken") as (server, api):
        reply = await api.originate(
            OriginateRequest(
                attempt_id="7:abc:2",
                campaign="7",
                contact="abc",
                phone_number="+1555",
                variables={"lang": "de"},
                queue="sales",
                ring_timeout_s=30.0,
            )
        )
        await api.originate(
            OriginateRequest(
                attempt_id="x:12:1",
                campaign="x",
                contact="12",
                contact_wire_id="012",
                phone_number="1",
                trunk="sip-co",
                caller_id="+576015551234",
                ring_timeout_s=12.5,
                on_machine="agent",
                variables={"SD_AMD": "0"},
            )
        )
        await api.originate(
            OriginateRequest(
                attempt_id="1:1:1",
                campaign="1",
                campaign_wire_id="1",
                contact="a%2Fb",
                phone_number="1",
                ring_timeout_s=60,
            )
        )
    assert reply == Reply(verdict="placed", call_id="5", detail="HTTP 200")
    first, second, third = server.requests
    assert (first.method, first.path) == ("POST", "/dialer/calls/originate")
    assert first.body == {
        "campaign_id": 7,
        "contact_id": "abc",
        "phone_number": "+1555",
        "context": "dialer-outbound",
        "priority": 1,
        "timeout": 30,
        "variables": {"lang": "de", "ATTEMPT_ID": "7:abc:2"},
    }
    assert type(first.body["timeout"]) is int
    assert (second.body["timeout"], third.body["timeout"]) == (12.5, 60)
    assert first.headers["idempotency-key"] == "7:abc:2"
    assert first.headers["authorization"] == "Bearer t0ken"
    assert first.headers["content-type"] == "application/json"
    assert first.headers["user-agent"].startswith("streamdialer/")
    assert (second.body["campaign_id"], second.body["contact_id"]) == ("x", "012")
    assert (second.body["trunk"], second.body["caller_id"]) == ("sip-co", "+576015551234")
    assert second.body["variables"] == {"SD_AMD": "1", "SD_ON_MACHINE": "agent", "ATTEMPT_ID": "x:12:1"}
    assert (third.body["campaign_id"], third.body["contact_id"]) == ("1", "a/b")


@pytest.mark.parametrize(
    ("status", "verdict", "hold", "rest_s"),
    [
        (200, "placed", "", 0),
        (429, "not_placed", "campaign", 11),
        (503, "not_placed", "api", 11),
        (401, "not_placed", "credentials", 11),
        (404, "never", "", 0),
        (500, "unknown", "", 0),
        (307, "unknown", "", 0),
        (408, "unknown", "", 0),
    ],
)
async def test_every_reply_is_read_after_one_try(status: int, verdict: str, hold: str, rest_s: float) -> None:
    headers = {"Retry-After": "11", "Location": "/elsewhere"}
    async with serving(lambda _: web.json_response({}, status=status, headers=headers)) as server:
        reply = await originate(server.url)
    assert (reply.verdict, reply.hold, reply.retry_after_s) == (verdict, hold, rest_s)
    assert len(server.requests) == 1


async def test_a_closed_port_an_unknown_host_and_a_url_without_sense_send_nothing() -> None:
    for url in (
        f"http://127.0.0.1:{free_port()}",
        "http://no-such-host.invalid",
        f"https://127.0.0.1:{free_port()}",
    ):
        reply = await originate(url)
        assert (reply.verdict, reply.hold) == ("not_placed", "api"), url
        assert "nothing was sent" in reply.detail


async def test_a_certificate_we_do_not_trust_sends_nothing(tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -keyout {key} -out {cert}"
    try:
        await anyio.run_process(command.split())
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no openssl to make a certificate with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    requests: list[bytes] = []

    async def talk(reader: StreamReader, writer: StreamWriter) -> None:
        requests.append(await read_request(reader))

    async with speaking(talk, context) as address:
        reply = await originate(f"https://{address}")
    assert requests == []
    assert (reply.verdict, reply.hold) == ("not_placed", "api")


async def test_a_tls_handshake_that_breaks_sends_nothing() -> None:
    async def talk(reader: StreamReader, writer: StreamWriter) -> None:
        reset(writer)

    async with speaking(talk) as address:
        assert (await originate(f"https://{address}")).verdict == "not_placed"


async def test_no_connection_in_time_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamdialer.gateways.client.CONNECT_TIMEOUT_S", 0.3)

    async def talk(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.read()  # never says hello

    async with speaking(talk) as address:
        assert (await originate(f"https://{address}")).verdict == "not_placed"


def reset(writer: StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize(
    "ending", ["close", "reset", "silence", "half", "truncated", "ssh", "gzip", "chunk", "trickle"]
)
async def test_a_reply_that_breaks_after_sending_is_unknown_and_nothing_is_sent_again(ending: str) -> None:
    requests: list[bytes] = []
    bodies = {
        "half": b"HTTP/1.1 200 OK\r\nContent-Le",
        "truncated": b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{}",
        "ssh": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "trickle": b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n",
    }

    async def talk(reader: StreamReader, writer: StreamWriter) -> None:
        requests.append(await read_request(reader))
        if ending == "reset":
            reset(writer)
        elif ending == "silence":
            await reader.read()
        elif ending in bodies:
            writer.write(bodies[ending])
            await writer.drain()
            while ending == "trickle":
                await anyio.sleep(0.05)
                writer.write(b" ")
                await writer.drain()

    async with speaking(talk) as address:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("streamdialer.gateways.client.CONNECT_TIMEOUT_S", 0.5)
            started = time.monotonic()
            reply = await originate(f"http://{address}", originate_timeout_s=0.8)
            assert time.monotonic() - started < 5
        await anyio.sleep(0.05)
    assert (reply.verdict, reply.hold) == ("unknown", "")
    assert len(requests) == 1


async def test_a_kept_connection_that_breaks_is_unknown_and_nothing_is_sent_again() -> None:
    requests: list[bytes] = []

    async def talk(reader: StreamReader, writer: StreamWriter) -> None:
        requests.append(await read_request(reader))
        writer.write(PLACED)
        await writer.drain()
        requests.append(await read_request(reader))

    async with speaking(talk) as address, DialerAPI(dialer_settings(f"http://{address}")) as api:
        replies = [await place(api, "7:1:1"), await place(api, "7:2:1")]
        await anyio.sleep(0.1)
    assert [reply.verdict for reply in replies] == ["placed", "unknown"]
    assert [b"7:1:1" in requests[0], b"7:2:1" in requests[1], len(requests)] == [True, True, 2]


async def test_a_connection_the_server_closed_while_idle_costs_nothing_once_we_know() -> None:
    async def talk(reader: StreamReader, writer: StreamWriter) -> None:
        await read_request(reader)
        writer.write(PLACED)
        await writer.drain()

    async with speaking(talk) as address, DialerAPI(dialer_settings(f"http://{address}")) as api:
        for _ in range(3):
            assert (await place(api)).verdict == "placed"
            await anyio.sleep(0.05)


@asynccontextmanager
async def in_a_thread(serve: Callable[[socket.socket], None]) -> AsyncIterator[str]:
    """A server that speaks while the loop stands still: `serve` has the listening socket; yields the URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, serve, listener)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()


async def test_an_idle_close_that_the_loop_has_not_seen_costs_nothing() -> None:
    requests: list[bytes] = []

    def serve_one_per_connection(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                peer, _ = listener.accept()
                with peer:
                    if received := peer.recv(65536):
                        requests.append(received)
                        peer.sendall(PLACED)
                        time.sleep(0.1)

    async with in_a_thread(serve_one_per_connection) as url, DialerAPI(dialer_settings(url)) as api:
        assert (await place(api)).verdict == "placed"
        time.sleep(0.3)  # noqa: ASYNC251 - the loop must not see the close
        assert (await place(api)).verdict == "placed"
    assert len(requests) == 2


STRAYS = {
    "busy": b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
    "gone": b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}",
    "placed": PLACED,
    "half": PLACED[:-5],
}


@pytest.mark.parametrize("is_seen", [True, False])
@pytest.mark.parametrize("stray", STRAYS)
async def test_a_reply_nobody_asked_for_is_not_taken_for_the_reply_to_the_next_request(
    stray: str, is_seen: bool
) -> None:
    requests: list[bytes] = []

    def serve(peer: socket.socket) -> None:
        with suppress(OSError), peer:
            while received := peer.recv(65536):
                requests.append(received)
                peer.sendall(PLACED.replace(b"}", b', "call_id": %d}' % len(requests)).replace(b"21", b"35"))
                time.sleep(0.05)
                peer.sendall(STRAYS[stray])

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=[listener.accept()[0]]).start()

    async with in_a_thread(accept) as url, DialerAPI(dialer_settings(url)) as api:
        replies = [await place(api, "7:1:1")]
        if is_seen:
            await anyio.sleep(0.2)
        else:
            time.sleep(0.2)  # noqa: ASYNC251 - the loop must not see what comes
        with anyio.fail_after(5):  # half a reply would keep the request for ever
            replies.append(await place(api, "7:2:1"))
    assert [(reply.verdict, reply.call_id) for reply in replies] == [("placed", "1"), ("placed", "2")]
    assert [b"7:1:1" in requests[0], b"7:2:1" in requests[1], len(requests)] == [True, True, 2]


async def test_a_kept_connection_on_which_nothing_came_is_used_again() -> None:
    connections = 0

    async def talk(reader: StreamReader, writer: StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            await read_request(reader)
            writer.write(PLACED)
            await writer.drain()

    async with speaking(talk) as address, DialerAPI(dialer_settings(f"http://{address}")) as api:
        for _ in range(5):
            assert (await place(api)).verdict == "placed"
            await anyio.sleep(0.01)
    assert connections == 1


@pytest.mark.parametrize("is_opened", [True, False])
async def test_a_closed_client_sends_nothing(is_opened: bool) -> None:
    async with serving(always({"queue_name": "q"})) as server:
        api, backend = DialerAPI(dialer_settings(server.url)), Backend(Settings(backend_url=server.url))
        if is_opened:
            await place(api)
            await backend.campaign("7")
        before = len(server.requests)
        await api.aclose()
        await backend.aclose()
        assert (await place(api)).verdict == "not_placed"
        with pytest.raises(Unreachable, match="this client is closed"):
            await backend.campaign("7")
        assert len(server.requests) == before


async def test_hundreds_of_held_replies_do_not_wait_for_each_other() -> None:
    all_here = anyio.Event()

    async def hold(_: Request) -> web.StreamResponse:
        if len(server.requests) == 200:
            all_here.set()
        await all_here.wait()
        return web.json_response({})

    replies: list[Reply] = []
    async with (
        api_of(hold, calls_concurrency=200, originate_timeout_s=20) as (server, api),
        anyio.create_task_group() as tasks,
    ):
        for _ in range(200):
            tasks.start_soon(add_reply, api, replies)
    assert {reply.verdict for reply in replies} == {"placed"}


async def test_cancellation_passes_through_and_closing_midway_is_unknown() -> None:
    second_here = anyio.Event()

    async def hold(_: Request) -> web.StreamResponse:
        if len(server.requests) == 2:
            second_here.set()
        await anyio.sleep(5)
        return web.json_response({})

    async with api_of(hold, originate_timeout_s=20) as (server, api):
        with anyio.move_on_after(0.1) as scope:
            await place(api)
        assert scope.cancelled_caught
        replies: list[Reply] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(add_reply, api, replies)
            await second_here.wait()
            await api.aclose()
    assert [reply.verdict for reply in replies] == ["unknown"]


async def test_statistics_and_health_of_the_dialer_api() -> None:
    async with api_of(always({"active_calls": 3})) as (server, api):
        assert await api.statistics("7") == {"active_calls": 3}
        assert server.requests[0].path == "/campaigns/7/stats"
        assert "answers" in await api.health()
        server.answer = always({}, 404)
        with pytest.raises(RefusedByServer) as refused:
            await api.statistics("7")
        assert refused.value.status == 404
        assert "no /health" in await api.health()
        for broken in (lambda _: html(200), lambda _: html(502), always([]), always({}, 401)):
            server.answer = broken
            with pytest.raises(Unreachable, match="/campaigns/7/stats answered HTTP"):
                await api.statistics("7")
        with pytest.raises(Unreachable, match="credentials"):
            await api.health()
    async with DialerAPI(dialer_settings(server.url)) as api:
        with pytest.raises(Unreachable, match="DIALER_API_URL"):
            await api.statistics("7")


@pytest.mark.parametrize("url", ["", "dialer-api:8001", "ftp://dialer-api", "http://", "http://[::1"])
def test_a_base_url_that_is_not_http_names_its_setting(url: str) -> None:
    with pytest.raises(SettingsError, match="DIALER_API_URL"):
        DialerAPI(Settings(dialer_api_url=url))
    with pytest.raises(SettingsError, match="BACKEND_URL"):
        Backend(Settings(backend_url=url))
