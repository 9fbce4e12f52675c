"""The processes under attack: real replicas and tick producers, killed, stopped and replaced."""

from __future__ import annotations

import signal
from random import Random
from typing import Final, Literal

import anyio

from streamdialer.simulation.demo.child_processes import (
    STARTING_S,
    STOP_TIMEOUT_S,
    ChildProcess,
    ChildProcesses,
)

Role = Literal["replica", "producer"]
ROLES: Final[tuple[Role, ...]] = ("replica", "producer")
LOOK_EVERY_S: Final = 0.02
CANNOT_START: Final = "cannot be reached"


class ProcessPool:
    """Keeps as many processes of each role as there were at the start."""

    def __init__(self, children: ChildProcesses) -> None:
        self._children = children
        self._started = dict.fromkeys(ROLES, 0)
        self._leaving: set[str] = set()
        self._stopped: set[str] = set()
        self.started_again = 0
        """Processes that could not reach Redis at their start, as a supervisor would start them again."""
        self.problems: list[str] = []
        """What processes did that they should not, in words."""

    def start(self, role: Role) -> ChildProcess:
        """One more; must be called from the main thread."""
        self._started[role] += 1
        name = f"{role}-{self._started[role]}"
        if role == "replica":
            return self._children.start(name, "consume", "--name", name)
        return self._children.start(name, "tick")

    def at_work(self, role: Role) -> list[ChildProcess]:
        """Those that run, are not stopped and have not been asked to end."""
        away = self._leaving | self._stopped
        return [child for child in self._children.running(f"{role}-") if child.name not in away]

    def replace_killed(self, role: Role, random: Random) -> str:
        """SIGKILL one and start another; returns what happened, in words."""
        victim = self._pick(role, random)
        self._children.kill(victim)
        return f"{victim.name} killed, {self.start(role).name} started"

    async def replace_terminated(self, role: Role, random: Random) -> str:
        """SIGTERM one, start another, and see that the first ends as it should."""
        victim = self._pick(role, random)
        self._leaving.add(victim.name)
        is_young = anyio.current_time() - victim.started < STARTING_S
        victim.process.send_signal(signal.SIGTERM)
        another = self.start(role)
        with anyio.move_on_after(STOP_TIMEOUT_S):
            while victim.is_running:  # noqa: ASYNC110 - no event tells of its end
                await anyio.sleep(LOOK_EVERY_S)
        if victim.is_running:
            self.problems.append(f"{victim.name} did not end within {STOP_TIMEOUT_S:g} s of SIGTERM")
            self._children.kill(victim)
        elif victim.process.returncode != 0 and not (
            is_young and victim.process.returncode == -signal.SIGTERM
        ):
            self.problems.append(f"{victim.name} ended with {victim.process.returncode} after SIGTERM")
        victim.was_killed = True  # its end was asked for and judged
        return f"{victim.name} terminated, {another.name} started"

    async def stop_and_continue(self, role: Role, seconds: float, random: Random) -> str:
        """SIGSTOP one for `seconds`, then SIGCONT: a zombie that believes no time has passed."""
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
        """Notes whoever ended by itself, and starts another."""
        for child in self._children.all:
            if child.was_killed or child.is_running or child.name in self._leaving:
                continue
            child.was_killed = True
            last = (child.log_end().splitlines() or [""])[-1]
            if CANNOT_START in last:  # a producer that meets no Redis at its start says so and ends
                self.started_again += 1
            else:
                self.problems.append(f"{child.name} ended by itself with {child.process.returncode}: {last}")
            self.start("replica" if child.name.startswith("replica-") else "producer")

    async def end(self) -> None:
        """Asks everybody to end and waits for it."""
        self.problems += await self._children.stop()

    def _pick(self, role: Role, random: Random) -> ChildProcess:
        """One at work; whoever started last is spared as long as there is another: it may not have begun to work."""
        self.replace_ended()
        at_work = self.at_work(role)
        return random.choice(at_work[:-1] or at_work or self._children.running(f"{role}-"))
