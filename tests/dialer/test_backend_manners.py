"""Replies that are too long or come too slowly are not read, and a backend that asks for a pause gets one."""

from __future__ import annotations

import gc
import gzip
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Iterator

import anyio
import pytest
from aiohttp import web

from streamdialer.config.settings import Settings
from streamdialer.errors import Throttled, Unreachable
from streamdialer.gateways import body
from streamdialer.gateways.backend import Backend, ContactPatch
from streamdialer.gateways.dialer_api import DialerAPI
from streamdialer.gateways.originate_request import OriginateRequest
from tests.support.gateway_server import Request, always, backend_of, serving
from tests.support.http_server import listening

MEGABYTE = 1024 * 1024
CALL = OriginateRequest(attempt_id="7:1:1", campaign="7", contact="1", phone_number="1", ring_timeout_s=30.0)


def bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([packer.compress(b" " * MEGABYTE) for _ in range(megabytes)]) + packer.flush()


async def stream(request: web.Request, chunks: AsyncIterator[bytes], **headers: str) -> web.StreamResponse:
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    async for chunk in chunks:
        await response.write(chunk)
    return response


@pytest.fixture
def memory() -> Iterator[Callable[[], int]]:
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1] // MEGABYTE
    tracemalloc.stop()


async def test_a_small_reply_that_unpacks_to_much_is_not_unpacked(memory: Callable[[], int]) -> None:
    packed = bomb(1000)
    assert len(packed) < 2 * MEGABYTE
    headers = {"Content-Encoding": "gzip"}
    async with (
        serving(lambda _: web.Response(body=packed, headers=headers)) as server,
        Backend(Settings(backend_url=server.url)) as backend,
        DialerAPI(Settings(dialer_api_url=server.url)) as api,
    ):
        with pytest.raises(Unreachable, match="the body is longer than 16384 kB"):
            await backend.campaign("7")
        assert memory() < 80
        gc.collect()
        tracemalloc.reset_peak()
        before = memory()
        reply = await api.originate(CALL)
        assert memory() - before < 8
    assert reply.verdict == "unknown"
    assert "longer than 256 kB" in reply.detail


@pytest.mark.parametrize("encoding", ["gzip", "members", "deflate", "identity", ""])
async def test_a_packed_reply_is_read(encoding: str) -> None:
    text = b'[{"id": 1, "status": "idle"}]'
    packed = {
        "gzip": gzip.compress(text),
        "members": gzip.compress(text[:9]) + gzip.compress(text[9:]),
        "deflate": zlib.compress(text),
    }.get(encoding, text)
    headers = {"Content-Encoding": encoding.replace("members", "gzip")} if encoding else {}
    async with backend_of(lambda _: web.Response(body=packed, headers=headers)) as (server, backend):
        assert [agent.id for agent in (await backend.agents("q")).agents] == [1]
    assert server.requests[0].headers["accept-encoding"] == "gzip"


PACKED = gzip.compress(b'{"status": "success", "call_id": 5}' + b" " * 500)


@pytest.mark.parametrize(
    "packed", [PACKED[:-12], PACKED + PACKED[:15], PACKED + b"junk"], ids=["cut", "second member cut", "junk"]
)
async def test_a_packed_reply_that_is_cut_short_or_goes_on_with_something_else_is_not_read(
    packed: bytes,
) -> None:
    answer = lambda _: web.Response(body=packed, headers={"Content-Encoding": "gzip"})  # noqa: E731
    async with serving(answer) as server, DialerAPI(Settings(dialer_api_url=server.url)) as api:
        reply = await api.originate(CALL)
    assert (reply.verdict, reply.call_id) == ("unknown", "")
    assert "UnreadableBody" in reply.detail


async def test_an_empty_reply_that_says_it_is_packed_is_empty() -> None:
    async with backend_of(lambda _: web.Response(headers={"Content-Encoding": "gzip"})) as (_, backend):
        await backend.patch_contact("1", ContactPatch(status="busy"))


async def test_a_packing_we_do_not_know_is_named() -> None:
    async with backend_of(lambda _: web.Response(body=b"x", headers={"Content-Encoding": "br"})) as (
        _,
        backend,
    ):
        with pytest.raises(Unreachable, match="encoding 'br', takes gzip or none"):
            await backend.campaign("7")


@pytest.mark.parametrize("pause_s", [0.0, 0.05])
async def test_a_reply_without_end_ends_at_its_limit_or_deadline(
    pause_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamdialer.gateways.client.CONNECT_TIMEOUT_S", 0.5)
    monkeypatch.setattr(body, "MAX_BODY_BYTES", 64 * MEGABYTE)

    async def chunks() -> AsyncIterator[bytes]:
        while True:
            yield b" " * (64 * 1024 if pause_s == 0 else 1)
            await anyio.sleep(pause_s)

    async def endless(request: web.Request) -> web.StreamResponse:
        return await stream(request, chunks())

    async with listening(endless) as url, Backend(Settings(backend_url=url, backend_timeout_s=1)) as backend:
        began = time.monotonic()
        with pytest.raises(Unreachable, match=r"longer than|got no reply"):
            await backend.campaign("7")
        assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    ("status", "headers", "wait_s"),
    [(429, {"Retry-After": "20"}, 20), (429, {}, 5), (503, {"Retry-After": "7"}, 7), (503, {}, None)],
)
async def test_a_backend_that_asks_for_a_pause_gets_no_request_until_it_is_over(
    status: int, headers: dict[str, str], wait_s: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = lambda _: web.json_response({"detail": "throttled"}, status=status, headers=headers)  # noqa: E731
    async with backend_of(refuse) as (server, backend):
        with pytest.raises(Unreachable):
            await backend.campaign("7")
        server.answer = always({"queue_name": "q"})
        if wait_s is None:
            assert (await backend.campaign("7")).queue_name == "q"
            return
        for _ in range(5):
            with pytest.raises(Throttled, match=f"gets none for {wait_s} s"):
                await backend.campaign("7")
            with pytest.raises(Throttled):
                await backend.patch_contact("1", ContactPatch(status="busy"))
        assert len(server.requests) == 1
        now = anyio.current_time()
        monkeypatch.setattr("streamdialer.gateways.client.monotonic", lambda: now + wait_s + 0.1)
        assert (await backend.campaign("7")).queue_name == "q"


async def test_a_pause_for_statistics_does_not_stop_calls() -> None:
    def answer(request: Request) -> web.Response:
        if request.path == "/calls/originate":
            return web.json_response({"status": "success"})
        return web.json_response({}, status=429)

    async with serving(answer) as server, DialerAPI(Settings(dialer_api_url=server.url)) as api:
        for _ in range(2):
            with pytest.raises(Throttled):
                await api.statistics("7")
        reply = await api.originate(CALL)
    assert (reply.verdict, len(server.requests)) == ("placed", 2)
