"""The same calls go through the stages one after another, each stage in a process of its own behind the counting proxy.

All work is written while the process is stopped (SIGSTOP), so that how much it finds at once does not depend on how
busy the machine is. What the process does by the clock, such as its heartbeat, is counted among the other commands.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec

from bench.counts.counting_proxy import CountingProxy
from bench.speed.measures import TIMEOUT_S, Bench, events_of, open_bench
from bench.speed.prepared_ledger import CAMPAIGNS as PREPARED
from bench.speed.prepared_ledger import register, reserve
from streamdialer.broker.keys import Stage
from streamdialer.simulation.child_environment import with_settings
from streamdialer.simulation.demo.child_processes import ChildProcess, ChildProcesses

CALLS: Final = 500
CAMPAIGNS: Final = 110
STAGES: Final[tuple[Stage, ...]] = ("ticks", "calls", "updates", "events")
FOR_LONG_S: Final = 300.0
"""Longer than a run: lists and settings are read at the first tick and stay fresh."""


class Counts(msgspec.Struct, frozen=True):
    """For each entry of a stage's stream."""

    round_trips: float
    ledger_calls: float
    ledger_runs: float
    ledger_bytes: float
    other_commands: float
    requests: float
    """To the backend and the Dialer API."""


class Counted:
    """Replicas of one stage each, which reach Redis through a proxy; all are stopped except the one that works."""

    def __init__(self, bench: Bench, proxy: CountingProxy, replicas: dict[Stage, ChildProcess]) -> None:
        self.services = bench.services
        self._bench = bench
        self._proxy = proxy
        self._replicas = replicas

    async def count(self, stage: Stage) -> Counts:
        """What the replica asks until it has finished all entries that stand in its stream."""
        entries = await self.services.client.xlen(self.services.keys.stream(stage))
        requests = sum((await self._bench.counts()).values())
        self._proxy.reset()
        await self.work_on(stage)
        asked = self._proxy.asked
        requests = sum((await self._bench.counts()).values()) - requests
        return Counts(
            asked.round_trips / entries,
            asked.ledger_calls / entries,
            asked.ledger_runs / entries,
            asked.ledger_bytes / entries,
            asked.other_commands / entries,
            requests / entries,
        )

    async def work_on(self, stage: Stage) -> None:
        """The replica goes on until its stream is empty."""
        replica = self._replicas[stage]
        os.kill(replica.pid, signal.SIGCONT)
        await self._bench.time_until(replica, lambda: self._bench.is_drained(stage))
        os.kill(replica.pid, signal.SIGSTOP)


@asynccontextmanager
async def open_counted() -> AsyncIterator[Counted]:
    async with open_bench() as bench, CountingProxy(bench.redis_url) as proxy:
        environment = with_settings(
            os.environ,
            {
                "redis_url": proxy.url,
                "backend_url": bench.servers,
                "dialer_api_url": bench.servers,
                "agents_cache_ttl_s": FOR_LONG_S,
                "campaign_cache_ttl_s": FOR_LONG_S,
                "sweep_interval_s": FOR_LONG_S,
                "sample_interval_s": FOR_LONG_S,
                "log_level": "WARNING",
                "log_format": "text",
            },
        )
        with (
            tempfile.TemporaryDirectory(prefix="streamdialer-counts-") as folder,
            ChildProcesses(Path(folder), environment) as children,
        ):
            replicas = {
                stage: children.start(stage, "consume", "--name", stage, "--stages", stage)
                for stage in STAGES
            }
            await _until_all_wait(bench, replicas)
            for replica in replicas.values():
                os.kill(replica.pid, signal.SIGSTOP)
            yield Counted(bench, proxy, replicas)


async def _until_all_wait(bench: Bench, replicas: dict[Stage, ChildProcess]) -> None:
    """Each replica waits for new entries."""
    client: Any = bench.services.client
    with anyio.fail_after(TIMEOUT_S):
        while int((await client.info("clients"))["blocked_clients"]) < len(replicas):
            for replica in replicas.values():
                assert replica.is_running, replica.log_end()
            await anyio.sleep(0.02)


async def count_all() -> dict[str, Counts]:
    """The same calls, from stage to stage; then ticks of campaigns with nothing to dial."""
    async with open_counted() as counted:
        services = counted.services
        attempts = await reserve(services, CALLS)
        found = {"call": await counted.count("calls"), "update": await counted.count("updates")}
        pipe = services.client.pipeline(transaction=True)
        for event in events_of(attempts):
            pipe.xadd(services.keys.stream("events"), event)
        await pipe.execute()
        found["event"] = await counted.count("events")
        await counted.work_on("ticks")  # of the campaigns that the events have woken
        await register(services, CAMPAIGNS)
        names = [str(number) for number in range(PREPARED + 1, CAMPAIGNS + 1)]
        for name in ("first tick", "tick"):
            await services.ticks.enqueue("dial", names)
            found[name] = await counted.count("ticks")
    return found
