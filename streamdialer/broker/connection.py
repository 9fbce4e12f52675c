"""The one place that knows how to connect to Redis: plain, TLS, unix socket, Sentinel, Cluster.

The client library's own retries are off, because they repeat writes whose reply was lost. Only calls of scripts, which
are idempotent, are repeated. Blocking reads get a connection pool of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import anyio
import hiredis
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import ClusterNode, ClusterPipeline, RedisCluster
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    MasterNotFoundError,
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    ClusterError,
    MasterDownError,
    OutOfMemoryError,
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

from streamdialer.broker.keys import CLUSTER_NAMESPACE, ContactIds, Keys, namespace_prefix
from streamdialer.config.settings import NAMES, Settings
from streamdialer.config.urls import RedisUrl, mask_url, parse_redis_url
from streamdialer.errors import StreamdialerError, Unreachable

TRANSIENT: Final = (
    RedisConnectionError,
    RedisTimeoutError,
    RedisClusterException,
    ClusterError,
    BusyLoadingError,
    ReadOnlyError,
    TryAgainError,
    ClusterDownError,
    MasterDownError,
    OSError,
    TimeoutError,
)
"""Errors of a server that is away or is changing its role: the same call may succeed a moment later."""
NO_FAULT: Final = (RedisError, *TRANSIENT, StreamdialerError)
"""Errors that come from outside our code: their text says enough, no traceback is logged."""

_PASSES: Final = re.compile(
    r"(?:.*@user_script: ?\d+: -)?"  # as Redis 6.2 writes it, with the name of the script
    r"(?:NOREPLICAS|OOM|MISCONF|BUSY|READONLY|LOADING|MASTERDOWN|TRYAGAIN|CLUSTERDOWN) ",
    re.DOTALL,
)
"""The server lacks the replicas it must have, or memory, or disk space for its log, is busy, or changes its role."""


def refuses_writes(error: object) -> bool:
    """Whether the server answers and takes no writes now."""
    if isinstance(error, OutOfMemoryError | ReadOnlyError):
        return True
    text = str(error).rpartition("of pipeline caused error: ")[2]
    is_refusal = _PASSES.match(text) is not None or stream_is_exhausted(error)
    return isinstance(error, ResponseError) and is_refusal


def stream_is_exhausted(error: object) -> bool:
    """Whether a stream takes no entry any more, since its newest has the last possible id."""
    return isinstance(error, ResponseError) and "exhausted the last possible ID" in str(error)


def may_pass(error: object) -> bool:
    """Whether the same call may succeed a moment later: the server is away, changes its role, or refuses writes."""
    return isinstance(error, TRANSIENT) or refuses_writes(error)


async def why_writes_are_refused(client: Redis, keys: Keys) -> str:
    """In the server's words; '' when it takes writes. The command needs the right to write, and writes nothing."""
    try:
        await client.setrange(keys.probe, 0, "")
    except ResponseError as error:
        return str(error) if refuses_writes(error) else ""
    return ""


SOCKET_TIMEOUT_S: Final = 5.0
CONNECTIONS: Final = 32


def _encode(argument: Any) -> bytes:
    if isinstance(argument, bytes):
        return argument
    return str(argument).encode("utf-8", "surrogateescape")


class _Packing:
    """Packs in C: a script has hundreds of arguments, and the library's asyncio part takes ten times as long."""

    def pack_command(self, *args: Any) -> list[bytes]:
        pack: Any = hiredis.pack_command
        names = args[0].split() if isinstance(args[0], str) else [args[0]]  # such as SCRIPT LOAD
        words = (*names, *args[1:])
        try:
            return [pack(words)]
        except (TypeError, UnicodeEncodeError):  # broken bytes of another program, or a value of another type
            return [pack(tuple(map(_encode, words)))]


class _Connection(_Packing, Connection):
    pass


class _SSLConnection(_Packing, SSLConnection):
    pass


class _UnixConnection(_Packing, UnixDomainSocketConnection):
    pass


class _SentinelConnection(_Packing, SentinelManagedConnection):
    pass


class _SentinelSSLConnection(_Packing, SentinelManagedSSLConnection):
    pass


def keys_for(url: str, namespace: str = "", contact_ids: ContactIds = "shared") -> Keys:
    """The key names to use with the server at `url`; on Cluster they share one hash tag, also without a namespace."""
    if not namespace and parse_redis_url(url).is_cluster:
        namespace = CLUSTER_NAMESPACE
    return Keys(namespace_prefix(namespace), has_shared_contacts=contact_ids == "shared")


def keys_of(settings: Settings) -> Keys:
    """The key names that these settings ask for."""
    return keys_for(settings.redis_url, settings.namespace, settings.contact_ids)


def names_to_tell(settings: Settings) -> str | None:
    """A warning: all names have a prefix that the settings do not name. None where they have no such prefix."""
    if settings.namespace or not parse_redis_url(settings.redis_url).is_cluster:
        return None
    keys = keys_of(settings)
    return (
        f"Redis Cluster without {NAMES['namespace']}: all names begin with {keys.prefix} as in {keys.campaign('1')} "
        f"and {keys.stream('events')}; what programs write to campaign:1 or dialer:events has no effect"
    )


def connect(url: str, timeout_s: float = SOCKET_TIMEOUT_S) -> Redis:
    """A client for `url`; nothing is sent before the first command. `timeout_s`: how long an answer may take.

    Raises SettingsError for an address that cannot be understood.
    """
    address = parse_redis_url(url)
    options: dict[str, Any] = {
        "decode_responses": True,
        # Bytes that are not UTF-8 pass unchanged: a broken entry of another program must not stop a reader.
        "encoding_errors": "surrogateescape",
        "socket_timeout": timeout_s,
        "socket_connect_timeout": SOCKET_TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
        **address.options,
    }
    if address.is_cluster:
        return _cluster(address, options)
    if address.has_sentinels:
        return _sentinel(address, options)
    if address.scheme == "unix":
        options |= {"connection_class": _UnixConnection, "path": address.path}
    else:
        host, port = address.hosts[0]
        kind = _SSLConnection if address.uses_tls else _Connection
        options |= {"connection_class": kind, "host": host, "port": port}
    # Hundreds of tasks may want to read at once: they take turns instead of failing.
    pool = BlockingConnectionPool(**{"max_connections": CONNECTIONS, "timeout": SOCKET_TIMEOUT_S} | options)
    return Redis.from_pool(pool)


def _sentinel(address: RedisUrl, options: dict[str, Any]) -> Redis:
    make: Any = Sentinel
    sentinel = make(address.hosts, sentinel_kwargs={"socket_timeout": 1.0, **address.sentinel_options})
    if address.uses_tls:
        for each in sentinel.sentinels:
            each.connection_pool.connection_class = SSLConnection
            each.connection_pool.connection_kwargs |= _tls_options(options)
    kind = _SentinelSSLConnection if address.uses_tls else _SentinelConnection
    client: Redis = sentinel.master_for(address.path, connection_class=kind, **options)
    return client


def _tls_options(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name.startswith("ssl_")}


class _ClusterConnection(_Packing, Connection):
    """When the Cluster client looks for its nodes again after a failover, it also closes connections in use."""

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        try:
            await super().send_packed_command(command, check_health)
        except (
            AttributeError,
            RuntimeError,
        ) as error:  # the writer is no longer there, or uvloop has closed it
            raise RedisConnectionError("the connection was closed while it was being used") from error


class _ClusterSSLConnection(_ClusterConnection, SSLConnection):
    pass


class _ClusterPipeline(ClusterPipeline):
    """After a failure it looks for the nodes again, as the client does when a single command fails."""

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
    slotless: dict[str, ClusterNode]
    """Nodes that the cluster's table of slots does not name."""

    async def initialize(self, *args: Any, **kwargs: Any) -> Any:
        """Also asks the nodes of the address: in a failover, a node may only know nodes that no longer exist."""
        for name, node in self.seeds.items():
            self.nodes_manager.startup_nodes.setdefault(name, node)
        return await super().initialize(*args, **kwargs)

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> ClusterPipeline:  # noqa: ARG002
        make: Any = _ClusterPipeline
        pipeline: ClusterPipeline = make(self, transaction)
        return pipeline

    def get_node(
        self, host: str | None = None, port: int | None = None, node_name: str | None = None
    ) -> ClusterNode | None:
        """Also finds a node without slots, such as one to which its first slot is being moved."""
        node = super().get_node(host, port, node_name)
        if node is None and node_name:
            node = self.slotless.get(node_name)
            if node is None:
                host, _, text = node_name.rpartition(":")
                node = self.slotless[node_name] = ClusterNode(host, int(text), **self.connection_kwargs)
        return node

    async def aclose(self) -> None:
        for node in self.slotless.values():
            await node.disconnect()
        await super().aclose()

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Finds the node for blocking reads: the library asks the first node it met, even if that no longer exists."""
        if args[0] in ("XREADGROUP", "XREAD"):
            await self.initialize()
            stream = args[args.index(b"STREAMS") + 1]
            kwargs["target_nodes"] = self.get_node_from_key(stream)
        return await super().execute_command(*args, **kwargs)


def _cluster(address: RedisUrl, options: dict[str, Any]) -> Redis:
    nodes = [ClusterNode(host, port) for host, port in address.hosts]
    tls = _tls_options(options)  # the Cluster client takes only some TLS options
    cluster: Any = _Cluster(startup_nodes=nodes, **{k: v for k, v in options.items() if k not in tls})
    kind = _ClusterSSLConnection if address.uses_tls else _ClusterConnection
    cluster.connection_kwargs |= {"connection_class": kind, **tls}  # for nodes that it finds later
    for node in cluster.startup_nodes:
        node.connection_class = kind
        node.connection_kwargs |= tls
    cluster.seeds, cluster.slotless = dict(cluster.nodes_manager.startup_nodes), {}
    client: Redis = cluster  # it has the commands we use, without being a subclass
    return client


def is_cluster(client: Redis) -> bool:
    return isinstance(client, RedisCluster)


async def make_ready(client: Redis) -> None:
    """Loads which node has which slot: a Cluster client must know it before it can subscribe."""
    if is_cluster(client):
        cluster: Any = client
        await cluster.initialize()


async def close(client: Redis) -> None:
    """Closes every connection of the client, also those to the sentinels; cancellation does not interrupt it."""
    with anyio.CancelScope(shield=True):
        await client.aclose()
        pool = getattr(client, "connection_pool", None)
        if isinstance(pool, SentinelConnectionPool):
            manager: Any = pool.sentinel_manager
            for sentinel in manager.sentinels:
                await sentinel.aclose()


async def ping(client: Redis, url: str) -> None:
    """Raises Unreachable, with one line, when the server does not answer or refuses our login."""
    try:
        await client.ping()
    except MasterNotFoundError as error:
        raise Unreachable(
            f"Redis at {mask_url(url)}: no sentinel answers and knows the service; is REDIS_URL right?"
        ) from error
    except (RedisError, RedisClusterException, OSError) as error:
        if str(error).startswith("MISCONF"):
            return  # a full disk: it still answers commands that only read
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
