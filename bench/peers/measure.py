"""One turn of one peer: events completely handled per second by its worker, its start left out.

The worker handles some events first. Then it is stopped (SIGSTOP) while the events are written, so that their
writer takes no processor time from it, and the clock starts when it goes on (SIGCONT).
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import redis

from bench.environments import ROOT, environment_of
from bench.peers.apps.said import COUNTS
from bench.peers.workers import Worker
from streamdialer.consumers.child_process import with_parent_death_signal
from streamdialer.simulation.embedded_redis import EmbeddedServer

WARM_UP: Final = 200
TIMEOUT_S: Final = 120.0
POLL_S: Final = 0.005


class Turn(msgspec.Struct, frozen=True):
    """What a worker did in one turn."""

    per_second: float
    cpu_ms: float
    """Of all processes of the worker, for each event."""
    redis_cpu_ms: float
    """Of the server, for each event, with what the measure itself asked."""


def measure(worker: Worker, count: int) -> Turn:
    commands = environment_of(worker.peer)
    with tempfile.TemporaryDirectory(prefix="streamdialer-peers-") as folder, EmbeddedServer() as server:
        environment = os.environ | {"REDIS_URL": server.url, "PYTHONPATH": str(ROOT), **worker.variables}
        client = redis.Redis.from_url(server.url, decode_responses=True)
        with _running(worker, commands, environment, Path(folder) / "log") as process:
            _write(worker, commands, environment, WARM_UP)
            _wait_for(client, WARM_UP, process, Path(folder) / "log")
            os.killpg(process.pid, signal.SIGSTOP)
            _write(worker, commands, environment, count)
            cpu, redis_cpu = group_cpu_s(process.pid), redis_cpu_s(client.info("cpu"))
            began = time.monotonic()
            os.killpg(process.pid, signal.SIGCONT)
            _wait_for(client, WARM_UP + count, process, Path(folder) / "log")
            seconds = time.monotonic() - began
            cpu, redis_cpu = group_cpu_s(process.pid) - cpu, redis_cpu_s(client.info("cpu")) - redis_cpu
        client.close()
    return Turn(count / seconds, 1000 * cpu / count, 1000 * redis_cpu / count)


@contextmanager
def _running(
    worker: Worker, commands: Path, environment: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    name, *options = worker.command
    with log.open("wb") as output:
        process = subprocess.Popen(
            with_parent_death_signal([str(commands / name), *options]),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _write(worker: Worker, commands: Path, environment: dict[str, str], count: int) -> None:
    command = [str(commands / "python"), "-m", f"bench.peers.apps.{worker.peer}_app", str(count)]
    subprocess.run(command, env=environment, check=True)


def _wait_for(client: redis.Redis, count: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until so many events have been handled."""
    deadline = time.monotonic() + TIMEOUT_S
    while (handled := _handled(client)) < count:
        if process.poll() is not None or time.monotonic() > deadline:
            end = "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-20:])
            raise RuntimeError(
                f"{handled} of {count} events were handled; the end of the worker's log:\n{end}"
            )
        time.sleep(POLL_S)
    assert handled == count, f"{handled} events were handled, {count} were written"


def _handled(client: redis.Redis) -> int:
    return sum(map(int, client.hgetall(COUNTS).values()))


def redis_cpu_s(info: Any) -> float:
    """From `INFO cpu`."""
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def group_cpu_s(group: int) -> float:
    """Of the processes of a group: that of a worker and of its children."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
