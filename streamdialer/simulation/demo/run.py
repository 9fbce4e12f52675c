"""Runs a demo: starts everything, watches it, stops it in order, and audits the result."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Final

import anyio
import msgspec
from redis.asyncio import Redis

from streamdialer.broker.connection import connect
from streamdialer.errors import CannotBeDone
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.simulation.demo.child_processes import ChildProcess, ChildProcesses
from streamdialer.simulation.demo.contact_audit import audit_contacts, read_ledger
from streamdialer.simulation.demo.options import DemoOptions, child_environment, demo_world
from streamdialer.simulation.demo.reaction_time import ReactionTimes
from streamdialer.simulation.demo.snapshot import Snapshot, take_snapshot
from streamdialer.simulation.demo.stop_condition import StopCondition
from streamdialer.simulation.demo.summary import Ending, Summary, summarise
from streamdialer.simulation.embedded_redis import EmbeddedServer
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.world.auditor import Audit

SNAPSHOT_INTERVAL_S: Final = 0.25
START_TIMEOUT_S: Final = 30.0
DRAIN_S: Final = 10.0
Show = Callable[[Snapshot, list[ChildProcess], int, float], None]
"""Called with a snapshot, the running replicas, how many were killed, and the seconds since the start."""


async def run_demo(options: DemoOptions, show: Show) -> Summary:
    """Raises CannotBeDone when a process ends by itself, KeyboardInterrupt after a second interrupt."""
    directory = Path(tempfile.mkdtemp(prefix="streamdialer-demo-"))
    keep_logs = False
    try:
        summary = await _run_in(directory, options, show)
        keep_logs = not summary.is_good or bool(summary.problems)
        return msgspec.structs.replace(summary, logs=str(directory)) if keep_logs else summary
    except BaseException as error:
        cause = _cannot_be_done(error)
        if cause is None:
            raise
        keep_logs = True
        raise CannotBeDone(f"{cause}\nAll logs are in {directory}") from error
    finally:
        if not keep_logs:
            shutil.rmtree(directory, ignore_errors=True)


async def _run_in(directory: Path, options: DemoOptions, show: Show) -> Summary:
    with EmbeddedServer() as server:
        async with CallCentre(demo_world(options), server.url, speed=options.speed) as centre:
            client = connect(server.url)
            try:
                await mark_server_trusted(client, centre.keys)
                with ChildProcesses(
                    directory, child_environment(options, centre.urls, os.environ)
                ) as children:
                    return await Demo(options, centre, client, children, show).run()
            finally:
                await client.aclose()
    raise AssertionError("unreachable: the call centre swallows no error")


def _cannot_be_done(error: BaseException) -> CannotBeDone | None:
    """The first one, however deep task groups have wrapped it."""
    if isinstance(error, CannotBeDone):
        return error
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return next(filter(None, map(_cannot_be_done, inner)), None)


class Demo:
    """One run between the start of its processes and their end."""

    def __init__(
        self, options: DemoOptions, centre: CallCentre, client: Redis, children: ChildProcesses, show: Show
    ) -> None:
        self._options = options
        self._centre = centre
        self._client = client
        self._children = children
        self._show = show
        self._reaction = ReactionTimes(options.speed)
        self._random = Random(options.seed)
        self._interrupted = anyio.Event()
        self._started_at = 0.0
        self._started_replicas = 0
        self._killed = 0

    async def run(self) -> Summary:
        with anyio.CancelScope() as scope:
            async with self._signals(scope):
                self._children.start("tick", "tick")
                for _ in range(self._options.replicas):
                    self._start_replica()
                await self._replicas_are_reading()
                if self._options.dashboard_port is not None:
                    port = str(self._options.dashboard_port)
                    self._children.start("dashboard", "dashboard", "--port", port, is_needed=False)
                at_start = self._centre.summary()
                self._started_at = anyio.current_time()
                for campaign in self._centre.world.campaigns:
                    await self._centre.start_campaign(campaign)
                async with anyio.create_task_group() as killing:
                    killing.start_soon(self._kill_replicas)
                    ending = await self._watch_until_over()
                    killing.cancel_scope.cancel()
                duration_s = anyio.current_time() - self._started_at
                at_end = self._centre.summary()
                return await self._wind_up(ending, duration_s, at_start, at_end)
        raise KeyboardInterrupt  # the second one: only a cancelled scope comes here

    async def _wind_up(self, ending: Ending, duration_s: float, at_start: Audit, at_end: Audit) -> Summary:
        """Stops new calls, delivers the last updates to the backend, then stops the processes."""
        for campaign in self._centre.world.campaigns:
            await self._centre.pause_campaign(campaign)
        await self._drain()
        problems = await self._children.stop()
        final = self._centre.summary()
        keys, world = self._centre.keys, self._centre.world
        ledgers = {
            str(campaign): await read_ledger(self._client, keys, str(campaign))
            for campaign in world.campaigns
        }
        placed = world.auditor.per_key
        uncertain = [attempt for ledger in ledgers.values() for attempt in ledger.dialing - placed.keys()]
        return summarise(
            self._options,
            world,
            ended=ending,
            at_start=at_start,
            at_end=at_end,
            final=final,
            contact_audit=audit_contacts(world.contacts.values(), ledgers),
            duration_s=duration_s,
            reaction=self._reaction,
            replicas_killed=self._killed,
            uncertain=len(uncertain),
            dead_letters=int(await self._client.xlen(keys.stream("dead"))),
            problems=problems,
        )

    @asynccontextmanager
    async def _signals(self, scope: anyio.CancelScope) -> AsyncIterator[None]:
        """The first SIGINT or SIGTERM ends the demo with a summary, the second without."""
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:

            async def listen() -> None:
                async for _ in signals:
                    if self._interrupted.is_set():
                        scope.cancel()
                    self._interrupted.set()

            async with anyio.create_task_group() as listening:
                listening.start_soon(listen)
                yield
                listening.cancel_scope.cancel()

    def _start_replica(self) -> None:
        self._started_replicas += 1
        name = f"replica-{self._started_replicas}"
        self._children.start(name, "consume", "--name", name)

    async def _replicas_are_reading(self) -> None:
        """Returns when every replica reads; raises CannotBeDone when that takes too long."""
        names = {child.name for child in self._children.running("replica-")}
        with anyio.move_on_after(START_TIMEOUT_S):
            while not self._interrupted.is_set():
                self._children.check()
                if (await take_snapshot(self._client, self._centre)).are_reading(names):
                    return
                await anyio.sleep(0.1)
            return
        tails = "\n".join(f"{child.name}:\n{child.log_end()}" for child in self._children.all)
        raise CannotBeDone(f"not every replica was reading after {START_TIMEOUT_S:g} s; their logs:\n{tails}")

    async def _watch_until_over(self) -> Ending:
        stop_condition = StopCondition(self._options)
        while True:
            self._children.check()
            snapshot = await take_snapshot(self._client, self._centre)
            now = anyio.current_time()
            self._reaction.add(self._centre.world.auditor.reaction_s, snapshot.total("ready"), now)
            self._show(snapshot, self._children.running("replica-"), self._killed, now - self._started_at)
            ending = stop_condition.ending(snapshot, now - self._started_at)
            if ending is not None:
                return ending
            with anyio.move_on_after(SNAPSHOT_INTERVAL_S):
                await self._interrupted.wait()
                return "interrupted"

    async def _kill_replicas(self) -> None:
        every_s = self._options.kill_every_s
        while every_s is not None:
            await anyio.sleep(every_s)
            running = self._children.running("replica-")
            if running:
                self._children.kill(self._random.choice(running))
                self._killed += 1
                self._start_replica()

    async def _drain(self) -> None:
        """Gives the replicas some time to deliver all updates; calls that go on make new ones."""
        with anyio.move_on_after(DRAIN_S):
            while True:
                snapshot = await take_snapshot(self._client, self._centre)
                if not snapshot.total("unconfirmed") and not snapshot.total("reserved"):
                    return
                await anyio.sleep(0.1)
