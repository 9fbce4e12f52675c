"""How a long-running process shows that it is alive: heartbeat, health file, health port, service manager."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import anyio

from streamdialer.broker.background_duty import BackgroundDuty
from streamdialer.broker.connection import NO_FAULT
from streamdialer.broker.heartbeat import Heartbeat, Role
from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Scripts
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.config.settings import Settings
from streamdialer.config.version import __version__
from streamdialer.ledger.metrics import LedgerMetrics
from streamdialer.observability import health, metrics, systemd

log = logging.getLogger(__name__)
METRICS_TIMEOUT_S: Final = 2.0
"""Longest wait for Redis: a probe of an orchestrator gives up soon."""


class HealthFile(BackgroundDuty):
    """Touches a file as long as the event loop runs."""

    name = "health file"

    def __init__(self, path: str) -> None:
        self._file = anyio.Path(path)

    async def turn(self) -> float:
        await self._file.touch()
        return health.BEAT_S


class HealthServer(BackgroundDuty):
    """Answers `/live`, `/ready` and `/metrics`."""

    name = "health port"

    def __init__(self, port: health.HealthPort, address: tuple[str, int]) -> None:
        self._port = port
        self._address = address

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        async with self._port.listening(*self._address):
            yield

    async def turn(self) -> float:
        return math.inf


class SystemdReporter(BackgroundDuty):
    """Tells systemd that the process is ready, then that its event loop runs, and at last that it stops."""

    name = "systemd"

    def __init__(self, wait_stopping: Callable[[], Awaitable[None]]) -> None:
        self._wait_stopping = wait_stopping

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        systemd.notify("READY=1")
        yield

    async def turn(self) -> float:
        watchdog_s = systemd.watchdog_s()
        if watchdog_s:
            systemd.notify("WATCHDOG=1")
        with anyio.move_on_after(watchdog_s and watchdog_s / 3):
            await self._wait_stopping()
            systemd.notify("STOPPING=1")
            self._wait_stopping = anyio.sleep_forever
        return 0.0


def background_duties(
    settings: Settings, scripts: Scripts, keys: Keys, shutdown: ShutdownSignal, *, name: str, role: Role
) -> list[BackgroundDuty]:
    """The heartbeat, and what the settings ask for. `name` is what the process is called in Redis."""
    metrics.INFO.labels(__version__, settings.namespace).set(1)
    duties: list[BackgroundDuty] = [Heartbeat(scripts, keys, shutdown, name, role)]
    if settings.health_port:
        port = health.HealthPort(
            partial(_measure, LedgerMetrics(scripts, keys)), lambda: shutdown.stopping, settings.health_names
        )
        duties.append(HealthServer(port, (settings.health_host, settings.health_port)))
    if settings.health_file:
        duties.append(HealthFile(settings.health_file))
    return duties


def systemd_duties(wait_stopping: Callable[[], Awaitable[None]]) -> list[BackgroundDuty]:
    """Duties of the process that systemd started; the processes of a supervisor and an embedded replica have none."""
    return [SystemdReporter(wait_stopping)] if systemd.is_listening() else []


async def _measure(ledger: LedgerMetrics) -> bool:
    with anyio.move_on_after(METRICS_TIMEOUT_S):
        try:
            await ledger.collect()
        except NO_FAULT as error:
            log.warning("cannot read what Redis holds for the metrics", extra={"error": str(error)})
            return False
        return True
    return False
