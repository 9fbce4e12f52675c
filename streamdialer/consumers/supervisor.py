"""Several replicas under one process: it restarts those that end, and stops all of them when it is stopped.

A child that ends cleanly (`--max-tasks`) is replaced at once. A child that fails soon after its start is replaced after
growing pauses. A child whose event loop is stuck no longer touches its health file and is killed. Each child has its
own session, so that Ctrl-C reaches it only once, through the supervisor.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import Process

from streamdialer.config.settings import NAMES
from streamdialer.consumers.child_process import with_parent_death_signal
from streamdialer.observability.health import BEAT_S

log = logging.getLogger(__name__)
QUICK_EXIT_S: Final = 5.0
"""A child that fails sooner than this, its interpreter's start included, is likely to fail again."""
MIN_PAUSE_S: Final = 0.5
MAX_PAUSE_S: Final = 30.0
MARGIN_S: Final = 3.0
"""Beyond the replicas' shutdown timeout, before they are killed."""
CHECK_INTERVAL_S: Final = BEAT_S
STUCK_CHECKS: Final = 15
"""After so many checks without a change; not seconds, because this process may have been stopped as well."""


def pause_s(failures: int) -> float:
    """The pause before a child is started again that has failed `failures` times in a row."""
    return min(MAX_PAUSE_S, MIN_PAUSE_S * 2.0 ** min(failures - 1, 16)) if failures else 0.0


def _last_beat(health_file: Path) -> int:
    """When the child last touched its file, ns; 0 before the first time."""
    try:
        return health_file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


class Supervisor:
    """Keeps one child per command running until SIGTERM or SIGINT; a second signal kills them."""

    def __init__(
        self,
        commands: Sequence[Sequence[str]],
        *,
        shutdown_timeout_s: float,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`env` is added to this process's environment."""
        self._commands = commands
        self._shutdown_timeout_s = shutdown_timeout_s
        self._env = {**os.environ, **(env or {})}
        self._children: dict[int, Process] = {}
        self._folder = Path()
        self._stopping = anyio.Event()

    async def wait_stopping(self) -> None:
        await self._stopping.wait()

    async def serve(self) -> None:
        """Returns when every child has ended after a signal."""
        with (
            tempfile.TemporaryDirectory(prefix="streamdialer-") as folder,
            anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals,
        ):
            self._folder = Path(folder)
            async with anyio.create_task_group() as listening:
                listening.start_soon(self._stop_on, signals)
                listening.start_soon(self._kill_late)
                listening.start_soon(self._kill_stuck)
                async with anyio.create_task_group() as keeping:
                    for number, command in enumerate(self._commands, 1):
                        keeping.start_soon(self._keep, number, command)
                listening.cancel_scope.cancel()

    async def _stop_on(self, signals: AsyncIterator[signal.Signals]) -> None:
        async for received in signals:
            if self._stopping.is_set():
                self._signal_all(signal.SIGKILL)
                continue
            log.info("stopping", extra={"signal": received.name, "children": len(self._children)})
            self._stopping.set()
            self._signal_all(signal.SIGTERM)

    async def _kill_late(self) -> None:
        await self._stopping.wait()
        await anyio.sleep(self._shutdown_timeout_s + MARGIN_S)
        log.error(
            "replicas did not stop in time and were killed; other replicas take their entries over",
            extra={"children": len(self._children)},
        )
        self._signal_all(signal.SIGKILL)

    async def _kill_stuck(self) -> None:
        last_beats: dict[int, tuple[int, int]] = {}
        while True:
            await anyio.sleep(CHECK_INTERVAL_S)
            for number, child in list(self._children.items()):
                beat = _last_beat(self._health_file(number))
                last, unchanged = last_beats.get(number, (0, 0))
                unchanged = unchanged + 1 if beat and beat == last else 0
                if unchanged >= STUCK_CHECKS:
                    log.error(
                        "the event loop of a replica is stuck: killed, starting another",
                        extra={"child": number, "pid": child.pid},
                    )
                    child.kill()
                    beat = 0
                last_beats[number] = beat, unchanged

    def _health_file(self, number: int) -> Path:
        return self._folder / str(number)

    def _signal_all(self, signal_number: signal.Signals) -> None:
        for child in self._children.values():
            with suppress(ProcessLookupError):  # it has just ended
                child.send_signal(signal_number)

    async def _keep(self, number: int, command: Sequence[str]) -> None:
        failures = 0
        while not self._stopping.is_set():
            started = anyio.current_time()
            code = await self._run_once(number, command)
            if self._stopping.is_set():
                return
            lived_s = anyio.current_time() - started
            failures = failures + 1 if code != 0 and lived_s < QUICK_EXIT_S else 0
            wait_s = pause_s(failures)
            log.log(
                logging.WARNING if code else logging.INFO,
                "replica process ended, starting another",
                extra={"child": number, "code": code, "lived_s": round(lived_s, 1), "pause_s": wait_s},
            )
            with anyio.move_on_after(wait_s):
                await self._stopping.wait()

    async def _run_once(self, number: int, command: Sequence[str]) -> int:
        """The child's exit code; minus the signal that killed it."""
        launch, health_file = with_parent_death_signal(command, signal.SIGTERM), self._health_file(number)
        health_file.unlink(missing_ok=True)
        async with await anyio.open_process(
            launch,
            stdin=subprocess.DEVNULL,
            stdout=None,
            stderr=None,
            env=self._env | {NAMES["health_file"]: str(health_file)},
            start_new_session=True,
        ) as child:
            self._children[number] = child
            log.info("replica process started", extra={"child": number, "pid": child.pid})
            if self._stopping.is_set():  # the signal came during the start
                child.terminate()
            try:
                return await child.wait()
            finally:
                del self._children[number]
