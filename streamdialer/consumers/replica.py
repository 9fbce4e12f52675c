"""One replica: the chosen stages side by side under one task group, with the sweeper and wake-ups they need."""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Sequence

import anyio
import msgspec
from redis.asyncio import Redis

from streamdialer.broker import ConcurrencyLimit, ShutdownSignal, StreamConsumer
from streamdialer.broker.background_duty import BackgroundDuty, running
from streamdialer.broker.connection import close, connect
from streamdialer.broker.consumer import Handler
from streamdialer.broker.keys import STAGES, Stage
from streamdialer.config.settings import Settings
from streamdialer.consumers.background import background_duties
from streamdialer.consumers.calls import CallsStage
from streamdialer.consumers.events import EventsStage
from streamdialer.consumers.invariant_check import InvariantCheck
from streamdialer.consumers.services import Services, open_services
from streamdialer.consumers.sweeper import Sweeper
from streamdialer.consumers.ticks import TicksStage
from streamdialer.consumers.updates import UpdatesStage
from streamdialer.consumers.wakeups import WakeupScheduler

log = logging.getLogger(__name__)


class ReplicaOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `streamdialer consume` takes."""

    stages: Sequence[Stage] = STAGES
    concurrency: int | None = None
    """Handlers at once per stage; None: the settings' own number for each stage."""
    autoscale: tuple[int, int] | None = None
    """(most, least) handlers at once per stage, moving with the backlog."""
    name: str | None = None


def replica_name() -> str:
    """A name no other consumer has: host, process, four random digits."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"


def places_for(stage: Stage, settings: Settings, options: ReplicaOptions) -> ConcurrencyLimit:
    """How many entries a stage may work on at once."""
    if options.autoscale is not None:
        return ConcurrencyLimit(*options.autoscale)
    if options.concurrency is not None:
        return ConcurrencyLimit(options.concurrency)
    return ConcurrencyLimit(settings.calls_concurrency if stage == "calls" else settings.concurrency)


async def run_replica(settings: Settings, options: ReplicaOptions, run: ShutdownSignal) -> None:
    """Works until the run is stopped; then finishes or hands back what it holds within the grace period."""
    name = options.name or replica_name()
    reader = connect(settings.redis_url)
    try:
        async with open_services(settings) as services:
            wakes = WakeupScheduler(services)
            duties: list[BackgroundDuty] = [wakes]
            if "ticks" in options.stages:
                duties += [Sweeper(services, wakes), InvariantCheck(services)]
            duties += background_duties(
                settings, services.scripts, services.keys, run, name=name, role="consume"
            )
            handlers: dict[Stage, Handler] = {
                "ticks": TicksStage(services, wakes).handle,
                "calls": CallsStage(services).handle,
                "events": EventsStage(services, wakes).handle,
                "updates": UpdatesStage(services).handle,
            }
            for stage in options.stages:
                run.activity.register_stage(stage)
            log.info("replica started", extra={"replica": name, "stages": ",".join(options.stages)})
            async with running(*duties), anyio.create_task_group() as working:
                for stage in options.stages:
                    places = places_for(stage, settings, options)
                    consumer = _consumer(stage, name, services, reader, handlers[stage], places, run)
                    working.start_soon(consumer.serve, settings.shutdown_timeout_s)
    finally:
        await close(reader)
    log.info("replica stopped", extra={"replica": name, "entries": run.done})


def _consumer(
    stage: Stage,
    name: str,
    services: Services,
    reader: Redis,
    handle: Handler,
    places: ConcurrencyLimit,
    run: ShutdownSignal,
) -> StreamConsumer:
    settings = services.settings
    return StreamConsumer(
        reader=reader,
        scripts=services.scripts,
        stream=services.keys.stream(stage),
        dead=services.keys.stream("dead"),
        server=services.keys.server,
        consumer=name,
        handle=handle,
        places=places,
        run=run,
        read_block_s=settings.read_block_s,
        claim_min_idle_s=settings.claim_min_idle_s,
        max_deliveries=settings.max_deliveries,
        dead_letters_maxlen=settings.dead_letters_maxlen,
        forget_s=settings.idle_consumer_ttl_s,
    )
