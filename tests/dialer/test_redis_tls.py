"""TLS to one server, a Cluster and Sentinel, with a client's certificate; sentinels with a log-in of their own."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from redis.asyncio import Redis

from streamdialer.broker.connection import close, connect, make_ready, ping
from streamdialer.errors import Unreachable
from streamdialer.operations.redis_server import find_binary
from streamdialer.operations.session import free_port
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.eventually import eventually, wait_until
from tests.support.tls_front import Certificates, TlsFront, tls_front


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def front(certificates: Certificates) -> Iterator[TlsFront]:
    with tls_front(certificates.context) as opened:
        yield opened


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    client = connect(url)
    try:
        yield client
    finally:
        await close(client)
        await anyio.sleep(0.05)  # the library does not wait for the end of a TLS connection


async def works(client: Redis) -> None:
    """Single commands, a pipeline, a blocking read and messages."""
    key, stream = "{a}:key", "{a}:stream"
    await client.set(key, "1", ex=60)
    pipe = client.pipeline(transaction=False)
    pipe.get(key)
    assert await pipe.execute() == ["1"]
    await client.xgroup_create(stream, "g", "0", mkstream=True)
    await client.xadd(stream, {"a": "b"})
    assert await client.xreadgroup("g", "c", {stream: ">"}, block=100)
    await make_ready(client)
    pubsub = client.pubsub()
    await pubsub.subscribe("channel")
    await client.publish("channel", "heard")
    message = await eventually(lambda: pubsub.get_message(ignore_subscribe_messages=True))
    assert message["data"] == "heard"
    closing: Any = pubsub
    await closing.aclose()


async def test_one_server_takes_only_clients_with_a_certificate(
    front: TlsFront, certificates: Certificates
) -> None:
    with EmbeddedServer(tcp=True) as server:
        front.upstream = urlsplit(server.url).port or 0
        address = f"rediss://127.0.0.1:{front.port}"
        async with connected(f"{address}?{certificates.options()}") as client:
            await works(client)
        for refused in (address, f"{address}?{certificates.options_without_certificate()}"):
            async with connected(refused) as client:
                with pytest.raises(Unreachable):
                    await ping(client, refused)


async def test_every_node_of_a_cluster_is_spoken_to_with_tls(
    front: TlsFront, certificates: Certificates
) -> None:
    ports = ("--cluster-announce-port", str(front.port), "--cluster-port", str(free_port()))
    with EmbeddedServer("--cluster-enabled", "yes", *ports, tcp=True) as node:
        front.upstream = urlsplit(node.url).port or 0
        async with connected(node.url) as plain:
            await plain.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)

            async def is_up() -> bool:
                return "cluster_state:ok" in str(await plain.execute_command("CLUSTER", "INFO"))

            await eventually(is_up)
        async with connected(f"rediss+cluster://127.0.0.1:{front.port}?{certificates.options()}") as client:
            await works(client)
    assert front.encrypted >= 2


@pytest.fixture
def sentinel_front(certificates: Certificates) -> Iterator[TlsFront]:
    with tls_front(certificates.context) as opened:
        yield opened


@pytest.fixture
def guarded(front: TlsFront, sentinel_front: TlsFront, tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server with a password, and a sentinel with another one."""
    with EmbeddedServer(tcp=True, password="of-the-server") as server:
        front.upstream, sentinel_front.upstream = urlsplit(server.url).port or 0, free_port()
        config = tmp_path / "sentinel.conf"
        config.write_text(
            f"port {sentinel_front.upstream}\nbind 127.0.0.1\nrequirepass of-the-sentinel\n"
            f"sentinel monitor dialer 127.0.0.1 {front.port} 1\nsentinel auth-pass dialer of-the-server\n"
        )
        with subprocess.Popen(
            [find_binary(), str(config), "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            wait_until(lambda: is_listening(sentinel_front.upstream))
            yield server
            process.kill()


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_sentinels_have_a_log_in_of_their_own_and_tls_too(
    guarded: EmbeddedServer, front: TlsFront, sentinel_front: TlsFront, certificates: Certificates
) -> None:
    address = f"rediss+sentinel://:of-the-server@127.0.0.1:{sentinel_front.port}/dialer"
    url = f"{address}?{certificates.options(sentinel_password='of-the-sentinel')}"

    async with connected(url) as client:
        await works(client)
    assert front.encrypted
    assert sentinel_front.encrypted
    without = f"{address}?{certificates.options()}"
    async with connected(without) as client:
        with pytest.raises(Unreachable):
            await ping(client, without)
