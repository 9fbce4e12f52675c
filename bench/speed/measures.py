"""Each measure: one `streamdialer consume` process, and beside it a loop with the same exchange and nothing else."""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
import anyio
import httpx
import msgspec
from httpx_aiohttp import AiohttpTransport

from bench.speed.prepared_ledger import register, reserve, send, settings_for, wait_for_agents
from streamdialer.broker.scripts import Argument, Script
from streamdialer.consumers.services import Services, open_services
from streamdialer.ledger.event_facts import fact_of
from streamdialer.model import Attempt, CallEvent
from streamdialer.operations.session import free_port
from streamdialer.simulation.child_environment import with_settings
from streamdialer.simulation.demo.child_processes import ChildProcess, ChildProcesses
from streamdialer.simulation.embedded_redis import EmbeddedServer

EVENT_CALLS: Final = 2_000
CALLS: Final = 3_000
UPDATES: Final = 3_000
CAMPAIGNS: Final = 1_000
TICK_ROUNDS: Final = 10
FREED_AGENTS: Final = 1_000
FREED_PER_S: Final = 50.0
PIPELINE: Final = 256
TIMEOUT_S: Final = 120.0


class Speed(msgspec.Struct, frozen=True):
    """What one process has done, and the loop beside it."""

    per_second: float
    cpu_ms: float
    """Of the process, for each."""
    beside_per_second: float | None
    detail: str = ""

    @property
    def ratio(self) -> float | None:
        return self.per_second / self.beside_per_second if self.beside_per_second else None


class Bench:
    """An empty Redis, servers that answer at once, and the processes of one measure."""

    def __init__(
        self, services: Services, children: ChildProcesses, servers: str, servers_pid: int, redis_url: str
    ) -> None:
        self.services = services
        self.servers = servers
        self.servers_pid = servers_pid
        self.redis_url = redis_url
        self._children = children

    async def start(self, *options: str) -> ChildProcess:
        """A replica that has joined its groups."""
        replica = self._children.start("replica", "consume", "--name", "replica", *options)
        await self._until_joined([replica])
        return replica

    async def start_two(self, *options: str) -> list[ChildProcess]:
        """At once, so that neither begins long before the other."""
        names = ("replica-1", "replica-2")
        replicas = [self._children.start(name, "consume", "--name", name, *options) for name in names]
        await self._until_joined(replicas)
        return replicas

    async def _until_joined(self, replicas: list[ChildProcess]) -> None:
        client, keys = self.services.client, self.services.keys
        while await client.zcard(keys.replicas) < len(replicas):
            for replica in replicas:
                assert replica.is_running, replica.log_end()
            await anyio.sleep(0.01)
        await anyio.sleep(0.3)

    async def time_until(
        self, replica: ChildProcess, is_done: Callable[[], Awaitable[bool]]
    ) -> tuple[float, float]:
        """Seconds, and processor seconds of the replica, until it has done its work."""
        began, cpu = time.monotonic(), cpu_s(replica.pid)
        with anyio.fail_after(TIMEOUT_S):
            while not await is_done():
                assert replica.is_running, replica.log_end()
                await anyio.sleep(0.005)
        return time.monotonic() - began, cpu_s(replica.pid) - cpu

    async def redis_cpu_s(self) -> float:
        info = await self.services.client.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

    async def is_drained(self, stream: Any) -> bool:
        return not await self.services.client.xlen(self.services.keys.stream(stream))

    async def counts(self) -> dict[str, int]:
        async with httpx.AsyncClient() as client:
            counts: dict[str, int] = (await client.get(f"{self.servers}/counts")).json()
            return counts


@asynccontextmanager
async def open_bench(**changes: str | float) -> AsyncIterator[Bench]:
    """`changes` are settings of the replica."""
    port = free_port()
    servers = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="streamdialer-speed-") as folder, EmbeddedServer() as redis:
        settings = settings_for(redis.url, servers)
        environment = with_settings(
            os.environ,
            {
                "redis_url": redis.url,
                "backend_url": servers,
                "dialer_api_url": servers,
                "log_level": "WARNING",
                "log_format": "text",
                **changes,
            },
        )
        process = _start_servers(port)
        try:
            async with open_services(settings) as services:
                with ChildProcesses(Path(folder), environment) as children:
                    bench = Bench(services, children, servers, process.pid, redis.url)
                    await _until_it_answers(bench)
                    yield bench
        finally:
            process.kill()
            process.wait()


def _start_servers(port: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "bench.speed.instant_servers", str(port)])


async def _until_it_answers(bench: Bench) -> None:
    with anyio.fail_after(TIMEOUT_S):
        while True:
            try:
                await bench.counts()
            except httpx.TransportError:
                await anyio.sleep(0.02)
            else:
                return


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---- events ----


def events_of(attempts: Sequence[Attempt]) -> list[dict[Any, Any]]:
    """Answered, then completed, of each call."""
    said = [
        {"campaign_id": a.campaign, "contact_id": a.contact, "call_id": f"c{a.contact}"} for a in attempts
    ]
    answered = [{"type": "call_answered", "agent_id": "7", **each} for each in said]
    return answered + [{"type": "call_completed", "duration": 42, **each} for each in said]


async def events() -> Speed:
    """Call events of calls in the air: state, totals, outbox, outcomes and wake-ups, acknowledged and deleted."""
    async with open_bench() as bench:
        services = bench.services
        attempts = await reserve(services, EVENT_CALLS)
        await send(services, attempts)
        replica = await bench.start("--stages", "events")
        said = events_of(attempts)
        pipe = services.client.pipeline(transaction=True)
        for each in said:
            pipe.xadd(services.keys.stream("events"), each)
        await pipe.execute()
        seconds, cpu = await bench.time_until(replica, lambda: bench.is_drained("events"))
    return Speed(len(said) / seconds, 1000 * cpu / len(said), await _scripts_alone())


class _Recorded(Exception):
    pass


async def _scripts_alone() -> float:
    """The same script calls in pipelines, per second."""
    async with open_bench() as bench:
        services = bench.services
        attempts = await reserve(services, EVENT_CALLS)
        await send(services, attempts)
        calls: list[tuple[Script, Sequence[str], Sequence[Argument]]] = []
        scripts: Any = services.scripts
        run = scripts.run

        async def record(script: Script, keys: Sequence[str], args: Sequence[Argument] = ()) -> Any:
            if script.name == "apply_call_event":
                calls.append((script, keys, args))
                raise _Recorded
            return await run(script, keys, args)

        scripts.run = record
        for number, each in enumerate(events_of(attempts)):
            event = msgspec.convert(each, CallEvent, strict=False)
            queue = f"q{int(event.campaign_id) % 20}"
            with suppress(_Recorded):
                await services.campaigns.apply_call_event(
                    event, fact_of(event), queue, f"{4 * 10**12 + number}-0"
                )
        await services.client.script_load(calls[0][0].source)
        began = time.monotonic()
        for first in range(0, len(calls), PIPELINE):
            pipe = services.client.pipeline(transaction=False)
            for script, keys, args in calls[first : first + PIPELINE]:
                pipe.evalsha(script.sha, len(keys), *keys, *args)
            answers = await pipe.execute()
            assert len(answers) == len(calls[first : first + PIPELINE])
        return len(calls) / (time.monotonic() - began)


# ---- requests ----


async def originates(open_at_once: int) -> Speed:
    """Calls placed, from the entry in the calls stream to the settled reply."""
    async with open_bench() as bench:
        await reserve(bench.services, CALLS)
        replica = await bench.start("--stages", "calls", "--concurrency", str(open_at_once))
        left = await bench.services.client.xlen(bench.services.keys.stream("calls"))
        seconds, cpu = await bench.time_until(replica, lambda: bench.is_drained("calls"))
        return Speed(left / seconds, 1000 * cpu / left, await _bare_posts(bench.servers, open_at_once))


async def originates_by_two() -> Speed:
    """Calls placed by two processes with 64 requests open each; beside it one such process."""
    alone = await originates(64)
    async with open_bench() as bench:
        await reserve(bench.services, 4 * CALLS)  # some are placed before both have begun
        replicas = await bench.start_two("--stages", "calls", "--concurrency", "64")
        left = await bench.services.client.xlen(bench.services.keys.stream("calls"))
        other_cpu, server_cpu, redis_cpu = (
            cpu_s(replicas[1].pid),
            cpu_s(bench.servers_pid),
            await bench.redis_cpu_s(),
        )
        seconds, cpu = await bench.time_until(replicas[0], lambda: bench.is_drained("calls"))
        cpu += cpu_s(replicas[1].pid) - other_cpu
        server_cpu, redis_cpu = cpu_s(bench.servers_pid) - server_cpu, await bench.redis_cpu_s() - redis_cpu
        cores = [f"{each / seconds:.2f}" for each in (cpu, redis_cpu, server_cpu)]
        detail = "cores: the two {}, Redis {}, the server that answers {}".format(*cores)
        return Speed(left / seconds, 1000 * cpu / left, alone.per_second, detail)


async def _bare_posts(servers: str, open_at_once: int) -> float:
    """httpx on the same transport, with as many requests open, per second."""
    connector = aiohttp.TCPConnector(limit=open_at_once)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        httpx.AsyncClient(transport=AiohttpTransport(client=session)) as client,
    ):
        left = CALLS

        async def work() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                body = {"campaign_id": 1, "contact_id": left, "phone_number": "+573001234567", "timeout": 30}
                reply = await client.post(f"{servers}/calls/originate", json=body)
                assert reply.json()["status"] == "success"

        began = time.monotonic()
        async with anyio.create_task_group() as tasks:
            for _ in range(open_at_once):
                tasks.start_soon(work)
        return CALLS / (time.monotonic() - began)


async def updates() -> Speed:
    """Updates taken by the backend: a GET, a PATCH and the confirmation of each."""
    async with open_bench() as bench:
        attempts = await reserve(bench.services, UPDATES)
        await bench.services.client.delete(bench.services.keys.stream("updates"))
        async with anyio.create_task_group() as tasks:
            for attempt in attempts:
                tasks.start_soon(bench.services.campaigns.mark_sent, attempt, "run", "")
        replica = await bench.start("--stages", "updates")
        left = await bench.services.client.xlen(bench.services.keys.stream("updates"))
        seconds, cpu = await bench.time_until(replica, lambda: bench.is_drained("updates"))
        return Speed(left / seconds, 1000 * cpu / left, None)


# ---- from a freed agent to the request ----


async def reaction() -> Speed:
    """Agents who become free one by one, until the request for the call of each is at the server."""
    async with open_bench(agents_cache_ttl_s=3600) as bench:
        services = bench.services
        agents = await wait_for_agents(services, FREED_AGENTS)
        replica = await bench.start()
        stream, written = services.keys.stream("events"), list[float]()
        cpu, began = cpu_s(replica.pid), time.monotonic()
        for agent in agents:
            await anyio.sleep(random.expovariate(FREED_PER_S))
            await services.client.xadd(stream, {"type": "agent_available", "agent_id": agent, "queue": "q1"})
            written.append(time.monotonic())
        took, cpu = time.monotonic() - began, cpu_s(replica.pid) - cpu
        await anyio.sleep(1)
        async with httpx.AsyncClient() as client:
            arrived: list[float] = (await client.get(f"{bench.servers}/originates")).json()
    assert len(arrived) == len(written), (len(arrived), len(written))
    waits_ms = sorted(1000 * (at - since) for at, since in zip(arrived, written, strict=True))
    detail = f"p50 {statistics.median(waits_ms):.1f} ms, p99 {waits_ms[len(waits_ms) * 99 // 100]:.1f} ms"
    return Speed(len(written) / took, 1000 * cpu / len(written), None, detail)


# ---- ticks ----


async def ticks() -> Speed:
    """Dial ticks of campaigns with nothing to dial."""
    async with open_bench() as bench:
        services = bench.services
        await register(services, CAMPAIGNS)
        replica = await bench.start("--stages", "ticks")
        names = [str(number) for number in range(1, CAMPAIGNS + 1)]
        seconds = cpu = 0.0
        before = dict[str, int]()
        for turn in range(TICK_ROUNDS + 1):
            if turn == 1:
                before = await bench.counts()
            await services.ticks.enqueue("dial", names)
            took, used = await bench.time_until(replica, lambda: bench.is_drained("ticks"))
            if turn:  # the first reads every campaign
                seconds, cpu = seconds + took, cpu + used
        done = CAMPAIGNS * TICK_ROUNDS
        requests = {
            name: (count - before.get(name, 0)) / done for name, count in (await bench.counts()).items()
        }
        detail = "requests a tick: " + ", ".join(
            f"{each:.2f} {name}" for name, each in requests.items() if each
        )
        return Speed(done / seconds, 1000 * cpu / done, None, detail)
