"""How many replicas, and how much of Redis, so many calls per second take: `python -m bench.capacity_formula`.

The whole dialer calls the simulated call centre. Three points give the costs: one replica with few agents and with
many, and two with few. With them a formula predicts other points, which are measured beside it, for the processor time
of all replicas and in the same way for that of Redis:

    base + further replicas x what each costs + calls per second x cost of a call

The base is what active campaigns cost without a call, such as ticks and lists of agents. A further replica costs what
each does by the clock, such as checks of the ledger. The simulated call centre runs in this process, on the same cores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec

from bench.peers.measure import redis_cpu_s
from bench.performance_page import table, write
from bench.speed.measures import cpu_s
from streamdialer.broker.connection import close, connect
from streamdialer.errors import CannotBeDone
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.simulation.demo.child_processes import ChildProcesses
from streamdialer.simulation.demo.options import DemoOptions, child_environment, demo_world
from streamdialer.simulation.embedded_redis import EmbeddedServer
from streamdialer.simulation.servers.call_centre import CallCentre

WARM_UP_S: Final = 6.0
CONTACTS: Final = 10_000
SPEED: Final = 15.0
BUSY: Final = 0.7
"""How much of a core a replica, or Redis, may use in the long run: the rest is for peaks."""
LEARNED: Final = ((1, 20), (1, 100), (2, 20))
PREDICTED: Final = ((1, 50), (2, 50), (2, 100))
"""Replicas and agents."""
RATES: Final = (10, 30, 100, 200)


class Point(msgspec.Struct, frozen=True):
    """What a run used."""

    replicas: int
    agents: int
    calls_per_s: float
    of_replicas: float
    """Cores, all replicas together."""
    of_redis: float
    of_producer: float


class Line(msgspec.Struct, frozen=True):
    """Cores by replicas and calls per second."""

    base: float
    further: float
    """Of each replica but the first."""
    each: float
    """Core seconds for a call."""

    def at(self, replicas: int, calls_per_s: float) -> float:
        return self.base + (replicas - 1) * self.further + calls_per_s * self.each


def line_through(few: tuple[float, float], many: tuple[float, float], two: tuple[float, float]) -> Line:
    """Calls per second and cores: of one replica with few and with many calls, and of two replicas.

    Raises CannotBeDone when the points contradict each other, as they do when other programs use the cores.
    """
    each = (many[1] - few[1]) / (many[0] - few[0])
    base = few[1] - few[0] * each
    line = Line(base, two[1] - base - two[0] * each, each)
    if line.each <= 0 or line.further >= BUSY:
        raise CannotBeDone(
            f"more calls took less of the processor: the machine is too busy to measure it, {line}"
        )
    return line


async def measure(replicas: int, agents: int, seconds: float) -> Point:
    options = DemoOptions(mode="power", agents=agents, contacts=CONTACTS, speed=SPEED, replicas=replicas)
    with tempfile.TemporaryDirectory(prefix="streamdialer-capacity-") as folder, EmbeddedServer() as server:
        async with CallCentre(demo_world(options), server.url, speed=SPEED) as centre:
            client: Any = connect(server.url)
            await mark_server_trusted(client, centre.keys)
            environment = child_environment(options, centre.urls, os.environ) | {"LOG_LEVEL": "WARNING"}
            with ChildProcesses(Path(folder), environment) as children:
                producer = children.start("tick", "tick")
                started = [
                    children.start(f"replica-{n}", "consume", "--name", f"r{n}") for n in range(replicas)
                ]
                while await client.zcard(centre.keys.replicas) < replicas + 1:
                    children.check()
                    await anyio.sleep(0.1)
                for campaign in centre.world.campaigns:
                    await centre.start_campaign(campaign)
                await anyio.sleep(WARM_UP_S)
                before = (_calls(centre), [cpu_s(child.pid) for child in (producer, *started)])
                redis_before, began = redis_cpu_s(await client.info("cpu")), anyio.current_time()
                await anyio.sleep(seconds)
                children.check()
                took = anyio.current_time() - began
                used = [
                    cpu_s(child.pid) - cpu for child, cpu in zip((producer, *started), before[1], strict=True)
                ]
                of_redis = redis_cpu_s(await client.info("cpu")) - redis_before
                calls = _calls(centre) - before[0]
            await close(client)
    return Point(replicas, agents, calls / took, sum(used[1:]) / took, of_redis / took, used[0] / took)


def _calls(centre: CallCentre) -> int:
    return centre.summary().total.originates


def _against(measured: float, predicted: float) -> str:
    return f"{measured:.2f} | {predicted:.2f} | {100 * (predicted / measured - 1):+.0f} %"


def shown(points: list[Point]) -> str:
    learned = points[: len(LEARNED)]
    replicas, redis = (
        line_through(*((point.calls_per_s, getattr(point, name)) for point in learned))
        for name in ("of_replicas", "of_redis")
    )
    costs = table(
        ["cores", "base", "for a further replica", "ms for a call"],
        [
            [name, f"{line.base:.3f}", f"{line.further:.3f}", f"{1000 * line.each:.2f}"]
            for name, line in (("replicas", replicas), ("Redis", redis))
        ],
    )
    compared = table(
        [
            "replicas",
            "agents",
            "calls per second",
            "cores of the replicas",
            "predicted",
            "",
            "of Redis",
            "predicted",
            "",
        ],
        [
            [
                str(point.replicas),
                str(point.agents),
                f"{point.calls_per_s:.1f}",
                _against(point.of_replicas, replicas.at(point.replicas, point.calls_per_s)),
                _against(point.of_redis, redis.at(point.replicas, point.calls_per_s)),
            ]
            for point in points[len(LEARNED) :]
        ],
    )
    needed = table(
        ["calls per second", "replicas", "of Redis' core"],
        [
            [str(rate), str(count), f"{100 * redis.at(count, rate):.0f} %"]
            for rate in RATES
            for count in [replicas_for(rate, replicas)]
        ],
    )
    producer = max(point.of_producer for point in points)
    return "\n".join(
        [
            costs,
            f"The tick producer takes {producer:.3f} cores.\n",
            compared,
            f"Replicas that use {100 * BUSY:.0f} % of a core each:\n",
            needed,
            f"One Redis carries {most(redis, replicas):,.0f} calls per second at {100 * BUSY:.0f} % of its core.\n",
        ]
    )


def replicas_for(calls_per_s: float, line: Line) -> int:
    """So many that each uses no more than `BUSY` of a core."""
    count = 1
    while line.at(count, calls_per_s) > BUSY * count:
        count += 1
    return count


def most(redis: Line, replicas: Line) -> float:
    """Calls per second that take `BUSY` of Redis' core, with as many replicas as they need."""
    rate = 1.0
    while redis.at(replicas_for(rate + 1, replicas), rate + 1) <= BUSY:
        rate += 1
    return rate


def median_of(points: list[Point]) -> Point:
    """Of each figure."""
    return Point(
        *(statistics.median(figures) for figures in zip(*map(msgspec.structs.astuple, points), strict=True))
    )


async def main(rounds: int, seconds: float) -> str:
    found: dict[tuple[int, int], list[Point]] = {case: [] for case in (*LEARNED, *PREDICTED)}
    for _ in range(rounds):
        for (replicas, agents), points in found.items():
            points.append(await measure(replicas, agents, seconds))
            sys.stderr.write(f"{points[-1]}\n")
    return shown([median_of(points) for points in found.values()])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=12.0, help="of each point in a round")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    options = parser.parse_args()
    try:
        text = anyio.run(main, options.rounds, options.seconds)
    except CannotBeDone as error:
        sys.exit(str(error))
    sys.stdout.write(text)
    if options.write:
        write("capacity", text)
