"""The one place that knows how to connect to Redis: plain, TLS, unix socket, Sentinel, Cluster.

The client library's own retries replay writes whose reply was lost, so they are off: whoever writes through a script
that is idempotent by token retries, nobody else. Blocking reads get a connection pool of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import anyio
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import ClusterNode, ClusterPipeline, RedisCluster
from redis.asyncio.connection import Connection
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
from streamdialer.errors import SettingsError, Unreachable

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
    return Keys(CLUSTER_PREFIX if url.startswith("redis+cluster://") else "")


def connect(url: str) -> Redis:
    """A client for `url`; nothing is sent before the first command.

    Raises SettingsError for an address that cannot be understood.
    """
    options: dict[str, Any] = {
        "decode_responses": True,
        # Bytes that are not UTF-8 come and go unchanged: somebody's broken entry must not stop a reader.
        "encoding_errors": "surrogateescape",
        "socket_timeout": SOCKET_TIMEOUT_S,
        "socket_connect_timeout": SOCKET_TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
    }
    scheme = url.partition("://")[0]
    if "#" in url:
        raise SettingsError("REDIS_URL: has a '#', which ends an address: write it as %23 in a password")
    try:
        if scheme == "redis+sentinel":
            return _sentinel(url, options)
        if scheme == "redis+cluster":
            return _cluster(url, options)
        # Hundreds of tasks may want to read at once: they take turns instead of failing.
        pool = BlockingConnectionPool.from_url(
            url, max_connections=CONNECTIONS, timeout=SOCKET_TIMEOUT_S, **options
        )
        return Redis.from_pool(pool)
    except ValueError as error:
        raise SettingsError(f"REDIS_URL: {error}") from error


def _hosts(netloc: str, default_port: int) -> list[tuple[str, int]]:
    hosts = []
    for part in netloc.rpartition("@")[2].split(","):
        host, _, port = part.rpartition(":") if ":" in part else (part, "", str(default_port))
        if not host:
            raise ValueError(f"no host in {part!r}; takes host:port,host:port")
        hosts.append((host, int(port)))
    return hosts


def _credentials(url: str) -> dict[str, Any]:
    login = urlsplit(url).netloc.rpartition("@")[0]
    user, _, password = login.partition(":")
    found = {"username": unquote(user) or None, "password": unquote(password) or None}
    return {name: value for name, value in found.items() if value}


def _sentinel(url: str, options: dict[str, Any]) -> Redis:
    parts = urlsplit(url)
    service, _, db = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError("takes redis+sentinel://host:port,host:port/service")
    make: Any = Sentinel
    sentinel = make(_hosts(parts.netloc, 26379), sentinel_kwargs={"socket_timeout": 1.0})
    client: Redis = sentinel.master_for(service, db=int(db or 0), **_credentials(url), **options)
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


def _cluster(url: str, options: dict[str, Any]) -> Redis:
    nodes = [ClusterNode(host, port) for host, port in _hosts(urlsplit(url).netloc, 6379)]
    cluster: Any = _Cluster(startup_nodes=nodes, **_credentials(url), **options)
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


def masked(url: str) -> str:
    """The address without its password, wherever that stands."""
    url = re.sub(r"([?&]password=)[^&]*", r"\1•••", url)
    return re.sub(r"://([^:/@]*):.*@", r"://\1:•••@", url)


async def ping(client: Redis, url: str) -> None:
    """Raises Unreachable, in one line, when the server does not answer or does not let us in."""
    try:
        await client.ping()
    except MasterNotFoundError as error:
        raise Unreachable(
            f"Redis at {masked(url)}: no sentinel answers and knows the service; is REDIS_URL right?"
        ) from error
    except (RedisError, RedisClusterException, OSError) as error:
        if "NOAUTH" in str(error) or "HELLO must be called" in str(error):
            raise Unreachable(f"Redis at {masked(url)} wants a password: put it into REDIS_URL") from error
        if isinstance(error, AuthenticationError):
            raise Unreachable(
                f"Redis at {masked(url)} refuses the password or user in REDIS_URL: {error}"
            ) from error
        raise Unreachable(
            f"Redis at {masked(url)} cannot be reached: {str(error).rstrip('.')}; is REDIS_URL right?"
        ) from error


async def server_ms(client: Redis) -> int:
    """The server's clock."""
    seconds, microseconds = await client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000
