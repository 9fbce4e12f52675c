"""The HTTP gateways against real servers on loopback, well-behaved and not."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import time
from asyncio import StreamReader, StreamWriter, start_server
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from streamdialer.config.settings import Settings
from streamdialer.errors import CampaignError, RefusedByServer, SettingsError, Unreachable
from streamdialer.gateways.backend import Backend, ContactPatch
from streamdialer.gateways.dialer_api import DialerAPI
from streamdialer.gateways.originate_reply import Reply
from streamdialer.gateways.originate_request import OriginateRequest
from streamdialer.gateways.parsing import next_path
from streamdialer.model import normalise_id, wire_id
from tests.support.gateway_server import Answer, Request, Server, always, backend_of, html, serving


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


# --- Dialer API ---------------------------------------------------------------------------------------------


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


async def test_a_closed_port_an_unknown_host_and_a_url_without_sense_send_nothing(free_port: int) -> None:
    for url in (
        f"http://127.0.0.1:{free_port}",
        "http://no-such-host.invalid",
        f"https://127.0.0.1:{free_port}",
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


async def test_an_idle_close_we_have_not_noticed_is_unknown_and_nothing_is_sent_again() -> None:
    requests: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve_one_per_connection() -> None:
        with suppress(OSError):
            while True:
                peer, _ = listener.accept()
                with peer:
                    if received := peer.recv(65536):
                        requests.append(received)
                        peer.sendall(PLACED)
                        time.sleep(0.1)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, serve_one_per_connection)
        port = listener.getsockname()[1]
        async with DialerAPI(dialer_settings(f"http://127.0.0.1:{port}")) as api:
            assert (await place(api)).verdict == "placed"
            time.sleep(0.3)  # noqa: ASYNC251 - the loop must not see the close
            assert (await place(api)).verdict == "unknown"
            await anyio.sleep(0.1)
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    assert len(requests) == 1


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


# --- backend: campaigns -------------------------------------------------------------------------------------


async def campaign(document: object, status: int = 200) -> Any:
    async with backend_of(always(document, status)) as (server, backend):
        found = await backend.campaign("7")
        assert server.requests[0].path == "/api/campaigns/7/"
        return found


async def test_campaign_decimals_come_as_strings_and_nulls_mean_defaults() -> None:
    full = await campaign(
        {
            "id": 7,
            "queue_name": " sales ",
            "dial_mode": "predictive",
            "pacing_ratio": "2.50",
            "max_concurrent_calls": "20",
            "retry_delay": None,
            "max_retries": None,
            "days_of_week": [0, 4],
            "timezone": "",
            "start_time": None,
            "weight": None,
            "pacing": None,
            "unknown": {"a": 1},
        }
    )
    assert (full.queue_name, full.pacing_ratio, full.max_concurrent_calls) == ("sales", 2.5, 20)
    assert (full.retry_delay, full.max_retries, full.weight) == (300.0, 3, 1.0)
    assert (full.days_of_week, full.timezone, full.start_time, full.pacing) == ((0, 4), None, None, None)
    bare = await campaign({"queue_name": 5001, "dial_mode": None, "days_of_week": None})
    assert (bare.queue_name, bare.dial_mode, bare.days_of_week) == ("5001", "progressive", None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"queue_name": None}, "queue_name is missing"),
        ({"queue_name": "  "}, "queue_name is '  '"),
        ({"queue_name": ["q"]}, "queue_name is"),
        ({"dial_mode": "turbo"}, "dial_mode is 'turbo', takes preview, progressive, predictive, power"),
        ({"dial_mode": ["power"]}, "dial_mode is"),
        ({"pacing_ratio": "fast"}, "pacing_ratio is 'fast'"),
        ({"pacing_ratio": 0}, "pacing_ratio is 0"),
        ({"pacing_ratio": "nan"}, "pacing_ratio is 'nan'"),
        ({"retry_delay": "inf"}, "retry_delay is 'inf'"),
        ({"dial_mode": "predictive", "pacing_ratio": "3.01"}, "pacing_ratio is 3.01.*predictive.*at most 3"),
        ({"dial_mode": "power", "pacing_ratio": 5.5}, "pacing_ratio is 5.5.*power.*at most 5"),
        ({"max_concurrent_calls": -1}, "max_concurrent_calls is -1"),
        ({"days_of_week": [7]}, r"days_of_week\[...\] is \[7\]|days_of_week.* is \[7\]"),
        ({"days_of_week": "0,1"}, "days_of_week is '0,1'"),
        ({"start_time": 9}, "start_time is 9"),
        ({"calls_per_second": 0}, "calls_per_second is 0"),
        ({"calls_per_second": "inf"}, "calls_per_second is 'inf', takes a finite number"),
        ({"attempt_caps": 3}, "attempt_caps is 3"),
        ({"min_gap": 3600}, "min_gap is 3600"),
    ],
)
async def test_a_campaign_that_cannot_be_used_names_the_field(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(CampaignError, match=f"campaign 7: {message}"):
        await campaign({"queue_name": "q", **fields})


async def test_limits_of_the_ratio_are_within_it_and_other_modes_have_none() -> None:
    for mode, ratio in (("predictive", 3), ("power", "5.00"), ("progressive", 9), ("preview", 9)):
        assert (
            await campaign({"queue_name": "q", "dial_mode": mode, "pacing_ratio": ratio})
        ).dial_mode == mode


async def test_a_missing_campaign_and_a_broken_backend_are_different_errors(free_port: int) -> None:
    with pytest.raises(CampaignError, match="campaign 7 does not exist in the backend"):
        await campaign({"detail": "Not found."}, 404)
    for status in (500, 503, 401, 403, 429, 302):
        with pytest.raises(Unreachable, match=f"HTTP {status}"):
            await campaign({}, status)
    deep = web.Response(body=b"[" * 100_000, content_type="application/json")
    moved = web.Response(status=301, headers={"Location": "https://crm.example/login"})
    for answer, message in (
        (always([]), "answered HTTP 200"),
        (lambda _: deep, "answered HTTP 200"),
        (lambda _: moved, r"a redirect to https://crm\.example/login"),
        (lambda _: html(200), "an HTML page"),
    ):
        async with backend_of(answer) as (_, backend):
            with pytest.raises(Unreachable, match=message):
                await backend.campaign("7")
    async with Backend(Settings(backend_url=f"http://127.0.0.1:{free_port}")) as backend:
        with pytest.raises(Unreachable, match="BACKEND_URL"):
            await backend.campaign("7")


# --- backend: lists -----------------------------------------------------------------------------------------


async def agents(answer: Answer) -> list[tuple[int | str, bool]]:
    async with backend_of(answer) as (server, backend):
        found = [(agent.id, agent.is_free) for agent in (await backend.agents("sales/north ü")).agents]
        assert server.requests[0].path == "/api/queues/sales%2Fnorth%20%C3%BC/agents/"
        return found


async def test_agents_come_as_an_array_or_in_pages_and_count_once() -> None:
    rows = [
        {"id": 1, "status": "Available", "x": 1},
        {"id": "b", "status": "IDLE"},
        {"id": 3, "status": None},
    ]
    expected = [(1, True), ("b", True), (3, False)]
    assert await agents(always(rows)) == expected
    assert await agents(always([])) == []
    twice = [*rows, {"id": "1", "status": "busy"}, {"id": 3, "status": "idle"}, {"id": 1, "status": "idle"}]
    assert await agents(always(twice)) == [("1", False), *expected[1:]], "free only if each row says so"

    def paged(request: Request) -> web.Response:
        number = int(request.query.get("page", 1))
        following = f"http://django.internal:1{request.path}?page={number + 1}" if number < 3 else None
        return web.json_response(
            {"count": 3, "next": following, "previous": None, "results": rows[number - 1 : number]}
        )

    assert await agents(paged) == expected


@pytest.mark.parametrize(
    "document",
    [
        {"detail": "no such queue"},
        "agents",
        None,
        {"results": None},
    ],
)
async def test_an_agent_list_that_cannot_be_read_is_no_list(document: object) -> None:
    with pytest.raises(Unreachable, match="answered HTTP 200"):
        await agents(always(document))


async def test_error_pages_are_no_agent_lists() -> None:
    for answer in (lambda _: html(200), lambda _: html(404), always({}, 500), always([], 403)):
        with pytest.raises(Unreachable):
            await agents(answer)


async def test_pending_contacts_are_asked_for_as_the_contract_says_and_bad_rows_put_aside() -> None:
    rows: list[Any] = [
        {
            "id": 1,
            "campaign_id": 7,
            "phone_number": "+1",
            "status": "pending",
            "priority": "9",
            "attempts": None,
        },
        {"phone_number": "+2"},
        {"id": "a\tb", "phone_number": "+3"},
        {"id": 4, "phone_number": 15550104, "do_not_call": "perhaps"},
        {"id": 5, "phone_number": "+5", "campaign_id": 8},
        {"id": 6, "phone_number": "+6", "status": "completed"},
        "seven",
        {"id": "x/8", "timezone": "", "custom_data": {"a": 1}, "priority": "high", "attempts": ""},
    ]
    answer = always({"results": rows, "next": None})
    async with backend_of(answer) as (server, backend):
        pages = [page async for page in backend.pending("7", 50)]
    assert server.requests[0].query == {
        "campaign_id": "7",
        "status": "pending",
        "limit": "50",
        "offset": "0",
        "ordering": "-priority,created_at",
    }
    (page,) = pages
    assert page.next is None
    assert [(c.id, c.priority, c.attempts, c.timezone) for c in page.contacts] == [
        (1, 9, 0, None),
        ("x/8", 5, 0, ""),
    ]
    assert page.defaulted == {"priority": 1, "attempts": 1}
    assert [line.partition(":")[0] for line in page.unreadable] == [
        "row 2",
        r"contact 'a\tb'",
        "contact 4",
        "row 7",
    ]
    assert [line.partition(":")[0] for line in page.not_asked] == ["contact 5", "contact 6"]
    assert "campaign 8" in page.not_asked[0]
    assert "15550104" not in "".join(page.unreadable)


async def test_an_id_of_any_form_is_asked_for_as_the_backend_knows_it() -> None:
    async with backend_of(always({"id": "00Q/5f é", "status": "busy", "results": []})) as (server, backend):
        internal = normalise_id("00Q/5f é")
        await backend.patch_contact(internal, ContactPatch(status="busy"))
        found = await backend.contact("1", internal)
        assert [page async for page in backend.pending(normalise_id("North 1/2"), 5)]
    assert found is not None
    assert found.id == "00Q/5f é"
    assert [request.path for request in server.requests[:2]] == ["/api/contacts/00Q%2F5f%20%C3%A9/"] * 2
    assert server.requests[2].query["campaign_id"] == "North 1/2"


@pytest.mark.parametrize(
    ("row", "is_pending"),
    [
        ({"id": 5, "status": "pending", "phone_number": "+1", "campaign_id": 7}, True),
        ({"id": 5, "status": "pending", "phone_number": "+1"}, True),
        ({"id": 5, "status": "pending", "phone_number": "+1", "campaign_id": 8}, False),
        ({"id": 5, "status": "completed", "campaign_id": 7}, False),
    ],
)
async def test_a_contact_asked_for_by_its_id_is_pending_in_its_campaign_or_not(
    row: dict[str, Any], is_pending: bool
) -> None:
    async with backend_of(always(row)) as (server, backend):
        found = await backend.contact("7", "5", {"pending"})
    assert (found is not None) == is_pending
    assert server.requests[0].path == "/api/contacts/5/"


@pytest.mark.parametrize(
    ("asked", "shown", "is_it"),
    [
        ("3", 3, True),
        ("3", 3.0, True),
        ("3", "3", True),
        ("007", "007", True),
        ("007", 7, False),
        ("7", "007", False),
        ("1_0", 10, False),
        ("00010", 10, False),
        ("10", 11, False),
        ("10", None, False),
    ],
)
async def test_a_row_is_believed_only_with_the_id_it_was_asked_for_by(
    asked: str, shown: object, is_it: bool
) -> None:
    row = {"id": shown, "status": "pending", "phone_number": "+1", "campaign_id": 7}
    async with backend_of(always(row)) as (_, backend):
        assert (await backend.contact("7", asked) is not None) is is_it


@pytest.mark.parametrize(("shown", "is_it"), [({}, True), ({"id": "007"}, True), ({"id": 7}, False)])
async def test_a_campaign_with_another_id_is_another_campaign(shown: dict[str, object], is_it: bool) -> None:
    document = {"queue_name": "sales", **shown}
    async with backend_of(always(document)) as (_, backend):
        if is_it:
            assert (await backend.campaign("007")).queue_name == "sales"
        else:
            with pytest.raises(CampaignError, match="answers with campaign 7"):
                await backend.campaign("007")


@pytest.mark.parametrize(
    ("internal", "sent"), [("7", 7), ("0", 0), ("007", "007"), ("00", "00"), ("1_0", "1_0"), ("٣", "٣")]
)
def test_an_id_that_is_not_written_as_an_integer_is_sent_as_text(internal: str, sent: int | str) -> None:
    assert wire_id(internal) == sent


async def test_a_contact_the_backend_has_no_more_and_one_it_does_not_tell_of() -> None:
    answers = iter([web.Response(status=404), web.json_response({"id": 5}), web.Response(status=500)])
    async with backend_of(lambda _: next(answers)) as (_, backend):
        assert await backend.contact("7", "5", {"pending"}) is None
        with pytest.raises(ValueError, match="not a contact with a status"):
            await backend.contact("7", "5", {"pending"})
        with pytest.raises(Unreachable):
            await backend.contact("7", "5", {"pending"})


@pytest.mark.parametrize("status", [404, 405, 410, 501])
async def test_whether_the_backend_shows_single_contacts_is_known_once_it_has(status: int) -> None:
    row = {"id": 5, "status": "completed", "phone_number": "+1"}
    answers = iter([web.Response(status=status), web.json_response(row)])
    async with backend_of(lambda _: next(answers)) as (_, backend):
        assert await backend.contact("7", "5") is None
        assert not backend.shows_contacts
        found = await backend.contact("7", "5")
        assert found is not None
        assert found.status == "completed"
        assert backend.shows_contacts


async def test_contacts_due_for_retry_are_asked_for_in_utc() -> None:
    before = datetime(2025, 3, 1, 12, 30, tzinfo=timezone(timedelta(hours=2)))
    row = {"id": 1, "phone_number": "+1", "status": "busy", "attempts": 1}
    async with backend_of(always([row])) as (server, backend):
        pages = [page async for page in backend.due_for_retry("7", before, 3, 100)]
    assert [contact.id for page in pages for contact in page.contacts] == [1]
    assert server.requests[0].query == {
        "campaign_id": "7",
        "status": "no_answer,busy",
        "last_attempt__lt": "2025-03-01T10:30:00Z",
        "attempts__lt": "3",
        "limit": "100",
    }


async def test_next_is_followed_by_path_and_query_below_a_prefix() -> None:
    def answer(request: Request) -> web.Response:
        offset = int(request.query["offset"])
        following = (
            f"https://django:8000/api/contacts/?offset={offset + 1}&cursor=a%2Bb%3D" if offset < 2 else None
        )
        return web.json_response({"results": [{"id": offset, "phone_number": "+1"}], "next": following})

    async with backend_of(answer, "/crm") as (server, backend):
        pages = [page async for page in backend.pending("7", 1)]
    assert [page.contacts[0].id for page in pages] == [0, 1, 2]
    assert [page.next is not None for page in pages] == [True, True, False]
    assert {request.path for request in server.requests} == {"/crm/api/contacts/"}
    assert server.requests[2].query == {"offset": "2", "cursor": "a+b="}


@pytest.mark.parametrize(
    ("prefix", "following", "path"),
    [
        ("", "http://django:8000/api/contacts/?offset=5", "/api/contacts/?offset=5"),
        ("", "?offset=5", "/api/contacts/?offset=5"),
        ("/crm", "http://x/crm/api/contacts/?offset=5", "/api/contacts/?offset=5"),
        ("/crm", "http://x/api/contacts/?offset=5", "/api/contacts/?offset=5"),
        ("/api", "http://x/api/contacts/?offset=5", "/api/contacts/?offset=5"),
        ("/api", "http://x/api/api/contacts/?offset=5", "/api/contacts/?offset=5"),
        ("/crm", "/crm/api/v2/contacts/?c=1", "/api/v2/contacts/?c=1"),
    ],
)
def test_the_path_of_a_next_page(prefix: str, following: str, path: str) -> None:
    assert next_path("/api/contacts/?offset=0", following, prefix) == path


async def test_full_bare_arrays_are_followed_by_offset_until_they_repeat_or_end() -> None:
    everything = [{"id": number, "phone_number": "+1"} for number in range(5)]

    def slices(request: Request) -> web.Response:
        start, size = int(request.query["offset"]), int(request.query["limit"])
        return web.json_response(everything[start : start + size])

    async def read(answer: Answer, size: int) -> list[list[int | str]]:
        async with backend_of(answer) as (_, backend):
            return [[contact.id for contact in page.contacts] async for page in backend.pending("7", size)]

    assert await read(slices, 2) == [[0, 1], [2, 3], [4]]
    assert await read(always(everything), 5) == [[0, 1, 2, 3, 4]]
    assert await read(always(everything), 2) == [[0, 1, 2, 3, 4]]


# --- backend: writing ---------------------------------------------------------------------------------------


async def test_a_patch_carries_only_what_changed_and_its_answer_is_final_or_not(free_port: int) -> None:
    async with backend_of(always({"id": 1})) as (server, backend):
        await backend.patch_contact("12", ContactPatch(status="busy"))
        await backend.patch_contact(
            "12", ContactPatch(status="busy", attempts=2, last_attempt="2025-03-01T10:00:00Z")
        )
        await backend.post_statistics("7", {"answered": 1})
        server.answer = lambda _: web.Response(status=204)
        await backend.patch_contact("12", ContactPatch(status="busy", attempts=0))
        assert [(request.method, request.path, request.body) for request in server.requests] == [
            ("PATCH", "/api/contacts/12/", {"status": "busy"}),
            (
                "PATCH",
                "/api/contacts/12/",
                {"status": "busy", "attempts": 2, "last_attempt": "2025-03-01T10:00:00Z"},
            ),
            ("POST", "/api/campaigns/7/update_stats/", {"answered": 1}),
            ("PATCH", "/api/contacts/12/", {"status": "busy", "attempts": 0}),
        ]
        for status in (400, 404, 405, 409, 410, 422):
            server.answer = always({"detail": "no"}, status)
            with pytest.raises(RefusedByServer) as refused:
                await backend.patch_contact("12", ContactPatch(status="busy"))
            assert refused.value.status == status
        for status in (301, 401, 403, 408, 429, 500, 502, 503):
            server.answer = always({"detail": "later"}, status)
            with pytest.raises(Unreachable):
                await backend.patch_contact("12", ContactPatch(status="busy"))
        server.answer = lambda _: html(200)
        with pytest.raises(Unreachable):
            await backend.post_statistics("7", {})
    async with Backend(Settings(backend_url=f"http://127.0.0.1:{free_port}")) as backend:
        with pytest.raises(Unreachable):
            await backend.patch_contact("12", ContactPatch(status="busy"))


async def test_health_of_the_backend() -> None:
    async with backend_of(always([])) as (server, backend):
        assert "lists contacts" in await backend.health()
        server.answer = always({"detail": "campaign_id is required"}, 400)
        assert "answers" in await backend.health()
        for broken in (always({}, 401), always({}, 500), always({}), lambda _: html(200)):
            server.answer = broken
            with pytest.raises(Unreachable):
                await backend.health()


# --- backend: credentials -----------------------------------------------------------------------------------


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
            with pytest.raises(Unreachable, match=r"answered HTTP 401; check BACKEND_USERNAME") as refused:
                await backend.patch_contact("1", ContactPatch(status="busy"))
            assert "pw" not in str(refused.value)
    assert django.log == ["obtain"]


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


@pytest.fixture
def free_port() -> int:
    """A port on which no server listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
