"""What a process that runs for long tells of itself: heartbeat, health file, health port, service manager."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import anyio
from redis.exceptions import RedisError

from streamdialer.broker.connection import TRANSIENT
from streamdialer.broker.heartbeat import Heartbeat, Role
from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Scripts
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.config.settings import Settings
from streamdialer.errors import StreamdialerError
from streamdialer.ledger.metrics import LedgerMetrics
from streamdialer.observability import systemd
from streamdialer.observability.health import HealthPort, touch_health_file

log = logging.getLogger(__name__)
METRICS_TIMEOUT_S: Final = 2.0
"""Longest wait for Redis: a probe of an orchestrator gives up soon."""


def background_duties(
    settings: Settings, scripts: Scripts, keys: Keys, run: ShutdownSignal, *, name: str, role: Role
) -> dict[str, Callable[[], Awaitable[None]]]:
    """The heartbeat and what the settings and the environment ask for; start them when the work has begun.

    `name` is what the process is called in Redis.
    """
    duties: dict[str, Callable[[], Awaitable[None]]] = {
        "heartbeat": Heartbeat(scripts, keys, run, name, role).serve
    }
    if settings.health_file:
        duties["health file"] = partial(touch_health_file, settings.health_file)
    if settings.health_port:
        port = HealthPort(partial(_measure, LedgerMetrics(scripts, keys)), lambda: run.stopping)
        duties["health port"] = partial(port.serve, settings.health_host, settings.health_port)
    if systemd.is_listening():
        duties["systemd"] = partial(systemd.report, run.wait_stopping)
    return duties


async def _measure(readings: LedgerMetrics) -> bool:
    with anyio.move_on_after(METRICS_TIMEOUT_S):
        try:
            await readings.collect()
        except (RedisError, *TRANSIENT, StreamdialerError) as error:
            log.warning("cannot read what Redis holds for the metrics", extra={"error": str(error)})
            return False
        return True
    return False
