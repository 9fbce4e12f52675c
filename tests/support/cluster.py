"""A Redis Cluster of one node, and nodes to add to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from streamdialer.broker.connection import connect
from streamdialer.operations.session import free_port
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.eventually import eventually


@contextmanager
def cluster_node() -> Iterator[tuple[EmbeddedServer, int]]:
    """A node and the port that other nodes reach it at."""
    port = free_port()
    with EmbeddedServer("--cluster-enabled", "yes", "--cluster-port", str(port), tcp=True) as node:
        yield node, port


@pytest.fixture
async def cluster() -> AsyncIterator[EmbeddedServer]:
    """A cluster of one node."""
    with cluster_node() as (node, _):
        client: Any = connect(node.url)
        await client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)

        async def is_up() -> bool:
            return "cluster_state:ok" in str(await client.execute_command("CLUSTER", "INFO"))

        await eventually(is_up)
        yield node
        await client.aclose()


def cluster_url(node: EmbeddedServer) -> str:
    return node.url.replace("redis://", "redis+cluster://")
