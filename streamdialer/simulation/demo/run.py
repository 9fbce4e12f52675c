"""Runs a demo: starts everything, watches it, ends it in order, and reckons up."""

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
from streamdialer.ledger import mark_server_trusted
from streamdialer.simulation import Audit, CallCentre
from streamdialer.simulation.demo.child_processes import ChildProcess, ChildProcesses
from streamdialer.simulation.demo.contact_audit import audit_contacts, read_ledger
from streamdialer.simulation.demo.options import DemoOptions, child_environment, demo_world
from streamdialer.simulation.demo.reaction_time import ReactionTimes
from streamdialer.simulation.demo.snapshot import Snapshot, take_snapshot
from streamdialer.simulation.demo.stop_condition import StopCondition
from streamdialer.simulation.demo.summary import Ending, RunMeasurements, Summary, summarise
from streamdialer.simulation.embedded_redis import EmbeddedServer

LOOK_EVERY_S: Final = 0.25
START_TIMEOUT_S: Final = 30.0
DRAIN_S: Final = 10.0
Show = Callable[[Snapshot, list[ChildProcess], int, float], None]
"""Called with what there is to see: the look, the running replicas, replicas killed, seconds since the start."""


async def run_demo(options: DemoOptions, show: Show) -> Summary:
    """Raises CannotBeDone when a process ends by itself, KeyboardInterrupt when it is interrupted twice."""
    directory = Path(tempfile.mkdtemp(prefix="streamdialer-demo-"))
    keep_logs = False
    try:
        summary = await _run_in(directory, options, show)
        keep_logs = not summary.is_good or bool(summary.problems)
        return msgspec.structs.replace(summary, logs=str(directory)) if keep_logs else summary
    except BaseException as error:
        trouble = _cannot_be_done(error)
        if trouble is None:
            raise
        keep_logs = True
        raise CannotBeDone(f"{trouble}\nAll logs are in {directory}") from error
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
    """The first of its kind, however deep task groups have wrapped it."""
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
        self._dead_letters = 0

    async def run(self) -> Summary:
        with anyio.CancelScope() as scope:
            async with self._signals(scope):
                self._children.start("tick", "tick")
                for _ in range(self._options.replicas):
                    self._start_replica()
                await self._replicas_read()
                if self._options.dashboard_port is not None:
                    port = str(self._options.dashboard_port)
                    self._children.start("dashboard", "dashboard", "--port", port, is_needed=False)
                began = self._centre.summary()
                self._started_at = anyio.current_time()
                for campaign in self._centre.world.campaigns:
                    await self._centre.start_campaign(campaign)
                async with anyio.create_task_group() as killing:
                    killing.start_soon(self._kill_now_and_then)
                    ended = await self._watch_until_over()
                    killing.cancel_scope.cancel()
                duration_s = anyio.current_time() - self._started_at
                dialed = self._centre.summary()
                return await self._wind_up(ended, duration_s, began, dialed)
        raise KeyboardInterrupt  # twice: only a cancelled scope comes here

    async def _wind_up(self, ended: Ending, duration_s: float, began: Audit, dialed: Audit) -> Summary:
        """Stops everything in order: no new calls, then the backend hears the rest, then the processes."""
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
        silent = [attempt for ledger in ledgers.values() for attempt in ledger.dialing - placed.keys()]
        course = RunMeasurements(
            ended=ended,
            began=began,
            dialed=dialed,
            duration_s=duration_s,
            reaction=self._reaction,
            replicas_killed=self._killed,
            dead_letters=int(await self._client.xlen(keys.stream("dead"))),
            problems=problems,
        )
        reckoning = audit_contacts(world.contacts.values(), ledgers)
        return summarise(self._options, world, course, final, reckoning, len(silent))

    @asynccontextmanager
    async def _signals(self, scope: anyio.CancelScope) -> AsyncIterator[None]:
        """The first SIGINT or SIGTERM ends the demo with a summary, the second at once."""
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

    async def _replicas_read(self) -> None:
        """Return when every replica reads; raises CannotBeDone when that takes too long."""
        names = {child.name for child in self._children.running("replica-")}
        with anyio.move_on_after(START_TIMEOUT_S):
            while not self._interrupted.is_set():
                self._children.check()
                look = await take_snapshot(self._client, self._centre.keys, self._centre)
                if all(names <= stream.in_hand.keys() for stream in look.streams.values()):
                    return
                await anyio.sleep(0.1)
            return
        tails = "\n".join(f"{child.name}:\n{child.log_end()}" for child in self._children.all)
        raise CannotBeDone(f"not every replica was reading after {START_TIMEOUT_S:g} s; their logs:\n{tails}")

    async def _watch_until_over(self) -> Ending:
        progress = StopCondition(self._options)
        while True:
            self._children.check()
            look = await take_snapshot(self._client, self._centre.keys, self._centre)
            now = anyio.current_time()
            gathered = self._centre.world.auditor.reaction_s
            self._reaction.look(gathered, look.total("ready"), now)
            self._show(look, self._children.running("replica-"), self._killed, now - self._started_at)
            over = progress.judge(look, now - self._started_at)
            if over is not None:
                return over
            with anyio.move_on_after(LOOK_EVERY_S):
                await self._interrupted.wait()
                return "interrupted"

    async def _kill_now_and_then(self) -> None:
        every_s = self._options.kill_every_s
        while every_s is not None:
            await anyio.sleep(every_s)
            running = self._children.running("replica-")
            if running:
                self._children.kill(self._random.choice(running))
                self._killed += 1
                self._start_replica()

    async def _drain(self) -> None:
        """Give the replicas some time to tell the backend everything; calls that go on make new news."""
        with anyio.move_on_after(DRAIN_S):
            while True:
                look = await take_snapshot(self._client, self._centre.keys, self._centre)
                if not look.total("untold") and not look.total("reserved"):
                    return
                await anyio.sleep(0.1)
