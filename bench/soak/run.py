"""Runs a soak: a Redis server, the call centre in this process, and a replica and a tick producer as processes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio
from redis.asyncio import Redis

from bench.key_leaks import allowed_after_cleanup, count_by_kind, find_leaks, find_unread
from bench.soak.campaign_cycle import CampaignCycle
from bench.soak.measure import MEASURES, Sample, evaluated_samples, trend_of
from bench.soak.options import RESULT_TTL_S, SoakOptions, child_environment
from bench.soak.report import Report
from bench.soak.sampling import shared_entries, take_sample
from streamdialer.broker.connection import connect
from streamdialer.broker.keys import GROUP, STAGES, Keys
from streamdialer.errors import CannotBeDone
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.simulation.demo.child_processes import ChildProcess, ChildProcesses
from streamdialer.simulation.embedded_redis import EmbeddedServer
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.world.engine import World

START_TIMEOUT_S: Final = 30.0
MIN_SAMPLES: Final = 8
"""Fewer samples are not evaluated."""
Show = Callable[[Sample], None]


async def run_soak(options: SoakOptions, show: Show) -> Report:
    """Raises CannotBeDone when a process ends by itself."""
    with tempfile.TemporaryDirectory(prefix="streamdialer-soak-") as directory, EmbeddedServer() as server:
        client = connect(server.url)
        try:
            await mark_server_trusted(client, Keys())  # the server is new: no call was lost
            async with CallCentre(_world(options), server.url, speed=options.speed) as centre:
                environment = child_environment(options, centre.urls, os.environ)
                with ChildProcesses(Path(directory), environment) as children:
                    return await Soak(options, centre, client, children, show).run()
        finally:
            await client.aclose()
    raise AssertionError("unreachable: nothing here swallows an error")


def _world(options: SoakOptions) -> World:
    world = World(seed=options.seed)
    for number in range(options.agents):
        world.add_agent(1001 + number, f"sales-{1 + number % options.queues}")
    return world


class Soak:
    """One run, from the first campaign to the check for leaks."""

    def __init__(
        self, options: SoakOptions, centre: CallCentre, client: Redis, children: ChildProcesses, show: Show
    ) -> None:
        self._options = options
        self._centre = centre
        self._client = client
        self._children = children
        self._show = show
        self._cycle = CampaignCycle(centre, client, options)
        self._samples: list[Sample] = []
        self._began = 0.0

    async def run(self) -> Report:
        producer = self._children.start("producer", "tick")
        replica = self._children.start("replica", "consume", "--name", "replica")
        await self._wait_for_replica()
        self._began = anyio.current_time()
        life_began = self._centre.now
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._take_samples, replica, producer)
            if self._options.seconds is not None:
                tasks.start_soon(self._close_after, self._options.seconds)
            await self._cycle.run()
            tasks.cancel_scope.cancel()
        duration_s, life_s = anyio.current_time() - self._began, self._centre.now - life_began
        shared = await shared_entries(self._client, self._centre.keys, list(self._centre.world.queues))
        await anyio.sleep(2.0)  # the producer polls once more; it must not create any key again
        problems = await self._children.stop()
        audit = self._centre.summary()
        evaluated = evaluated_samples(self._samples, self._options.warm_up_s)
        is_enough = len(evaluated) >= MIN_SAMPLES
        return Report(
            options=self._options,
            campaigns=self._cycle.cleaned,
            calls=audit.total.originates,
            duration_s=round(duration_s, 1),
            duration_life_s=round(life_s, 1),
            evaluated_from_s=evaluated[0].at_s if evaluated else 0.0,
            samples=len(evaluated),
            trends={name: trend_of(evaluated, name) for name in MEASURES} if is_enough else {},
            double_dials=audit.double_dials,
            dialed_after_final=audit.dialed_after_final,
            over_max_retries=audit.over_max_retries,
            drifted=self._cycle.drifted,
            dead_letters=int(await self._client.xlen(self._centre.keys.stream("dead"))),
            shared=shared,
            left_keys=await self._left_keys(),
            left_kinds=count_by_kind([str(name) async for name in self._client.scan_iter(count=1000)]),
            findings=self._cycle.findings,
            problems=problems,
            history=self._samples,
        )

    async def _left_keys(self) -> list[str]:
        streams = [self._centre.keys.stream(stream) for stream in STAGES]
        leaks = await find_leaks(self._client, allowed_after_cleanup(RESULT_TTL_S))
        return leaks + await find_unread(self._client, streams)

    async def _take_samples(self, replica: ChildProcess, producer: ChildProcess) -> None:
        while True:
            self._children.check()
            sample = await take_sample(
                self._client,
                self._centre.keys,
                list(self._centre.world.queues),
                at_s=anyio.current_time() - self._began,
                campaigns=self._cycle.cleaned,
                active=self._cycle.active,
                replica_pid=replica.pid,
                producer_pid=producer.pid,
            )
            self._samples.append(sample)
            self._show(sample)
            await anyio.sleep(self._options.sample_interval_s)

    async def _close_after(self, seconds: float) -> None:
        await anyio.sleep(seconds)
        self._cycle.close()

    async def _wait_for_replica(self) -> None:
        """Returns when the replica has created its consumer groups."""
        with anyio.move_on_after(START_TIMEOUT_S):
            while True:
                self._children.check()
                stream = self._centre.keys.stream("updates")
                groups = await self._client.xinfo_groups(stream) if await self._client.exists(stream) else []
                if any(group["name"] == GROUP for group in groups):
                    return
                await anyio.sleep(0.05)
        raise CannotBeDone(f"the replica did not read its streams within {START_TIMEOUT_S:g} s")
