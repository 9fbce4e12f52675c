"""The one place that knows how to connect to Redis: plain, TLS, unix socket, Sentinel, Cluster.

The client library's own retries replay writes whose reply was lost, so they are off: whoever writes through a script
that is idempotent by token retries, nobody else. Blocking reads get a connection pool of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import anyio
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import ClusterNode, ClusterPipeline, RedisCluster
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from streamdialer.broker.keys import Keys
from streamdialer.config.urls import RedisUrl, mask_url, parse_redis_url
from streamdialer.errors import Unreachable

TRANSIENT: Final = (
    RedisConnectionError,
    RedisTimeoutError,
    RedisClusterException,
    BusyLoadingError,
    ReadOnlyError,
    TryAgainError,
    ClusterDownError,
    MasterDownError,
    OSError,
    TimeoutError,
)
"""Errors of a server that is away or changing its role: the same call may succeed a moment later."""

_REFUSES_WRITES: Final = ("NOREPLICAS", "OOM", "MISCONF", "BUSY ")
"""A server without the replicas it must have, without memory, without a disk that takes its log, or busy."""


def may_pass(error: object) -> bool:
    """Whether the same call may succeed a moment later: the server is away, changes its role, or refuses writes now."""
    return isinstance(error, TRANSIENT) or (
        isinstance(error, ResponseError) and str(error).startswith(_REFUSES_WRITES)
    )


SOCKET_TIMEOUT_S: Final = 5.0
CONNECTIONS: Final = 32
CLUSTER_PREFIX: Final = "{d0}:"


def keys_for(url: str) -> Keys:
    """The key names to use with the server at `url`: on Cluster all of them share one hash tag."""
    return Keys(CLUSTER_PREFIX if parse_redis_url(url).scheme == "redis+cluster" else "")


def connect(url: str) -> Redis:
    """A client for `url`; nothing is sent before the first command.

    Raises SettingsError for an address that cannot be understood.
    """
    address = parse_redis_url(url)
    options: dict[str, Any] = {
        "decode_responses": True,
        # Bytes that are not UTF-8 come and go unchanged: somebody's broken entry must not stop a reader.
        "encoding_errors": "surrogateescape",
        "socket_timeout": SOCKET_TIMEOUT_S,
        "socket_connect_timeout": SOCKET_TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
        **address.credentials,
        **address.options,
    }
    if address.scheme == "redis+cluster":
        return _cluster(address, options)
    options["db"] = address.database
    if address.scheme == "redis+sentinel":
        return _sentinel(address, options)
    if address.scheme == "unix":
        options |= {"connection_class": UnixDomainSocketConnection, "path": address.socket}
    else:
        host, port = address.hosts[0]
        kind = SSLConnection if address.scheme == "rediss" else Connection
        options |= {"connection_class": kind, "host": host, "port": port}
    # Hundreds of tasks may want to read at once: they take turns instead of failing.
    pool = BlockingConnectionPool(**{"max_connections": CONNECTIONS, "timeout": SOCKET_TIMEOUT_S} | options)
    return Redis.from_pool(pool)


def _sentinel(address: RedisUrl, options: dict[str, Any]) -> Redis:
    make: Any = Sentinel
    sentinel = make(address.hosts, sentinel_kwargs={"socket_timeout": 1.0})
    client: Redis = sentinel.master_for(address.service, **options)
    return client


class _ClusterConnection(Connection):
    """The Cluster client closes connections, also those in use, when it looks for the nodes anew after a failover."""

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        try:
            await super().send_packed_command(command, check_health)
        except AttributeError as error:  # of the writer that is no longer there
            raise RedisConnectionError("the connection was closed while it was being used") from error


class _ClusterPipeline(ClusterPipeline):
    """When it has failed, the nodes are looked for anew, as they are when a single command has failed."""

    async def execute(self, raise_on_error: bool = True, allow_redirections: bool = True) -> list[Any]:
        try:
            return await super().execute(raise_on_error, allow_redirections)
        except TRANSIENT:
            await self.cluster_client.aclose()
            raise


class _Cluster(RedisCluster):
    """The client of the library, except that it finds its nodes again after any failover."""

    seeds: Mapping[str, ClusterNode]
    """The nodes of the address, by name."""

    async def initialize(self, *args: Any, **kwargs: Any) -> Any:
        """Asks the nodes of the address as well: in a failover a node can show a cluster of nodes that have gone."""
        for name, node in self.seeds.items():
            self.nodes_manager.startup_nodes.setdefault(name, node)
        return await super().initialize(*args, **kwargs)

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> ClusterPipeline:  # noqa: ARG002
        make: Any = _ClusterPipeline
        pipeline: ClusterPipeline = make(self, transaction)
        return pipeline

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Blocking reads find their node here: the library asks the node it met first, also when that has gone."""
        if args[0] == "XREADGROUP":
            await self.initialize()
            stream = args[args.index(b"STREAMS") + 1]
            kwargs["target_nodes"] = self.get_node_from_key(stream)
        return await super().execute_command(*args, **kwargs)


def _cluster(address: RedisUrl, options: dict[str, Any]) -> Redis:
    nodes = [ClusterNode(host, port) for host, port in address.hosts]
    cluster: Any = _Cluster(startup_nodes=nodes, **options)
    cluster.connection_kwargs["connection_class"] = _ClusterConnection  # of nodes it finds later
    for node in cluster.startup_nodes:
        node.connection_class = _ClusterConnection
    cluster.seeds = dict(cluster.nodes_manager.startup_nodes)
    client: Redis = cluster  # it has the commands we use, without being a subclass
    return client


def is_cluster(client: Redis) -> bool:
    return isinstance(client, RedisCluster)


async def make_ready(client: Redis) -> None:
    """What a Cluster client must know before it can subscribe: which node has which slot."""
    if is_cluster(client):
        cluster: Any = client
        await cluster.initialize()


async def close(client: Redis) -> None:
    """Closes every connection of the client, those to the sentinels included; not interrupted by cancellation."""
    with anyio.CancelScope(shield=True):
        await client.aclose()
        pool = getattr(client, "connection_pool", None)
        if isinstance(pool, SentinelConnectionPool):
            manager: Any = pool.sentinel_manager
            for sentinel in manager.sentinels:
                await sentinel.aclose()


async def ping(client: Redis, url: str) -> None:
    """Raises Unreachable, in one line, when the server does not answer or does not let us in."""
    try:
        await client.ping()
    except MasterNotFoundError as error:
        raise Unreachable(
            f"Redis at {mask_url(url)}: no sentinel answers and knows the service; is REDIS_URL right?"
        ) from error
    except (RedisError, RedisClusterException, OSError) as error:
        if "NOAUTH" in str(error) or "HELLO must be called" in str(error):
            raise Unreachable(f"Redis at {mask_url(url)} wants a password: put it into REDIS_URL") from error
        if isinstance(error, AuthenticationError):
            raise Unreachable(
                f"Redis at {mask_url(url)} refuses the password or user in REDIS_URL: {error}"
            ) from error
        raise Unreachable(
            f"Redis at {mask_url(url)} cannot be reached: {str(error).rstrip('.')}; is REDIS_URL right?"
        ) from error


async def server_ms(client: Redis) -> int:
    """The server's clock."""
    seconds, microseconds = await client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000
