"""How long commands take that do little, how soon a replica works, and its memory: `python -m bench.start_up`.

Each is started several times; the first start, which reads the disk, is left out.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import anyio

from bench.performance_page import median_and_spread, table, write
from bench.soak.sampling import rss_of
from bench.speed.measures import open_bench
from bench.speed.prepared_ledger import register
from streamdialer.simulation.child_environment import with_settings
from streamdialer.simulation.demo.child_processes import ChildProcesses
from streamdialer.simulation.embedded_redis import EmbeddedServer

COMMANDS: Final = {
    "--help": ("--help",),
    "emit": ("emit", "agent_available", "queue=q", "agent_id=7"),
    "run": ("run", "dial", "1"),
}
IDLE_S: Final = 5.0


def time_command(redis_url: str, arguments: tuple[str, ...]) -> tuple[float, float]:
    """Seconds, and processor seconds."""
    environment = with_settings(os.environ, {"redis_url": redis_url})
    began, before = time.monotonic(), os.times()
    subprocess.run(
        [sys.executable, "-m", "streamdialer", *arguments],
        check=True,
        env=environment,
        cwd=tempfile.gettempdir(),
        stdout=subprocess.DEVNULL,
    )
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.monotonic() - began, used


async def time_replica() -> tuple[float, float, float]:
    """Seconds from the start to the first tick that is done; the memory then, and idle for a while, MB."""
    async with open_bench() as bench:
        await register(bench.services, 1)
        await bench.services.ticks.enqueue("dial", ["1"])
        environment = with_settings(
            os.environ,
            {"redis_url": bench.redis_url, "backend_url": bench.servers, "dialer_api_url": bench.servers},
        )
        with tempfile.TemporaryDirectory() as folder, ChildProcesses(Path(folder), environment) as children:
            began = time.monotonic()
            replica = children.start("replica", "consume")
            while not await bench.is_drained("ticks"):
                children.check()
                await anyio.sleep(0.005)
            seconds, memory = time.monotonic() - began, rss_of(replica.pid) / 1e6
            await anyio.sleep(IDLE_S)
            return seconds, memory, rss_of(replica.pid) / 1e6
    raise AssertionError("unreachable: the bench swallows no error")


def run(rounds: int) -> str:
    rows = []
    with EmbeddedServer() as server:
        for name, arguments in COMMANDS.items():
            found = [time_command(server.url, arguments) for _ in range(rounds + 1)][1:]
            wall, cpu = zip(*found, strict=True)
            rows.append(
                [f"`streamdialer {name}`, s", median_and_spread(wall, ".2f"), f"{statistics.median(cpu):.2f}"]
            )
    replicas = [anyio.run(time_replica) for _ in range(rounds + 1)][1:]
    for place, name in enumerate(
        (
            "start of `consume` to its first entry, s",
            "its memory then, MB",
            f"after {IDLE_S:g} s without work, MB",
        )
    ):
        rows.append(
            [name, median_and_spread([each[place] for each in replicas], ".2f" if not place else ".0f"), ""]
        )
    return table(["", "found", "processor time, s"], rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    options = parser.parse_args()
    text = run(options.rounds)
    sys.stdout.write(text)
    if options.write:
        write("start", text)
