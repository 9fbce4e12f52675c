"""What doctor says of a Redis that is full, a replica, or without the replicas that it must have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from streamdialer.broker.connection import connect, keys_for
from streamdialer.broker.keys import Keys
from streamdialer.operations.finding import Finding
from streamdialer.operations.redis_doctor import redis_server_checks
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.cluster import cluster_url
from tests.support.eventually import eventually

KEYS = Keys()


async def found(client: Redis, check: str, keys: Keys = KEYS) -> Finding:
    [finding] = [each async for each in redis_server_checks(client, keys)[check]()]
    return finding


@pytest.fixture
async def master() -> AsyncIterator[EmbeddedServer]:
    with EmbeddedServer("--repl-diskless-sync-delay", "0", tcp=True) as server:
        yield server


async def test_a_replica_is_named_with_its_master(master: EmbeddedServer) -> None:
    port = str(urlsplit(master.url).port)
    with EmbeddedServer("--replicaof", f"127.0.0.1 {port}", tcp=True) as replica:
        async with aclosing(connect(replica.url)) as client:
            finding = await found(client, "role")
        assert finding.level == "fail"
        assert f"a replica of 127.0.0.1:{port}" in finding.text
        async with aclosing(connect(master.url)) as client:

            async def follows() -> bool:
                info: Any = await client.info("replication")
                return bool(info["connected_slaves"])

            await eventually(follows)
            finding = await found(client, "role")
            assert (finding.level, "min-replicas-to-write is 0" in finding.text) == ("warn", True)


async def test_a_master_that_waits_for_its_replicas_is_named(master: EmbeddedServer) -> None:
    async with aclosing(connect(master.url)) as client:
        assert await found(client, "role") == Finding("role", "ok", "master, without replicas")
        await client.config_set("min-replicas-to-write", 1)
        finding = await found(client, "role")
        assert (finding.level, "no replica follows" in finding.text) == ("fail", True)


async def test_a_server_is_named_before_it_is_full(redis: Redis) -> None:
    info: Any = await redis.info("memory")
    assert (await found(redis, "room")).text.endswith("of the whole machine")
    try:
        for share, level in ((0.5, "ok"), (0.8, "warn"), (0.95, "fail")):
            await redis.config_set("maxmemory", int(info["used_memory"] / share))
            assert (await found(redis, "room")).level == level
    finally:
        await redis.config_set("maxmemory", 0)


async def test_on_a_cluster_the_node_that_has_our_data_is_asked(cluster: EmbeddedServer) -> None:
    url = cluster_url(cluster)
    async with aclosing(connect(url)) as client:
        keys = keys_for(url, "acme")
        assert "has just started" in (await found(client, "version", keys)).text
        for check in ("role", "eviction", "room"):
            assert (await found(client, check, keys)).level == "ok"
        assert (await found(client, "persistence", keys)).text == "none"


async def test_a_cluster_that_stops_for_all_tenants_when_one_loses_its_node_is_named(
    redis: Redis, cluster: EmbeddedServer
) -> None:
    async with aclosing(connect(cluster_url(cluster))) as client:
        finding = await found(client, "coverage")
        assert (finding.level, "nothing is dialed for any tenant" in finding.text) == ("warn", True)
        await client.config_set("cluster-require-full-coverage", "no")
        assert (await found(client, "coverage")).level == "ok"
    assert [each async for each in redis_server_checks(redis, KEYS)["coverage"]()] == []
