"""How many replicas, and how much of Redis, so many calls per second take: `python -m bench.capacity_formula`.

The whole dialer calls the simulated call centre. Two points give the costs: one replica with few agents, and two with
many. With them a formula predicts the points between, which are measured beside it, for the processor time of all
replicas and in the same way for that of Redis:

    replicas x what each costs without a call + calls per second x cost of a call

A replica costs something without a call as long as campaigns are active: ticks, lists of agents, checks. The simulated
call centre runs in this process, on the same cores.
"""

from __future__ import annotations

import argparse
import math
import os
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
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.simulation.demo.child_processes import ChildProcesses
from streamdialer.simulation.demo.options import DemoOptions, child_environment, demo_world
from streamdialer.simulation.embedded_redis import EmbeddedServer
from streamdialer.simulation.servers.call_centre import CallCentre

WARM_UP_S: Final = 6.0
CONTACTS: Final = 20_000
SPEED: Final = 15.0
BUSY: Final = 0.7
"""How much of a core a replica, or Redis, may use in the long run: the rest is for peaks."""
LEARNED: Final = ((1, 20), (2, 100))
PREDICTED: Final = ((1, 50), (1, 100), (2, 20), (2, 50))
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
    """Of each replica, without a call."""
    each: float
    """Core seconds for a call."""

    def at(self, replicas: int, calls_per_s: float) -> float:
        return replicas * self.base + calls_per_s * self.each


def line_through(few: tuple[int, float, float], many: tuple[int, float, float]) -> Line:
    """Replicas, calls per second and cores at two points."""
    (replicas, rate, cores), (replicas_2, rate_2, cores_2) = few, many
    each = (cores_2 * replicas - cores * replicas_2) / (rate_2 * replicas - rate * replicas_2)
    return Line((cores - rate * each) / replicas, each)


async def measure(replicas: int, agents: int, seconds: float) -> Point:
    options = DemoOptions(agents=agents, contacts=CONTACTS, speed=SPEED, replicas=replicas)
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
    few, many = points[: len(LEARNED)]
    replicas, redis = (
        line_through(
            (few.replicas, few.calls_per_s, getattr(few, name)),
            (many.replicas, many.calls_per_s, getattr(many, name)),
        )
        for name in ("of_replicas", "of_redis")
    )
    costs = table(
        ["cores", "for each replica", "ms for a call", "calls per second that fill a core"],
        [
            [name, f"{line.base:.3f}", f"{1000 * line.each:.2f}", f"{(1 - line.base) / line.each:,.0f}"]
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
    producer = f"The tick producer takes {many.of_producer:.3f} cores."
    heading = f"Replicas that use {100 * BUSY:.0f} % of a core each:"
    return "\n".join([costs, f"{producer}\n", compared, f"{heading}\n", needed])


def replicas_for(calls_per_s: float, line: Line) -> int:
    """So many that each uses no more than `BUSY` of a core."""
    return max(1, math.ceil(calls_per_s * line.each / (BUSY - line.base)))


async def main(seconds: float) -> str:
    points = []
    for replicas, agents in (*LEARNED, *PREDICTED):
        points.append(await measure(replicas, agents, seconds))
        sys.stderr.write(f"{points[-1]}\n")
    return shown(points)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="of each point")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    options = parser.parse_args()
    text = anyio.run(main, options.seconds)
    sys.stdout.write(text)
    if options.write:
        write("capacity", text)
