"""The same dialer behind Sentinel and on Cluster: one address setting, nothing else changes."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import msgspec
import pytest
import uvloop
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import ConnectionError as RedisConnectionError

from streamdialer.broker.connection import TRANSIENT, close, connect, keys_for
from streamdialer.broker.scripts import Scripts
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.config.settings import Settings
from streamdialer.consumers.replica import ReplicaOptions, run_replica
from streamdialer.consumers.services import open_services
from streamdialer.ledger.metrics import LedgerMetrics
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.observability import metrics
from streamdialer.operations.redis_server import find_binary
from streamdialer.operations.session import free_port
from streamdialer.producers.ticks import TickProducer
from streamdialer.simulation.embedded_redis import EmbeddedServer
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.world.build import build_world
from tests.support.cluster import cluster_node, cluster_url
from tests.support.dialer import SCHEDULE
from tests.support.eventually import eventually


@pytest.fixture
def plain() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tcp=True) as server:
        yield server


@pytest.fixture
def sentinel_url(plain: EmbeddedServer, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\nsentinel monitor dialer 127.0.0.1 {urlsplit(plain.url).port} 1\n"
    )
    with subprocess.Popen(
        [find_binary(), str(config), "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        yield f"redis+sentinel://127.0.0.1:{port}/dialer"
        process.kill()


async def dials_to_the_end(settings: Settings, url: str, plain_url: str) -> None:
    """One small campaign on the server behind `url`; the call centre writes to the same server directly."""
    world = build_world(agents=4, contacts=6, speed=100, retry_delay_s=1)
    async with CallCentre(world, plain_url, speed=100, keys=keys_for(url)) as centre:
        here = msgspec.structs.replace(
            settings,
            redis_url=url,
            backend_url=centre.backend.url,
            dialer_api_url=centre.dialer_api.url,
            ring_timeout_s=0.3,
        )
        run = ShutdownSignal()
        async with open_services(here) as services, anyio.create_task_group() as tasks:
            await eventually(lambda: _answers(url))
            await mark_server_trusted(services.client, services.keys)
            tasks.start_soon(TickProducer(services.scripts, services.keys, SCHEDULE, run).serve)
            tasks.start_soon(run_replica, here, ReplicaOptions(), run)
            await centre.start_campaign(1)
            await eventually(
                lambda: not {"pending", "dialing", "answered"} & set(centre.summary().contacts), within_s=60
            )
            assert centre.summary().double_dials == 0
            run.stop()


async def _answers(url: str) -> bool:
    client = connect(url)
    try:
        return bool(await client.ping())
    except TRANSIENT:
        return False
    finally:
        await close(client)


async def test_behind_sentinel(settings: Settings, plain: EmbeddedServer, sentinel_url: str) -> None:
    await dials_to_the_end(settings, sentinel_url, plain.url)


async def test_on_cluster_every_script_touches_one_slot(settings: Settings, cluster: EmbeddedServer) -> None:
    await dials_to_the_end(settings, cluster_url(cluster), cluster.url)
    client = connect(cluster.url)
    keys = [str(key) for key in await client.keys("*")]
    await client.aclose()
    assert keys
    assert all(key.startswith("{dialer}:") for key in keys)


async def test_what_a_cluster_holds_is_measured(cluster: EmbeddedServer) -> None:
    keys, client = keys_for(cluster_url(cluster)), connect(cluster_url(cluster))
    try:
        await client.hset(keys.directory, "1", "sales")
        await client.hset(keys.campaign("1"), "status", "active")
        await client.xadd(keys.stream("dead"), {"reason": "a test"})
        async with Scripts(client) as scripts:
            await LedgerMetrics(scripts, keys).collect()
    finally:
        await close(client)
    assert metrics.LEDGER.get_sample_value("streamdialer_dead_letters") == 1
    assert metrics.LEDGER.get_sample_value("streamdialer_campaigns", {"state": "active"}) == 1


async def test_a_cluster_client_that_knows_only_nodes_that_have_gone_asks_those_of_its_address(
    cluster: EmbeddedServer,
) -> None:
    client: Any = connect(cluster_url(cluster))
    await client.ping()
    gone = ClusterNode("127.0.0.1", free_port())
    client.nodes_manager.startup_nodes = {gone.name: gone}
    client.nodes_manager.slots_cache = {slot: [gone] for slot in range(16384)}
    with pytest.raises(TRANSIENT):
        await client.get("a")
    assert await client.get("a") is None
    await close(client)


async def test_a_failed_pipeline_looks_for_the_nodes_of_the_cluster_anew(cluster: EmbeddedServer) -> None:
    client: Any = connect(cluster_url(cluster))
    await client.ping()
    gone = ClusterNode("127.0.0.1", free_port())
    client.nodes_manager.slots_cache = {slot: [gone] for slot in range(16384)}
    with pytest.raises(TRANSIENT):
        await client.pipeline(transaction=False).get("a").execute()
    assert await client.pipeline(transaction=False).get("a").execute() == [None]
    await close(client)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_connection_that_is_closed_while_it_is_used_means_a_server_that_is_away(
    plain: EmbeddedServer, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """As the Cluster client does it in a failover, to the other users of its connections; replicas run on uvloop."""
    cluster: Any = connect(plain.url.replace("redis:", "redis+cluster:"))
    kind = cluster.connection_kwargs["connection_class"]

    async def use_it() -> None:
        connection = kind(host="127.0.0.1", port=urlsplit(plain.url).port)
        await connection.connect()
        connection._writer.transport.abort()
        await asyncio.sleep(0.05)
        with pytest.raises(RedisConnectionError):
            await ping(connection)
        await connection.disconnect()

    async def ping(connection: Any) -> None:
        await connection.send_command("PING")
        await connection.read_response()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(use_it())


async def move_slowly(slot: int, old: Any, new: Any, target: str, *, pause_s: float) -> int:
    """Moves a slot from node to node, a key at a time, with a pause after each; returns how many keys were moved."""
    ids = [await node.execute_command("CLUSTER", "MYID") for node in (old, new)]
    await new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
    await old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
    moved, port = 0, urlsplit(target).port
    while keys := await old.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1):
        await old.execute_command("MIGRATE", "127.0.0.1", port, keys[0], 0, 5000)
        moved += 1
        await anyio.sleep(pause_s)
    for node in (new, old):
        await node.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
    return moved


async def test_a_slot_that_moves_slowly_is_waited_for(
    settings: Settings, cluster: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    with cluster_node() as (second, port):
        async with (
            aclosing(connect(cluster.url)) as first_client,
            aclosing(connect(second.url)) as second_client,
        ):
            nodes: list[Any] = [first_client, second_client]
            await nodes[0].execute_command("CLUSTER", "MEET", "127.0.0.1", urlsplit(second.url).port, port)

            async def know_each_other() -> bool:
                infos = [str(await node.execute_command("CLUSTER", "INFO")) for node in nodes]
                return all("cluster_known_nodes:2" in info and "cluster_state:ok" in info for info in infos)

            await eventually(know_each_other)
            slot = await nodes[0].execute_command("CLUSTER", "KEYSLOT", "{dialer}:x")
            url, moved = cluster_url(cluster), []

            async def holds_keys() -> bool:
                return int(await nodes[0].execute_command("CLUSTER", "COUNTKEYSINSLOT", slot)) > 30

            async def move() -> None:
                await eventually(holds_keys)
                moved.append(await move_slowly(slot, nodes[0], nodes[1], second.url, pause_s=0.02))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(move)
                await dials_to_the_end(settings, url, url)
        assert moved[0] > 20, "keys were on both nodes while it dialed"
        assert not [record for record in caplog.records if record.message == "handler failed"]
