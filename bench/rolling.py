"""A rolling upgrade and the way back, under load: `python -m bench.rolling [PATH]`

PATH is a checkout of the version before; without it, the newest tag is checked out. Its replicas and its tick producer
dial; one after another is stopped and replaced by one of this checkout, and then the other way round. No call may be
placed twice, and every contact must get its end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Final

import anyio

from bench.pauses import TimedCentre, longest_pause
from streamdialer.broker.connection import TRANSIENT, close, connect, server_ms
from streamdialer.broker.heartbeat import replicas
from streamdialer.errors import Unreachable
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.simulation.demo.child_processes import ChildProcess, ChildProcesses
from streamdialer.simulation.demo.options import DemoOptions, child_environment, demo_world
from streamdialer.simulation.demo.snapshot import take_snapshot
from streamdialer.simulation.embedded_redis import EmbeddedServer
from streamdialer.simulation.world.auditor import Audit

HERE: Final = Path(__file__).resolve().parents[1]
REPLICAS: Final = 2
START_TIMEOUT_S: Final = 60.0
END_TIMEOUT_S: Final = 300.0
OPTIONS: Final = DemoOptions(agents=20, contacts=300, speed=30, replicas=REPLICAS, dashboard_port=None)


class Rolling:
    def __init__(self, centre: TimedCentre, folder: Path, before: Path) -> None:
        self._centre = centre
        self._client = connect(centre.redis_url)
        self._crews = {}
        for checkout in (before, HERE):
            environment = {**child_environment(OPTIONS, centre.urls, os.environ), "PYTHONPATH": str(checkout)}
            self._crews[checkout] = ChildProcesses(folder, environment)
        self._started = 0

    async def run(self, before: Path) -> Audit:
        try:
            await mark_server_trusted(self._client, self._centre.keys)
            running = [await self._start(before, role) for role in ("tick", *["consume"] * REPLICAS)]
            for campaign in self._centre.world.campaigns:
                await self._centre.start_campaign(campaign)
            began = monotonic()
            for checkout in (HERE, before):
                for number, child in enumerate(running):
                    print(f"{child.name} is replaced", flush=True)  # noqa: T201 - a program's output
                    child.process.terminate()
                    await anyio.to_thread.run_sync(child.process.wait)
                    running[number] = await self._start(checkout, child.name.split("-")[0])
            pause = longest_pause(self._centre.placed, began, monotonic())
            print(f"longest pause without a new call: {pause:.1f} s")  # noqa: T201
            with anyio.fail_after(END_TIMEOUT_S):
                while not await self._is_over():  # noqa: ASYNC110 - no event tells of the end
                    await anyio.sleep(0.5)
            return self._centre.summary()
        finally:
            for crew in self._crews.values():
                await crew.stop()
                crew.__exit__()
            await close(self._client)

    async def _start(self, checkout: Path, role: str) -> ChildProcess:
        """Returns when the process has sent its first heartbeat."""
        self._started += 1
        name = f"{role}-{self._started}-{checkout.name}"
        child = self._crews[checkout].start(name, role)
        with anyio.fail_after(START_TIMEOUT_S):
            while child.pid not in await self._pids():
                if not child.is_running:
                    raise SystemExit(f"{name} has ended:\n{child.log_end()}")
                await anyio.sleep(0.1)
        return child

    async def _pids(self) -> set[int]:
        now_ms = await server_ms(self._client)
        return {each.state.pid for each in await replicas(self._client, self._centre.keys, now_ms)}

    async def _is_over(self) -> bool:
        try:
            seen = await take_snapshot(self._client, self._centre)
        except (*TRANSIENT, Unreachable):
            return False
        waiting = sum(seen.audit.contacts.get(status, 0) for status in ("pending", "dialing", "answered"))
        return not waiting and not seen.audit.live_calls and not seen.unfinished


async def roll(before: Path) -> Audit:
    with tempfile.TemporaryDirectory(prefix="streamdialer-") as folder, EmbeddedServer() as server:
        async with TimedCentre(demo_world(OPTIONS), server.url, speed=OPTIONS.speed) as centre:
            return await Rolling(centre, Path(folder), before).run(before)
    raise AssertionError("unreachable: the call centre swallows no error")


def git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(HERE), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


@contextmanager
def newest_tag() -> Iterator[Path | None]:
    """A checkout of it; None when there is no tag that this commit is after."""
    tag = git("tag", "--merged", "HEAD~", "--sort=-creatordate", "--list", "v*").partition("\n")[0]
    if not tag:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="streamdialer-") as folder:
        checkout = Path(folder, tag)
        git("worktree", "add", "--detach", str(checkout), tag)
        try:
            yield checkout
        finally:
            git("worktree", "remove", "--force", str(checkout))


def compare(before: Path) -> int:
    audit = anyio.run(roll, before)
    print(f"{audit.total.originates} calls, {audit.double_dials} double dials, contacts: {audit.contacts}")  # noqa: T201
    return bool(audit.double_dials or audit.findings)


def main() -> None:
    if sys.argv[1:]:
        [path] = sys.argv[1:]
        sys.exit(compare(Path(path).resolve()))
    with newest_tag() as before:
        if before is None:
            print("no version has been tagged yet: there is none to upgrade from")  # noqa: T201
            return
        code = compare(before)
    sys.exit(code)


if __name__ == "__main__":
    main()
