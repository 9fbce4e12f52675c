"""The same turn of our own worker, which does the full work: state, totals, outbox, outcomes, wake-ups."""

from __future__ import annotations

import os
import signal
from typing import Any

from bench.peers.measure import Turn, redis_cpu_s
from bench.speed.measures import events_of, open_bench
from bench.speed.prepared_ledger import reserve, send


async def measure_ours(count: int) -> Turn:
    """Events of calls in the air: answered, then completed."""
    async with open_bench() as bench:
        services: Any = bench.services
        attempts = await reserve(services, count // 2)
        await send(services, attempts)
        replica = await bench.start("--stages", "events")
        os.killpg(replica.pid, signal.SIGSTOP)
        pipe = services.client.pipeline(transaction=True)
        for event in events_of(attempts):
            pipe.xadd(services.keys.stream("events"), event)
        await pipe.execute()
        redis_cpu = redis_cpu_s(await services.client.info("cpu"))
        os.killpg(replica.pid, signal.SIGCONT)
        seconds, cpu = await bench.time_until(replica, lambda: bench.is_drained("events"))
        redis_cpu = redis_cpu_s(await services.client.info("cpu")) - redis_cpu
    return Turn(count / seconds, 1000 * cpu / count, 1000 * redis_cpu / count)
