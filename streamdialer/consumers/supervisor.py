"""Several programs under one process: it restarts those that end, and stops all of them when it is stopped.

Programs of a higher rank start when those below them are ready, and stop before them. A child that ends cleanly
(`--max-tasks`) is replaced at once. A child that fails soon after its start is replaced after growing pauses. A child
whose event loop is stuck no longer touches its health file and is killed. Each child has its own session, so that
Ctrl-C reaches it only once, through the supervisor.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio
import msgspec
from anyio.abc import Process

from streamdialer.config.settings import NAMES
from streamdialer.consumers.child_process import with_parent_death_signal
from streamdialer.errors import CannotBeDone
from streamdialer.observability.health import BEAT_S

log = logging.getLogger(__name__)
QUICK_EXIT_S: Final = 5.0
"""A child that fails sooner than this, its interpreter's start included, is likely to fail again."""
MIN_PAUSE_S: Final = 0.5
MAX_PAUSE_S: Final = 30.0
MARGIN_S: Final = 3.0
"""Beyond the shutdown timeout, before children of one rank are killed."""
REFUSALS: Final = (1, 2)
"""Exit codes: it could not be done; wrong usage or settings."""
CHECK_INTERVAL_S: Final = BEAT_S
STUCK_CHECKS: Final = 15
"""After so many checks without a change; not seconds, because this process may have been stopped as well."""


async def _is_ready() -> None:
    """`wait_ready` of programs that no other program waits for."""


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """One program to keep running."""

    name: str
    command: Sequence[str]
    """`command[0]` is a path."""
    env: Mapping[str, str] = {}
    """Added to the supervisor's environment."""
    folder: Path | None = None
    """Where it runs; None: where the supervisor does."""
    files: Sequence[int] = ()
    """File descriptors that the program inherits."""
    rank: int = 0
    wait_ready: Callable[[], Awaitable[None]] = _is_ready
    """Returns when programs of a higher rank can start; what it raises ends the supervisor."""
    must_start: bool = False
    """When it refuses to start (exit code 1 or 2, before it is ready), it is not tried again: the supervisor ends."""


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
    """Keeps one child per program running until SIGTERM or SIGINT; a second signal kills them."""

    def __init__(self, programs: Sequence[Program], *, shutdown_timeout_s: float) -> None:
        self._programs = programs
        self._shutdown_timeout_s = shutdown_timeout_s
        self._children: dict[str, Process] = {}
        self._ended: dict[str, anyio.Event] = {}
        """Of the programs that were started."""
        self._folder = Path()
        self._ready = set[str]()
        """The programs that have been ready."""
        self._stopping = anyio.Event()

    async def wait_stopping(self) -> None:
        await self._stopping.wait()

    async def serve(self) -> None:
        """Returns when every child has ended after a signal; raises what `wait_ready` of a program raises.

        Raises CannotBeDone when a program that must start refuses to.
        """
        with (
            tempfile.TemporaryDirectory(prefix="streamdialer-") as folder,
            anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals,
        ):
            self._folder = Path(folder)
            async with anyio.create_task_group() as listening:
                listening.start_soon(self._stop_on, signals)
                listening.start_soon(self._stop_in_order)
                listening.start_soon(self._kill_stuck)
                async with anyio.create_task_group() as keeping:
                    for rank in self._ranks():
                        programs = [program for program in self._programs if program.rank == rank]
                        for program in programs:
                            self._ended[program.name] = anyio.Event()
                            keeping.start_soon(self._keep, program)
                        await self._wait_ready(programs)
                listening.cancel_scope.cancel()

    def _ranks(self) -> list[int]:
        return sorted({program.rank for program in self._programs})

    async def _wait_ready(self, programs: Sequence[Program]) -> None:
        """Returns when they are ready, or all stop."""
        async with anyio.create_task_group() as waiting:

            async def give_up() -> None:
                await self._stopping.wait()
                waiting.cancel_scope.cancel()

            waiting.start_soon(give_up)
            for program in programs:
                await program.wait_ready()
                self._ready.add(program.name)
            waiting.cancel_scope.cancel()

    async def _stop_on(self, signals: AsyncIterator[signal.Signals]) -> None:
        async for received in signals:
            if self._stopping.is_set():
                self._signal_all(signal.SIGKILL)
                continue
            log.info("stopping", extra={"signal": received.name, "children": len(self._children)})
            self._stopping.set()

    async def _stop_in_order(self) -> None:
        await self._stopping.wait()
        for rank in reversed(self._ranks()):
            names = {program.name for program in self._programs if program.rank == rank}
            self._signal_all(signal.SIGTERM, names)
            with anyio.move_on_after(self._shutdown_timeout_s + MARGIN_S):
                await self._wait_ended(names)
            if late := sorted(names & self._children.keys()):
                log.error(
                    "processes did not stop in time and were killed; what replicas held is taken over by others",
                    extra={"children": late},
                )
                self._signal_all(signal.SIGKILL, names)
                await self._wait_ended(names)

    async def _wait_ended(self, names: set[str]) -> None:
        for name in names & self._ended.keys():
            await self._ended[name].wait()

    async def _kill_stuck(self) -> None:
        last_beats: dict[str, tuple[int, int]] = {}
        while True:
            await anyio.sleep(CHECK_INTERVAL_S)
            for name, child in list(self._children.items()):
                beat = _last_beat(self._health_file(name))
                last, unchanged = last_beats.get(name, (0, 0))
                unchanged = unchanged + 1 if beat and beat == last else 0
                if unchanged >= STUCK_CHECKS:
                    log.error(
                        "the event loop of a process is stuck: killed, starting another",
                        extra={"child": name, "pid": child.pid},
                    )
                    child.kill()
                    beat = 0
                last_beats[name] = beat, unchanged

    def _health_file(self, name: str) -> Path:
        return self._folder / name

    def _signal_all(self, signal_number: signal.Signals, names: Collection[str] | None = None) -> None:
        for name, child in self._children.items():
            if names is None or name in names:
                with suppress(ProcessLookupError):  # it has just ended
                    child.send_signal(signal_number)

    async def _keep(self, program: Program) -> None:
        await self._restart(program)
        self._ended[program.name].set()

    async def _restart(self, program: Program) -> None:
        failures = 0
        while not self._stopping.is_set():
            started = anyio.current_time()
            code = await self._run_once(program)
            if self._stopping.is_set():
                return
            if program.must_start and code in REFUSALS and program.name not in self._ready:
                raise CannotBeDone(f"the {program.name} does not start; the lines above say why")
            lived_s = anyio.current_time() - started
            failures = failures + 1 if code != 0 and lived_s < QUICK_EXIT_S else 0
            wait_s = pause_s(failures)
            log.log(
                logging.WARNING if code else logging.INFO,
                "process ended, starting another",
                extra={"child": program.name, "code": code, "lived_s": round(lived_s, 1), "pause_s": wait_s},
            )
            with anyio.move_on_after(wait_s):
                await self._stopping.wait()

    async def _run_once(self, program: Program) -> int:
        """The child's exit code; minus the signal that killed it."""
        name, launch = program.name, with_parent_death_signal(program.command, signal.SIGTERM)
        health_file = self._health_file(name)
        health_file.unlink(missing_ok=True)
        async with await anyio.open_process(
            launch,
            stdin=subprocess.DEVNULL,
            stdout=None,
            stderr=None,
            env={**os.environ, **program.env, NAMES["health_file"]: str(health_file)},
            cwd=program.folder,
            start_new_session=True,
            pass_fds=program.files,
        ) as child:
            self._children[name] = child
            log.info("process started", extra={"child": name, "pid": child.pid})
            if self._stopping.is_set():  # the signal came during the start
                child.terminate()
            try:
                return await child.wait()
            finally:
                del self._children[name]
