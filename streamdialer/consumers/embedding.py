"""`Replica`: a replica inside another program, in that program's event loop."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

import anyio
from anyio.abc import TaskGroup

from streamdialer.broker.connection import close, connect, keys_of, names_to_tell, ping
from streamdialer.broker.keys import STAGES, Stage
from streamdialer.broker.layout import require_usable as require_usable_data
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.config.loading import require_usable
from streamdialer.config.settings import Settings
from streamdialer.consumers.replica import ReplicaOptions, replica_name, run_replica
from streamdialer.errors import SettingsError

log = logging.getLogger(__name__)
MARGIN_S: Final = 3.0
"""Beyond the shutdown timeout, to leave Redis. Then the rest is cancelled, and other replicas take it over."""


class Replica:
    """A replica that runs beside your own code, in your event loop (asyncio), while the `async with` block runs.

    Entering raises SettingsError when a setting cannot be used, Unreachable when Redis cannot be reached, and
    CannotBeDone when the data in Redis is not for this version. However the block ends, the replica takes no more work,
    finishes what it can within `settings.shutdown_timeout_s`, and hands the rest back. Logging, signals, traces and
    systemd's notifications belong to your program: it touches none of them.

    Example::

        from streamdialer import Replica, Settings

        settings = Settings(redis_url="redis://127.0.0.1:6379/0", backend_url="http://127.0.0.1:8000")
        async with Replica(settings, stages=("calls", "events"), concurrency=20) as replica:
            print(f"{replica.name} is working")
    """

    def __init__(
        self,
        settings: Settings,
        *,
        stages: Sequence[Stage] = STAGES,
        concurrency: int | None = None,
        autoscale: tuple[int, int] | None = None,
        name: str | None = None,
    ) -> None:
        """`concurrency` entries at once per stage, or between (max, min) of `autoscale`, moving with the backlog."""
        self.name = name or replica_name()
        self._settings = settings
        self._options = ReplicaOptions(
            stages=stages, concurrency=concurrency, autoscale=autoscale, name=self.name
        )
        self._shutdown: ShutdownSignal
        self._ended: anyio.Event
        self._tasks: TaskGroup

    async def __aenter__(self) -> Self:
        require_usable(self._settings)
        if not self._options.stages or set(self._options.stages) - set(STAGES):
            raise SettingsError(
                f"stages: got {self._options.stages!r}, takes one or more of {', '.join(STAGES)}"
            )
        if text := names_to_tell(self._settings):
            log.warning(text)
        client = connect(self._settings.redis_url)
        try:
            await ping(client, self._settings.redis_url)
            await require_usable_data(client, keys_of(self._settings))
        finally:
            await close(client)
        self._shutdown, self._ended = ShutdownSignal(), anyio.Event()
        self._tasks = await anyio.create_task_group().__aenter__()
        self._tasks.start_soon(self._work, name=self.name)
        return self

    async def _work(self) -> None:
        try:
            await run_replica(self._settings, self._options, self._shutdown)
        finally:
            self._ended.set()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._shutdown.stop()
        with anyio.move_on_after(self._settings.shutdown_timeout_s + MARGIN_S, shield=True):
            await self._ended.wait()
        if not self._ended.is_set():
            self._tasks.cancel_scope.cancel()
        if isinstance(
            error, anyio.get_cancelled_exc_class()
        ):  # the replica has failed, or the program is cancelled
            return await self._tasks.__aexit__(kind, error, trace)
        await self._tasks.__aexit__(None, None, None)
        return None  # an error of the block goes on as it is, not in a group
