"""The demo's processes: each runs `streamdialer …` as you would start it, with a log file of its own.

None outlives the demo, however it ends: on Linux the kernel kills them with their parent.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import anyio

from streamdialer.consumers.child_process import with_parent_death_signal
from streamdialer.errors import CannotBeDone
from streamdialer.simulation.demo.options import SHUTDOWN_TIMEOUT_S

LOG_LINES_SHOWN: Final = 20
STOP_TIMEOUT_S: Final = SHUTDOWN_TIMEOUT_S + 4
STARTING_S: Final = 5.0
"""A process younger than this, or one that has written nothing, may not have got as far as handling SIGTERM."""


class ChildProcess:
    def __init__(
        self, name: str, process: subprocess.Popen[bytes], log: Path, *, is_needed: bool = True
    ) -> None:
        self.name = name
        self.process = process
        self.log = log
        self.is_needed = is_needed
        self.started = time.monotonic()
        self.was_killed = False

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    @property
    def may_be_starting(self) -> bool:
        return time.monotonic() - self.started < STARTING_S or self.log.stat().st_size == 0

    def log_end(self) -> str:
        lines = self.log.read_text("utf-8", errors="replace").splitlines()
        return "\n".join(lines[-LOG_LINES_SHOWN:])


class ChildProcesses:
    """A context manager: at its end it kills every process that still runs."""

    def __init__(
        self, directory: Path, environment: Mapping[str, str], module: Sequence[str] = ("streamdialer",)
    ) -> None:
        """`directory` is the working directory, without a `.env`, and gets the logs.

        `module` is what `python -m` runs, with arguments that come before each child's own.
        """
        self._directory = directory
        self._environment = environment
        self._module = module
        self.all: list[ChildProcess] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.all:
            if child.is_running:
                child.process.kill()
            child.process.wait()

    def start(self, name: str, *arguments: str, is_needed: bool = True) -> ChildProcess:
        """Runs `streamdialer` with the arguments; must be called from the main thread.

        One that is not needed may end by itself.
        """
        log = self._directory / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                with_parent_death_signal([sys.executable, "-m", *self._module, *arguments]),
                cwd=self._directory,
                env=dict(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the demo, which stops them in order
            )
        child = ChildProcess(name, process, log, is_needed=is_needed)
        self.all.append(child)
        return child

    def kill(self, child: ChildProcess) -> None:
        """SIGKILL: the process cannot clean up."""
        child.was_killed = True
        child.process.kill()
        child.process.wait()

    def running(self, prefix: str = "") -> list[ChildProcess]:
        return [child for child in self.all if child.name.startswith(prefix) and child.is_running]

    def check(self) -> None:
        """Raises CannotBeDone for a needed process that ended by itself, with the end of its log."""
        for child in self.all:
            if child.is_needed and not child.was_killed and not child.is_running:
                raise CannotBeDone(
                    f"{child.name} (process {child.pid}) ended with exit code {child.process.returncode}; "
                    f"the end of its log:\n{child.log_end()}"
                )

    async def stop(self) -> list[str]:
        """Sends SIGTERM, to the process started first last; returns the problems, a sentence each."""
        children = [
            child for child in self.all if not child.was_killed and (child.is_needed or child.is_running)
        ]
        starting = {child.name for child in children if child.may_be_starting}
        for child in reversed(children):
            if child.is_running:
                child.process.send_signal(signal.SIGTERM)
        with anyio.move_on_after(STOP_TIMEOUT_S):
            while any(child.is_running for child in children):  # noqa: ASYNC110 - no event tells of their end
                await anyio.sleep(0.02)
        problems = []
        for child in children:
            if child.is_running:
                self.kill(child)
                problems.append(f"{child.name} did not end within {STOP_TIMEOUT_S:g} s of SIGTERM")
            elif child.process.returncode == -signal.SIGTERM and child.name in starting:
                pass
            elif child.process.returncode != 0:
                problems.append(f"{child.name} ended with exit code {child.process.returncode} after SIGTERM")
        return problems
