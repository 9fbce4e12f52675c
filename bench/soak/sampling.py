"""Takes one sample of the memory and the keys of a server, a replica and a producer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from bench.soak.measure import Sample
from streamdialer.broker.keys import Keys
from streamdialer.errors import CannotBeDone


def rss_of(pid: int) -> int:
    """Resident memory of a process, bytes (Linux only); raises CannotBeDone when /proc does not have it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
    except OSError as error:
        raise CannotBeDone(f"cannot read the memory of process {pid}: {error}") from error
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise CannotBeDone(f"process {pid} has no resident memory: it has ended")


async def shared_entries(client: Redis, keys: Keys, queues: list[str]) -> dict[str, int]:
    """Number of fields or members in each structure that all campaigns share."""
    hashes = [
        keys.directory,
        keys.waiting_ticks,
        keys.tick_slots,
        keys.api,
        keys.event_watermark,
        keys.server,
    ]
    sets = [keys.sweep_schedule]
    for queue in queues:
        hashes.append(keys.queue_pacing(queue))
        sets.append(keys.queue_campaigns(queue))
    pipe = client.pipeline(transaction=False)
    for key in hashes:
        pipe.hlen(key)
    for key in sets:
        pipe.zcard(key)
    return dict(zip([*hashes, *sets], map(int, await pipe.execute()), strict=True))


async def take_sample(
    client: Redis,
    keys: Keys,
    queues: list[str],
    *,
    at_s: float,
    campaigns: int,
    active: int,
    replica_pid: int,
    producer_pid: int,
) -> Sample:
    """Raises CannotBeDone when a process has ended."""
    memory: Any = await client.info("memory")
    keyspace: Any = (await client.info("keyspace")).get("db0", {"keys": 0, "expires": 0})
    shared = sum((await shared_entries(client, keys, queues)).values())
    return Sample(
        at_s=round(at_s, 2),
        campaigns=campaigns,
        redis_dataset=int(memory["used_memory_dataset"]),
        redis_used=int(memory["used_memory"]),
        keys_lasting=int(keyspace["keys"]) - int(keyspace["expires"]),
        keys_expiring=int(keyspace["expires"]),
        shared=shared,
        shared_per_campaign=round(shared / max(1, active), 2),
        replica_rss=rss_of(replica_pid),
        producer_rss=rss_of(producer_pid),
    )
