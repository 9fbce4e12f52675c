"""The processes of a run: one replica and one tick producer, each replaced after it has killed itself."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final, Literal, Self

import anyio

from bench.crash.child import start_child
from bench.crash.crash_points import ChildCommand, Target
from bench.crash.fixtures import FIRST_REPLICA
from streamdialer.errors import CannotBeDone

Role = Literal["replica", "producer"]
ROLES: Final[tuple[Role, ...]] = ("producer", "replica")
STOP_TIMEOUT_S: Final = 10.0
LOG_LINES_SHOWN: Final = 15


class CrashProcesses:
    """A context manager that kills all processes at its end."""

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        *,
        target: Target | None,
        without: tuple[str, ...],
    ) -> None:
        """Logs go to `directory`; points are logged when there is no target."""
        self._directory = directory
        self._environment = environment
        self._target = target
        self._without = without
        self._running: dict[Role, ForkServerProcess] = {}
        self._started = 0
        self.replica = FIRST_REPLICA
        """The consumer name of the newest replica."""
        self.marker = directory / "marker"

    def __enter__(self) -> Self:
        for role in ROLES:
            self._start(role)
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._running.values():
            child.kill()
            child.join()

    @property
    def passage_logs(self) -> list[Path]:
        return sorted(self._directory.glob("*.points"))

    def replace_dead(self) -> bool:
        """Replaces processes that killed themselves; True when there was one. Raises CannotBeDone for any other end."""
        has_crashed = False
        for role, child in list(self._running.items()):
            if child.exitcode is not None:
                self._require_crash(role, child)
                self._start(role)
                has_crashed = True
        return has_crashed

    async def stop(self) -> bool:
        """Terminates all processes; True when one killed itself instead. Raises CannotBeDone."""
        has_crashed = False
        for child in self._running.values():
            child.terminate()
        with anyio.move_on_after(STOP_TIMEOUT_S):
            while any(child.exitcode is None for child in self._running.values()):  # noqa: ASYNC110 - there is no event for it
                await anyio.sleep(0.01)
        for role, child in self._running.items():
            if child.exitcode is None:
                raise CannotBeDone(f"the {role} did not end within {STOP_TIMEOUT_S:g} s of SIGTERM")
            if child.exitcode != 0:
                self._require_crash(role, child)
                has_crashed = True
        self._running.clear()
        return has_crashed

    def start_all(self) -> None:
        """Starts both again after a crash during the shutdown."""
        for role in ROLES:
            self._start(role)

    def _require_crash(self, role: Role, child: ForkServerProcess) -> None:
        if child.exitcode == -signal.SIGKILL and self.marker.exists():
            return
        end = "\n".join(self._log(role).read_text("utf-8", errors="replace").splitlines()[-LOG_LINES_SHOWN:])
        raise CannotBeDone(f"a {role} ended with exit code {child.exitcode}:\n{end}")

    def _log(self, role: Role) -> Path:
        return self._directory / f"{role}.log"

    def _start(self, role: Role) -> None:
        self._started += 1
        points = "" if self._target else str(self._directory / f"{self._started}.points")
        command = ChildCommand(role=role, log=points, target=self._target, without=self._without)
        if role == "replica" and self._started > len(ROLES):
            self.replica = f"replica-{self._started}"
        arguments = ["tick"] if role == "producer" else ["consume", "--name", self.replica]
        self._running[role] = start_child(
            command, arguments, self._environment, str(self._directory), str(self._log(role))
        )
