"""Checks of the Redis server itself: its version, whether it keeps data, has room, and is the one that takes writes."""

from __future__ import annotations

from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from streamdialer.broker.connection import is_cluster, make_ready
from streamdialer.broker.keys import Keys
from streamdialer.operations.finding import Check, Finding, Findings

MIN_VERSION: Final = (6, 2)
NEARLY_FULL, FULL = 0.75, 0.9
"""Shares of the memory that the server may use."""
JUST_STARTED_S: Final = 60


def redis_server_checks(client: Redis, keys: Keys) -> dict[str, Check]:
    return {
        "version": lambda: _version(client, keys),
        "role": lambda: _role(client, keys),
        "persistence": lambda: _persistence(client, keys),
        "eviction": lambda: _eviction(client, keys),
        "room": lambda: _room(client, keys),
        "coverage": lambda: _coverage(client, keys),
    }


async def _of_our_node(client: Redis, keys: Keys) -> dict[str, Any]:
    """Options of a command that has no key: on a Cluster, it is for the node that has our data."""
    if not is_cluster(client):
        return {}
    cluster: Any = client
    await make_ready(client)
    return {"target_nodes": cluster.get_node_from_key(keys.server)}


async def server_info(client: Redis, keys: Keys, section: str) -> dict[str, Any]:
    """INFO of the server that has our data. Raises redis.RedisError."""
    answer: Any = await client.info(section, **await _of_our_node(client, keys))
    return dict(answer)


async def _config(client: Redis, keys: Keys, name: str) -> str | None:
    """A setting of the server. Raises redis.RedisError."""
    answer: Any = await client.config_get(name, **await _of_our_node(client, keys))
    return None if name not in answer else str(answer[name])


async def _version(client: Redis, keys: Keys) -> Findings:
    info = await server_info(client, keys, "server")
    name = str(info.get("server_name") or "redis")
    own = str(info.get(f"{name}_version") or info.get("redis_version", "?"))
    compatible = str(info.get("redis_version", "0"))
    text = f"{name} {own}" + (f" (compatible with redis {compatible})" if own != compatible else "")
    uptime_s = int(info.get("uptime_in_seconds", 0))
    text += f", up for {uptime_s / 3600:.1f} h" if uptime_s >= JUST_STARTED_S else ", has just started"
    numbers = tuple(int(part) for part in compatible.split(".")[:2] if part.isdigit())
    if numbers >= MIN_VERSION:
        yield Finding("version", "ok", text)
    else:
        yield Finding("version", "fail", text, "upgrade to Redis 6.2 or newer, which has XAUTOCLAIM")


async def _role(client: Redis, keys: Keys) -> Findings:
    """Whether it is the server that takes writes, and stops taking them when it is cut off from its replicas."""
    info = await server_info(client, keys, "replication")
    if info.get("role") != "master":
        text = f"a replica of {info.get('master_host')}:{info.get('master_port')}: it takes no writes"
        remedy = "let REDIS_URL name the master, or the sentinels with redis+sentinel://"
        yield Finding("role", "fail", f"{text}, so nothing is dialed", remedy)
        return
    followers = int(info.get("connected_slaves", 0))
    good = info.get("min_slaves_good_slaves")  # only where min-replicas-to-write is set
    if good is not None and int(good) == 0:
        text = (
            "min-replicas-to-write is set, and no replica follows: it takes no writes, so nothing is dialed"
        )
        yield Finding("role", "fail", text, "start the replicas of Redis")
    elif followers and good is None:
        text = f"master of {followers} replicas, and min-replicas-to-write is 0: cut off from them, it takes writes"
        remedy = "CONFIG SET min-replicas-to-write 1, and set it in the configuration file too"
        yield Finding("role", "warn", text, remedy)
    else:
        yield Finding(
            "role", "ok", f"master of {followers} replicas" if followers else "master, without replicas"
        )


async def _persistence(client: Redis, keys: Keys) -> Findings:
    info = await server_info(client, keys, "persistence")
    statuses = {"append-only file": "aof_last_write_status", "snapshot": "rdb_last_bgsave_status"}
    for name, status in statuses.items():
        if info.get(status, "ok") != "ok":
            text, remedy = (
                f"the last write of the {name} failed",
                "check the log and the disk of the Redis server",
            )
            yield Finding("persistence", "fail", text, remedy)
    if int(info.get("aof_enabled", 0)):
        yield Finding("persistence", "ok", "append-only file")
        return
    try:
        save = await _config(client, keys, "save")
    except ResponseError as error:
        text = f"no append-only file; Redis does not say whether it writes snapshots ({error})"
    else:
        text = "snapshots only: a crash loses the attempts since the last snapshot" if save else "none"
    yield Finding("persistence", "warn", text, "set appendonly yes, so that a restart loses no attempt")


async def _eviction(client: Redis, keys: Keys) -> Findings:
    policy = (await server_info(client, keys, "memory")).get("maxmemory_policy")
    if policy is None:
        policy = await _config(client, keys, "maxmemory-policy")
    if policy == "noeviction":
        yield Finding("eviction", "ok", "noeviction")
    elif policy is None:
        remedy = "make sure maxmemory-policy is noeviction"
        yield Finding("eviction", "warn", "Redis does not say its policy", remedy)
    else:
        text = f"maxmemory-policy is {policy}: Redis would delete attempts when its memory is full"
        remedy = "CONFIG SET maxmemory-policy noeviction, and set it in the configuration file too"
        yield Finding("eviction", "fail", text, remedy)


async def _room(client: Redis, keys: Keys) -> Findings:
    """How full its memory is: a full server takes no writes, and nothing is dialed."""
    info = await server_info(client, keys, "memory")
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    total = limit or int(info.get("total_system_memory", 0))
    if not total:
        yield Finding("room", "ok", f"{used / 1e6:.0f} MB used; Redis does not say how much it may use")
        return
    text = f"{used / 1e6:.0f} of {total / 1e6:.0f} MB used" + ("" if limit else ", of the whole machine")
    remedy = "raise maxmemory" if limit else "give the machine more memory, and set maxmemory"
    level = used / total
    if level >= NEARLY_FULL:
        yield Finding("room", "fail" if level >= FULL else "warn", text, remedy)
    else:
        yield Finding("room", "ok", text)


async def _coverage(client: Redis, keys: Keys) -> Findings:
    """Of a Cluster: whether tenants go on when another tenant's node is lost."""
    if not is_cluster(client):
        return
    try:
        is_needed = await _config(client, keys, "cluster-require-full-coverage") == "yes"
    except ResponseError as error:
        text = f"Redis does not say whether cluster-require-full-coverage is set ({error})"
        yield Finding("coverage", "warn", text, "make sure that it is no")
        return
    if is_needed:
        text = "cluster-require-full-coverage is yes: when one node is lost, nothing is dialed for any tenant"
        remedy = "CONFIG SET cluster-require-full-coverage no on every node, and set it in the configuration files too"
        yield Finding("coverage", "warn", text, remedy)
    else:
        yield Finding("coverage", "ok", "when one node is lost, the tenants of the others go on")
