"""A whole dialer in this process: the simulated call centre behind HTTP, a replica, a tick producer, a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec

from streamdialer.broker.connection import TRANSIENT, keys_of
from streamdialer.broker.dead_letters import DeadLetters
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.config.settings import Settings
from streamdialer.consumers.replica import ReplicaOptions, run_replica
from streamdialer.consumers.services import Services, open_services
from streamdialer.errors import Unreachable
from streamdialer.model import TickKind, TickResult
from streamdialer.producers.events import Producer
from streamdialer.producers.ticks import TickProducer
from streamdialer.simulation.demo.snapshot import take_snapshot
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.servers.event_writer import Distort
from streamdialer.simulation.world.auditor import Audit
from streamdialer.simulation.world.config import CentreConfig
from streamdialer.simulation.world.engine import World
from tests.support.eventually import eventually

SCHEDULE = Settings(
    dial_interval_s=0.2,
    retry_interval_s=0.5,
    stats_interval_s=0.5,
    cleanup_after_s=600,
    scan_keys_per_s=100_000,
)


class Dialer:
    """The running dialer, for a test to read and to drive."""

    def __init__(self, centre: CallCentre, services: Services, producer: Producer) -> None:
        self.centre = centre
        self.services = services
        self.producer = producer
        self.dead = DeadLetters(services.client, services.scripts, services.keys)

    async def tick(self, kind: TickKind = "dial", campaign: str = "1") -> TickResult:
        """Runs one tick through the stream and waits for its result."""
        result = await self.producer.result(await self.producer.tick(kind, campaign), timeout=30)
        assert result is not None
        return result

    async def public(self, campaign: str = "1") -> dict[str, str]:
        found: Any = await self.services.client.hgetall(self.services.keys.campaign(campaign))
        return dict(found)

    async def stream_lengths(self) -> dict[str, int]:
        keys = self.services.keys
        return {
            name: int(await self.services.client.xlen(keys.stream(name)))
            for name in ("ticks", "calls", "events", "updates")
        }

    async def count(self, place: str, campaign: str = "1") -> int:
        return int(await self.services.client.zcard(getattr(self.services.keys, place)(campaign)))

    async def until(
        self, condition: Callable[[Audit], Any], *, within_s: float = 15, what: str = ""
    ) -> Audit:
        await eventually(lambda: condition(self.centre.summary()), within_s=within_s, what=what)
        return self.centre.summary()

    async def until_all_are_final(self, within_s: float = 30) -> Audit:
        """Waits until every contact has an end, the backend knows it, and no phone is up."""

        async def is_over() -> bool:
            try:
                look = await take_snapshot(self.services.client, self.centre)
            except (*TRANSIENT, Unreachable):  # a failover is under way
                return False
            unfinished = sum(
                look.audit.contacts.get(status, 0) for status in ("pending", "dialing", "answered")
            )
            return not unfinished and not look.audit.live_calls and not look.unfinished

        await eventually(is_over, within_s=within_s, what=f"all final: {self.centre.summary().contacts}")
        return self.centre.summary()


@asynccontextmanager
async def open_centre(
    settings: Settings, world: World, **changes: Any
) -> AsyncIterator[tuple[CallCentre, Services]]:
    """A call centre and services that speak to it; no replica runs. `changes` are settings."""
    async with CallCentre(world, settings.redis_url) as centre:
        here = msgspec.structs.replace(
            settings, backend_url=centre.backend.url, dialer_api_url=centre.dialer_api.url, **changes
        )
        async with open_services(here) as services:
            yield centre, services


@asynccontextmanager
async def run_dialer(
    settings: Settings,
    world: World,
    *,
    speed: float = 60,
    centre_config: CentreConfig | None = None,
    replicas: int = 1,
    producers: int = 1,
    start: bool = True,
    centre_url: str = "",
    distort: Distort | None = None,
    **changes: Any,
) -> AsyncIterator[Dialer]:
    """Everything running, campaigns started unless told otherwise; `changes` are settings.

    `centre_url` is the address the call centre writes to, where that is another than the dialer's; `distort` may spoil
    its events.
    """
    keys = keys_of(settings)
    async with CallCentre(
        world, centre_url or settings.redis_url, speed=speed, config=centre_config, keys=keys, distort=distort
    ) as centre:
        here = msgspec.structs.replace(
            settings,
            backend_url=centre.backend.url,
            dialer_api_url=centre.dialer_api.url,
            **{"ring_timeout_s": 30 / speed, "uncertain_margin_s": 3.0, **changes},
        )
        run = ShutdownSignal()
        async with (
            open_services(here) as services,
            Producer.from_url(settings.redis_url, settings.namespace) as producer,
            anyio.create_task_group() as tasks,
        ):
            for _ in range(replicas):
                tasks.start_soon(run_replica, here, ReplicaOptions(), run)
            for _ in range(producers):
                ticks = TickProducer(services.scripts, services.keys, SCHEDULE, run)
                tasks.start_soon(ticks.serve)
            if start:
                for campaign in world.campaigns:
                    await centre.start_campaign(campaign)
            try:
                yield Dialer(centre, services, producer)
            finally:
                run.stop()
