"""Heartbeats: every two seconds, each process writes to Redis that it is alive and what it is doing."""

from __future__ import annotations

import logging
import os
import resource
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Literal

import anyio
import msgspec
from redis.asyncio import Redis

from streamdialer.broker.activity import StageActivity
from streamdialer.broker.background_duty import BackgroundDuty
from streamdialer.broker.connection import NO_FAULT
from streamdialer.broker.keys import Keys
from streamdialer.broker.layout import LAYOUT, why_unusable
from streamdialer.broker.scripts import Argument, Script, Scripts
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.config.version import __version__

log = logging.getLogger(__name__)
_PACKAGE: Final = "streamdialer.broker"
HEARTBEAT, REMOVE_REPLICA = (Script(_PACKAGE, name) for name in ("heartbeat", "remove_replica"))
INTERVAL_S: Final = 2.0
SILENT_AFTER_S: Final = 10.0
"""A process whose last heartbeat is older is hung, cut off or dead."""
TTL_S: Final = 600.0
"""A silent process is shown for this long, then forgotten."""
DEREGISTER_TIMEOUT_S: Final = 1.0
Role = Literal["consume", "tick", "asterisk", "webhooks"]


class ReplicaState(msgspec.Struct, frozen=True, kw_only=True):
    """What a process reports about itself."""

    role: Role
    version: str = ""
    """'' when its version does not report it."""
    host: str
    pid: int
    uptime_s: float
    rss_bytes: int
    """Resident memory; its peak where the system has no /proc."""
    stages: dict[str, StageActivity]


class KnownProcess(msgspec.Struct, frozen=True, kw_only=True):
    """A process, as its heartbeats show it."""

    name: str
    last_seen_s: float
    """Seconds since its last heartbeat, by the server's clock."""
    state: ReplicaState

    @property
    def is_silent(self) -> bool:
        return self.last_seen_s > SILENT_AFTER_S


class Heartbeat(BackgroundDuty):
    """A duty of every long-running process."""

    name = "heartbeat"

    def __init__(
        self, scripts: Scripts, keys: Keys, shutdown: ShutdownSignal, process: str, role: Role
    ) -> None:
        """`process` is what this process is called in Redis."""
        self._scripts = scripts
        self._keys = [keys.replicas, keys.replica_states]
        self._server = keys.server
        self._shutdown = shutdown
        self._process = process
        self._role: Role = role
        self._started = time.monotonic()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Removes the process from Redis at the end; if that fails, its heartbeat expires."""
        try:
            yield
        finally:
            with (
                anyio.CancelScope(shield=True),
                anyio.move_on_after(DEREGISTER_TIMEOUT_S),
                suppress(*NO_FAULT),
            ):
                await self._scripts.run(REMOVE_REPLICA, self._keys, [self._process])

    async def turn(self) -> float:
        state = msgspec.json.encode(self._state()).decode()
        args: list[Argument] = [self._process, state, round(TTL_S * 1000), LAYOUT]
        marks = await self._scripts.run(HEARTBEAT, [*self._keys, self._server], args)
        if (reason := why_unusable(*marks)) and not self._shutdown.stopping:
            log.error("this process stops", extra={"reason": reason})
            self._shutdown.stop()
        return INTERVAL_S

    def _state(self) -> ReplicaState:
        return ReplicaState(
            role=self._role,
            version=__version__,
            host=socket.gethostname(),
            pid=os.getpid(),
            uptime_s=round(time.monotonic() - self._started, 1),
            rss_bytes=resident_bytes(),
            stages=self._shutdown.activity.by_stage(),
        )


async def replicas(client: Redis, keys: Keys, now_ms: int) -> list[KnownProcess]:
    """The processes with a recent heartbeat, by name; `now_ms` is the server's time. Raises redis.RedisError."""
    pipe = client.pipeline(transaction=False)
    pipe.zrange(keys.replicas, 0, -1, withscores=True)
    pipe.hgetall(keys.replica_states)
    heartbeats, states = await pipe.execute()
    return read_replicas(heartbeats, states, now_ms)


def read_replicas(
    heartbeats: list[tuple[str, float]], states: dict[str, str], now_ms: int
) -> list[KnownProcess]:
    """The answers of ZRANGE WITHSCORES and HGETALL as processes; those of another version are left out."""
    replicas = []
    for name, heartbeat_ms in sorted(heartbeats):
        try:
            state = msgspec.json.decode(states.get(name, ""), type=ReplicaState)
        except msgspec.MsgspecError:
            continue
        replicas.append(
            KnownProcess(name=name, last_seen_s=max(0.0, now_ms - heartbeat_ms) / 1000, state=state)
        )
    return replicas


def resident_bytes() -> int:
    """Resident memory of this process; its peak where the system has no /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except (OSError, IndexError, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")
