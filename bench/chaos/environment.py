"""Everything that runs in a chaos run, for the faults to act on."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import msgspec
from anyio.to_thread import run_sync
from redis.asyncio import Redis
from redis.exceptions import RedisError

from bench.chaos.event_faults import EventFaults
from bench.chaos.options import AGENT_LIST_LAG_S, ChaosOptions, chaos_environment
from bench.chaos.processes import ROLES, ProcessPool
from bench.chaos.proxy import Proxy
from bench.chaos.world import chaos_world, refused_contacts
from streamdialer.broker.connection import connect
from streamdialer.config.settings import Settings
from streamdialer.errors import CannotBeDone
from streamdialer.ledger.records import Attempt, decode_contact
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.simulation.demo.child_processes import ChildProcesses
from streamdialer.simulation.demo.snapshot import take_snapshot
from streamdialer.simulation.embedded_redis import EmbeddedServer
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.world.config import CentreConfig
from streamdialer.simulation.world.entities import Id

START_TIMEOUT_S: Final = 60.0
REDIS_TIMEOUT_S: Final = 20.0
AOF_OPTIONS: Final = ("--appendfsync", "no", "--auto-aof-rewrite-min-size", "4mb")
"""Every write is in the file before its reply, whatever the disk does: `everysec` postpones writes during an fsync. The
file is rewritten early: a short one is read back fast."""
RESTART_TRIES: Final = 3
READ_BEFORE_WRITE_S: Final = 1.0
"""Between the read of a contact and the end of its PATCH, where nothing is slow."""
PLACED_AFTER_S: Final = 10.0
"""A reserved call is placed or taken back within this time."""


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """The world, servers, proxies and processes of one run."""

    options: ChaosOptions
    centre: CallCentre
    """Holds the auditor; its own connection to Redis does not go through a proxy."""
    server: EmbeddedServer
    client: Redis
    """For the harness; not through a proxy."""
    event_faults: EventFaults
    redis_link: Proxy
    backend_link: Proxy
    api_link: Proxy
    pool: ProcessPool
    remembered_attempts: defaultdict[str, dict[str, Attempt]]
    """By campaign and id: attempts of records that the ledger may forget, because their time was made to be over, the
    backend has ended their contacts, or contacts are loaded from the backend again after Redis was restarted."""
    ended_contacts: set[Id]
    """By the backend itself."""
    malformed_injected: dict[str, int]
    """Malformed entries written to the events stream, by the expected reason of their dead letters."""

    async def start_campaigns(self) -> None:
        """Does what the Dialer API does when campaigns are started; retries while Redis is down."""
        for campaign in self.centre.world.campaigns:
            await self.retry(partial(self.centre.start_campaign, campaign))

    async def retry(self, command: Callable[[], Awaitable[object]]) -> None:
        """Repeats the command until Redis accepts it; raises TimeoutError."""
        with anyio.fail_after(REDIS_TIMEOUT_S):
            while True:
                try:
                    await command()
                except (RedisError, OSError):  # the connection was to the server that was killed
                    await anyio.sleep(0.02)
                else:
                    return

    async def pause_campaigns(self) -> None:
        """No new calls from now on."""
        for campaign in self.centre.world.campaigns:
            await self.retry(partial(self.centre.pause_campaign, campaign))

    async def restart_redis(self) -> None:
        """The same address and directory; returns when it answers. Raises CannotBeDone."""
        for tries in range(1, RESTART_TRIES + 1):
            try:
                await run_sync(self.server.restart)
            except CannotBeDone:  # on a busy machine reading the appendonly file back may take too long
                if tries == RESTART_TRIES:
                    raise
            else:
                await self.retry(self._remember_attempts)
                return

    async def _remember_attempts(self) -> None:
        """Notes all attempts before the campaigns are rebuilt: no call is placed until then."""
        for campaign in map(str, self.centre.world.campaigns):
            stored: Any = await self.client.hgetall(self.centre.keys.records(campaign))
            for raw in stored.values():
                self.remember(campaign, decode_contact(raw).history)

    async def remember_ended_contacts(self) -> None:
        """Notes the attempts of contacts that the backend has ended; raises RedisError."""
        contacts = list(map(str, self.ended_contacts))
        for campaign in map(str, self.centre.world.campaigns):
            stored: Any = (
                await self.client.hmget(self.centre.keys.records(campaign), contacts) if contacts else []
            )
            for raw in filter(None, stored):
                self.remember(campaign, decode_contact(raw).history)

    def remember(self, campaign: str, attempts: Iterable[Attempt]) -> None:
        self.remembered_attempts[campaign].update({attempt.id: attempt for attempt in attempts})

    async def heal(self) -> None:
        """Ends all faults: proxies, services and events are normal, and all processes run."""
        for link in (self.redis_link, self.backend_link, self.api_link):
            await link.forward()
        self.centre.backend.set_responder(None)
        self.centre.dialer_api.set_responder(None)
        self.event_faults.apply(None)
        if not self.server.is_running:
            await self.restart_redis()
        self.pool.replace_ended()


@asynccontextmanager
async def open_environment(options: ChaosOptions, directory: Path) -> AsyncIterator[Environment]:
    """Starts everything; every replica reads, no campaign is active. Raises CannotBeDone."""
    random = Random(f"{options.seed}:wires")
    event_faults = EventFaults()
    async with AsyncExitStack() as stack:
        server = stack.enter_context(EmbeddedServer(*AOF_OPTIONS, tcp=True, appendonly=True))
        world = chaos_world(options)
        config = CentreConfig(
            agent_list_lag_s=AGENT_LIST_LAG_S * options.speed,
            reply="serial" if options.serial_api else "held",
        )
        centre = await stack.enter_async_context(
            CallCentre(
                world,
                server.url,
                speed=options.speed,
                config=config,
                distort=event_faults,
                is_late=lambda: event_faults.held > 0,
            )
        )
        centre.backend.refuses_updates_of = refused_contacts(world)
        known_for_s = Settings().pending_check_after_s + PLACED_AFTER_S
        world.auditor.may_overwrite_ended_for_s = READ_BEFORE_WRITE_S * options.speed
        world.auditor.may_call_ended_for_s = known_for_s * options.speed
        links = []
        for url in (server.url, centre.backend.url, centre.dialer_api.url):
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
        process_environment = chaos_environment(options, urls, os.environ)
        children = stack.enter_context(ChildProcesses(directory, process_environment, module))
        pool = ProcessPool(children)
        environment = Environment(
            options=options,
            centre=centre,
            server=server,
            client=client,
            event_faults=event_faults,
            redis_link=redis_link,
            backend_link=backend_link,
            api_link=api_link,
            pool=pool,
            remembered_attempts=defaultdict(dict),
            ended_contacts=set(),
            malformed_injected={},
        )
        for role, number in zip(ROLES, (options.replicas, options.producers), strict=True):
            for _ in range(number):
                pool.start(role)
        await _wait_for_replicas(environment, children)
        yield environment


async def _wait_for_replicas(environment: Environment, children: ChildProcesses) -> None:
    names = {child.name for child in children.running("replica-")}
    with anyio.move_on_after(START_TIMEOUT_S):
        while True:
            children.check()
            snapshot = await take_snapshot(environment.client, environment.centre)
            if snapshot.are_reading(names):
                return
            await anyio.sleep(0.1)
    raise CannotBeDone(f"not every replica read its streams within {START_TIMEOUT_S:g} s")
