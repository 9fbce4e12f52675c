"""Everything that runs, and everything a fault may touch."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Final
from urllib.parse import urlsplit

import anyio
import msgspec
from anyio.to_thread import run_sync
from redis.asyncio import Redis
from redis.exceptions import RedisError

from bench.chaos.event_faults import EventFaults
from bench.chaos.options import ChaosOptions, chaos_environment, chaos_world
from bench.chaos.processes import ROLES, ProcessPool
from bench.chaos.proxy import Proxy
from streamdialer.broker.connection import connect
from streamdialer.errors import CannotBeDone
from streamdialer.ledger import mark_server_trusted
from streamdialer.simulation import CallCentre
from streamdialer.simulation.demo.child_processes import ChildProcesses
from streamdialer.simulation.demo.snapshot import take_snapshot
from streamdialer.simulation.embedded_redis import EmbeddedServer

START_TIMEOUT_S: Final = 60.0
REDIS_TIMEOUT_S: Final = 20.0
AOF: Final = ("--appendfsync", "everysec", "--auto-aof-rewrite-min-size", "4mb")
"""Rewritten early: a short log is read back fast."""
RESTART_TRIES: Final = 3


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """One run's world, servers, wires and processes."""

    options: ChaosOptions
    centre: CallCentre
    """The auditor; its services and its link to Redis are not behind a proxy."""
    server: EmbeddedServer
    client: Redis
    """The harness's own, not behind a proxy."""
    distortion: EventFaults
    redis_link: Proxy
    backend_link: Proxy
    api_link: Proxy
    crew: ProcessPool
    injected: dict[str, int]
    """Malformed entries written to the events stream, by the reason they should be dead letters for."""

    async def start_campaigns(self) -> None:
        """What the Dialer API does at the start, and when Redis has lost everything; until Redis takes it."""
        for campaign in self.centre.world.campaigns:
            await self.insist(partial(self.centre.start_campaign, campaign))

    async def insist(self, ask: Callable[[], Awaitable[object]]) -> None:
        """Asks Redis until it takes it; raises TimeoutError."""
        with anyio.fail_after(REDIS_TIMEOUT_S):
            while True:
                try:
                    await ask()
                except (RedisError, OSError):  # an open connection to the server that was killed
                    await anyio.sleep(0.02)
                else:
                    return

    async def pause_campaigns(self) -> None:
        """No new calls from now on."""
        for campaign in self.centre.world.campaigns:
            await self.insist(partial(self.centre.pause_campaign, campaign))

    async def restart_redis(self) -> None:
        """The same address and directory; returns when it answers. Raises CannotBeDone."""
        for tries in range(1, RESTART_TRIES + 1):
            try:
                await run_sync(self.server.restart)
            except CannotBeDone:  # on a busy machine reading the log back may take too long
                if tries == RESTART_TRIES:
                    raise
            else:
                return

    async def heal(self) -> None:
        """Every wire and every service behaves again, and everybody is there."""
        for link in (self.redis_link, self.backend_link, self.api_link):
            await link.forward()
        self.centre.backend.set_responder(None)
        self.centre.dialer_api.set_responder(None)
        self.distortion.spoil(None)
        if not self.server.is_running:
            await self.restart_redis()
        self.crew.replace_ended()


@asynccontextmanager
async def opened(options: ChaosOptions, directory: Path) -> AsyncIterator[Environment]:
    """Everything started, every replica reading, no campaign active; raises CannotBeDone."""
    random = Random(f"{options.seed}:wires")
    distortion = EventFaults()
    async with AsyncExitStack() as stack:
        server = stack.enter_context(EmbeddedServer(*AOF, tcp=True, appendonly=True))
        centre = await stack.enter_async_context(
            CallCentre(chaos_world(options), server.url, speed=options.speed, distort=distortion)
        )
        links = []
        for url in (server.url, centre.backend_url, centre.dialer_api_url):
            address = urlsplit(url)
            assert address.hostname is not None
            assert address.port is not None
            proxy = Proxy(address.hostname, address.port, random)
            links.append(await stack.enter_async_context(proxy))
        redis_link, backend_link, api_link = links
        client = connect(server.url)
        stack.push_async_callback(client.aclose)
        await mark_server_trusted(client, centre.keys)
        urls = {
            "redis_url": f"redis://127.0.0.1:{redis_link.port}",
            "backend_url": f"http://127.0.0.1:{backend_link.port}",
            "dialer_api_url": f"http://127.0.0.1:{api_link.port}",
        }
        module = ("bench.without_guard", options.without, "--") if options.without else ("streamdialer",)
        environment = chaos_environment(options, urls, os.environ)
        children = stack.enter_context(ChildProcesses(directory, environment, module))
        crew = ProcessPool(children)
        scene = Environment(
            options=options,
            centre=centre,
            server=server,
            client=client,
            distortion=distortion,
            redis_link=redis_link,
            backend_link=backend_link,
            api_link=api_link,
            crew=crew,
            injected={},
        )
        for role, number in zip(ROLES, (options.replicas, options.producers), strict=True):
            for _ in range(number):
                crew.start(role)
        await _replicas_read(scene, children)
        yield scene


async def _replicas_read(scene: Environment, children: ChildProcesses) -> None:
    names = {child.name for child in children.running("replica-")}
    with anyio.move_on_after(START_TIMEOUT_S):
        while True:
            children.check()
            look = await take_snapshot(scene.client, scene.centre.keys, scene.centre)
            if look.are_reading(names):
                return
            await anyio.sleep(0.1)
    raise CannotBeDone(f"not every replica was reading after {START_TIMEOUT_S:g} s")
