"""One replica: the chosen stages side by side, and the background duties they need."""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Sequence

import anyio
import msgspec
from redis.asyncio import Redis

from streamdialer.broker.background_duty import BackgroundDuty, running
from streamdialer.broker.concurrency import ConcurrencyLimit
from streamdialer.broker.connection import close, connect
from streamdialer.broker.consumer import Handler, StreamConsumer
from streamdialer.broker.consumer_group import ConsumerGroup
from streamdialer.broker.keys import STAGES, Stage
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.config.settings import Settings
from streamdialer.consumers.background import background_duties
from streamdialer.consumers.calls import CallsStage
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.events import EventsStage
from streamdialer.consumers.invariant_check import InvariantCheck
from streamdialer.consumers.services import Services, open_services
from streamdialer.consumers.sweeper import Sweeper
from streamdialer.consumers.ticks import TicksStage
from streamdialer.consumers.updates import UpdatesStage

log = logging.getLogger(__name__)


class ReplicaOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `streamdialer consume`."""

    stages: Sequence[Stage] = STAGES
    concurrency: int | None = None
    """Entries handled at once per stage; None: the number in the settings."""
    autoscale: tuple[int, int] | None = None
    """(most, least) entries handled at once per stage; the number follows the backlog."""
    name: str | None = None


def replica_name() -> str:
    """A name no other consumer has: host, process, four random digits."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"


def concurrency_limit(stage: Stage, settings: Settings, options: ReplicaOptions) -> ConcurrencyLimit:
    if options.autoscale is not None:
        return ConcurrencyLimit(*options.autoscale)
    if options.concurrency is not None:
        return ConcurrencyLimit(options.concurrency)
    return ConcurrencyLimit(settings.calls_concurrency if stage == "calls" else settings.concurrency)


async def run_replica(settings: Settings, options: ReplicaOptions, shutdown: ShutdownSignal) -> None:
    """Works until the shutdown, then finishes or hands back what it holds within the shutdown timeout."""
    name = options.name or replica_name()
    reader = connect(settings.redis_url)
    try:
        async with open_services(settings) as services:
            wakeups = WakeupScheduler(services)
            ticks = TicksStage(services, wakeups)
            duties: list[BackgroundDuty] = [wakeups]
            if "ticks" in options.stages:
                duties += [Sweeper(services, wakeups), InvariantCheck(services), *ticks.duties]
            duties += background_duties(
                settings, services.scripts, services.keys, shutdown, name=name, role="consume"
            )
            handlers: dict[Stage, Handler] = {
                "ticks": ticks.handle,
                "calls": CallsStage(services).handle,
                "events": EventsStage(services, wakeups).handle,
                "updates": UpdatesStage(services).handle,
            }
            for stage in options.stages:
                shutdown.activity.register_stage(stage)
            log.info("replica started", extra={"replica": name, "stages": ",".join(options.stages)})
            # the duties end when all stages have ended: entries that are finished at the end need them
            async with running(*duties), anyio.create_task_group() as working:
                for stage in options.stages:
                    consumer = StreamConsumer(
                        _group(stage, name, services, reader),
                        handlers[stage],
                        concurrency_limit(stage, settings, options),
                        shutdown,
                        read_block_s=settings.read_block_s,
                        claim_min_idle_s=settings.claim_min_idle_s,
                        max_deliveries=settings.max_deliveries,
                        idle_consumer_ttl_s=settings.idle_consumer_ttl_s,
                    )
                    working.start_soon(consumer.serve, settings.shutdown_timeout_s)
    finally:
        await close(reader)
    log.info("replica stopped", extra={"replica": name, "entries": shutdown.done})


def _group(stage: Stage, consumer: str, services: Services, reader: Redis) -> ConsumerGroup:
    return ConsumerGroup(
        reader=reader,
        scripts=services.scripts,
        keys=services.keys,
        stage=stage,
        consumer=consumer,
        dead_letters_maxlen=services.settings.dead_letters_maxlen,
        dead_letters_max_bytes=services.settings.dead_letters_max_bytes,
        retention_ms=round(services.settings.events_retention_s * 1000) if stage == "events" else 0,
    )
