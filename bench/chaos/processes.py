"""The processes of a chaos run: real replicas and tick producers, killed, stopped and replaced."""

from __future__ import annotations

import signal
from random import Random
from typing import Final, Literal

import anyio

from streamdialer.simulation.demo.child_processes import (
    STOP_TIMEOUT_S,
    ChildProcess,
    ChildProcesses,
)

Role = Literal["replica", "producer"]
ROLES: Final[tuple[Role, ...]] = ("replica", "producer")
POLL_INTERVAL_S: Final = 0.02
CANNOT_START: Final = "cannot be reached"


class ProcessPool:
    """Keeps the number of processes of each role constant."""

    def __init__(self, children: ChildProcesses) -> None:
        self._children = children
        self._started = dict.fromkeys(ROLES, 0)
        self._leaving: set[str] = set()
        self._stopped: set[str] = set()
        self.restarts = 0
        """Processes that ended because they could not reach Redis at their start, and were started again."""
        self.problems: list[str] = []
        """What processes did wrong, in words."""

    def start(self, role: Role) -> ChildProcess:
        """Starts one more; must be called from the main thread."""
        self._started[role] += 1
        name = f"{role}-{self._started[role]}"
        if role == "replica":
            return self._children.start(name, "consume", "--name", name)
        return self._children.start(name, "tick")

    def working(self, role: Role) -> list[ChildProcess]:
        """Processes that run and are neither stopped nor terminating."""
        away = self._leaving | self._stopped
        return [child for child in self._children.running(f"{role}-") if child.name not in away]

    def replace_killed(self, role: Role, random: Random) -> str:
        """Kills one (SIGKILL) and starts another; returns what happened, in words."""
        victim = self._pick(role, random)
        self._children.kill(victim)
        return f"{victim.name} killed, {self.start(role).name} started"

    async def replace_terminated(self, role: Role, random: Random) -> str:
        """Terminates one (SIGTERM), starts another, and checks how the first ends."""
        victim = self._pick(role, random)
        self._leaving.add(victim.name)
        may_be_starting = victim.may_be_starting
        victim.process.send_signal(signal.SIGTERM)
        another = self.start(role)
        with anyio.move_on_after(STOP_TIMEOUT_S):
            while victim.is_running:  # noqa: ASYNC110 - there is no event for its end
                await anyio.sleep(POLL_INTERVAL_S)
        if victim.is_running:
            self.problems.append(f"{victim.name} did not end within {STOP_TIMEOUT_S:g} s of SIGTERM")
            self._children.kill(victim)
        elif victim.process.returncode != 0 and not (
            may_be_starting and victim.process.returncode == -signal.SIGTERM
        ):
            self.problems.append(f"{victim.name} ended with {victim.process.returncode} after SIGTERM")
        victim.was_killed = True  # its end is wanted and was checked
        return f"{victim.name} terminated, {another.name} started"

    async def stop_and_continue(self, role: Role, seconds: float, random: Random) -> str:
        """Stops one (SIGSTOP) for `seconds`, then continues it: the process does not notice the pause."""
        victim = self._pick(role, random)
        self._stopped.add(victim.name)
        victim.process.send_signal(signal.SIGSTOP)
        try:
            await anyio.sleep(seconds)
        finally:
            victim.process.send_signal(signal.SIGCONT)
            self._stopped.discard(victim.name)
        return f"{victim.name} stopped for {seconds:.1f} s"

    def replace_ended(self) -> None:
        """Records every process that ended by itself, and starts another."""
        for child in self._children.all:
            if child.was_killed or child.is_running or child.name in self._leaving:
                continue
            child.was_killed = True
            last = (child.log_end().splitlines() or [""])[-1]
            if CANNOT_START in last:  # a producer that cannot reach Redis at its start ends with this error
                self.restarts += 1
            else:
                self.problems.append(f"{child.name} ended by itself with {child.process.returncode}: {last}")
            self.start("replica" if child.name.startswith("replica-") else "producer")

    async def stop(self) -> None:
        """Terminates all processes and waits for their end."""
        self.problems += await self._children.stop()

    def _pick(self, role: Role, random: Random) -> ChildProcess:
        """A working process; the newest only if there is no other, because it may not have begun to work."""
        self.replace_ended()
        at_work = self.working(role)
        return random.choice(at_work[:-1] or at_work or self._children.running(f"{role}-"))
