"""How long each script of a call keeps Redis, in a small call centre and in a very large one: `python -m bench.scale`.

Contacts, campaigns and agents grow by steps of ten, one of them at a time. What is flat costs as much for a million
contacts as for a hundred. `--write` draws docs/images/performance-scale.svg and puts a table into docs/performance.md.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec

from bench.capacity import Centre, Sizes
from bench.performance_page import table, write
from streamdialer.broker.scripts import Argument, Script
from streamdialer.config.settings import Settings
from streamdialer.consumers.services import Services, open_services
from streamdialer.ledger.event_facts import fact_of
from streamdialer.model import Attempt, CallEvent
from streamdialer.simulation.embedded_redis import EmbeddedServer

CALLS: Final = 40
SMALL: Final = Sizes(campaigns=1, queues=1, agents=10, ready=100, finished=100)
STEPS: Final[dict[str, list[Sizes]]] = {
    "contacts": [
        msgspec.structs.replace(SMALL, ready=number, finished=number)
        for number in (10**n for n in range(2, 7))
    ],
    "campaigns with a queue each": [
        msgspec.structs.replace(SMALL, campaigns=number, queues=number)
        for number in (10**n for n in range(5))
    ],
    "campaigns on 20 queues": [
        msgspec.structs.replace(SMALL, campaigns=number, queues=20) for number in (20, 100, 1_000, 10_000)
    ],
    "agents": [msgspec.structs.replace(SMALL, agents=number) for number in (10**n for n in range(5))],
}
SCRIPTS: Final = {
    "queue_snapshot": "look at a queue",
    "reserve_contacts": "claim",
    "mark_sent": "mark as sent",
    "settle_originate": "settle the reply",
    "apply_call_event": "event of a call",
    "apply_agent_event": "event of an agent",
    "sweep_campaign": "sweep",
}
"""The scripts that every call needs, and what they do."""
ENTRIES: Final = itertools.count(4 * 10**12)
"""Newer than all calls."""
PICTURE: Final = Path(__file__).parents[1] / "docs" / "images" / "performance-scale.svg"


class Point(msgspec.Struct, frozen=True):
    """The median time of a script at a size."""

    grows: str
    size: int
    script: str
    ms: float


class Clock:
    """How long Redis ran each script, by its own account."""

    def __init__(self, services: Services) -> None:
        self.times: dict[str, list[float]] = defaultdict(list)
        """ms, by the script's name."""
        self._client: Any = services.client
        scripts: Any = services.scripts
        self._run = scripts.run
        scripts.run = self._timed

    async def _timed(self, script: Script, keys: Sequence[str], args: Sequence[Argument] = ()) -> Any:
        before = await self._spent_ms()
        answer = await self._run(script, keys, args)
        self.times[script.name].append(await self._spent_ms() - before)
        return answer

    async def _spent_ms(self) -> float:
        stats = await self._client.info("commandstats")
        return float(sum(stats[name]["usec"] for name in stats if name.startswith("cmdstat_evalsha"))) / 1000


def size_of(grows: str, sizes: Sizes) -> int:
    """Of what grows."""
    return int(getattr(sizes, "ready" if grows == "contacts" else grows.split(" ")[0]))


async def measure(grows: str, sizes: Sizes) -> list[Point]:
    with EmbeddedServer() as server:
        # a million contacts take minutes to load: all still count as just listed
        settings = Settings(redis_url=server.url, pending_check_after_s=86_400.0)
        async with open_services(settings) as services:
            centre = Centre(services, sizes)
            await centre.build()
            await _call(centre, services)  # loads the scripts
            clock = Clock(services)
            for _ in range(CALLS):
                await _call(centre, services)
    return [
        Point(grows, size_of(grows, sizes), name, statistics.median(clock.times[name])) for name in SCRIPTS
    ]


async def _call(centre: Centre, services: Services) -> None:
    """Claimed, sent, settled, answered and completed, the agent freed, the campaign swept."""
    assert await services.queues.snapshot("q0", list(await services.queues.campaigns("q0")))
    await centre.claim_one()
    client: Any = services.client
    ((_, row),) = await client.xrevrange(services.keys.stream("calls"), count=1)
    attempt = Attempt(row["attempt"], row["campaign"], row["contact"], row["token"])
    marked = await services.campaigns.mark_sent(attempt, "run", "")
    assert marked.status == "ok", marked
    await services.campaigns.settle_originate(
        attempt, verdict="placed", call_id=f"c{attempt.contact}", hold="", retry_after_s=0.0
    )
    said = {"campaign_id": "0", "contact_id": attempt.contact, "call_id": f"c{attempt.contact}"}
    for fields in (
        {"type": "call_answered", "agent_id": "0", **said},
        {"type": "call_completed", "duration": 42.0, **said},
    ):
        event = msgspec.convert(fields, CallEvent)
        entry = f"{next(ENTRIES)}-0"
        applied = await services.campaigns.apply_call_event(event, fact_of(event), "q0", entry)
        assert applied.outcome in ("applied", "ended"), applied
    await services.queues.apply_agent_event("q0", "0", state="available", entry=f"{next(ENTRIES)}-0")
    await centre.sweep()


async def measure_all(most: int) -> list[Point]:
    points = []
    for grows, sizes in STEPS.items():
        for each in sizes:
            size = size_of(grows, each)
            if size <= most:
                found = await measure(grows, each)
                points += found
                sys.stderr.write(
                    f"{grows} {size:9,}  " + "  ".join(f"{p.script} {p.ms:.3f}" for p in found) + "\n"
                )
    return points


def shown(points: list[Point]) -> str:
    """The time at the smallest size and at the largest."""
    rows = []
    for name, does in SCRIPTS.items():
        row = [f"{does} (`{name}`)"]
        for grows in STEPS:
            line = [point for point in points if point.grows == grows and point.script == name]
            row.append(f"{line[0].ms:.3f} → {line[-1].ms:.3f}")
        rows.append(row)
    sizes = {grows: [point.size for point in points if point.grows == grows] for grows in STEPS}
    return table(["script", *(f"{each[0]:,} → {each[-1]:,} {grows}" for grows, each in sizes.items())], rows)


def draw(points: list[Point], file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    axes = figure.subplots(1, len(STEPS), sharey=True)
    for place, grows in zip(axes, STEPS, strict=True):
        for name, does in SCRIPTS.items():
            line = [point for point in points if point.grows == grows and point.script == name]
            place.plot([point.size for point in line], [point.ms for point in line], marker="o", label=does)
        place.set_xscale("log")
        place.set_yscale("log")
        place.set_xlabel(grows)
        place.grid(alpha=0.3)
    axes[0].set_ylabel("ms of Redis")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(SCRIPTS))
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def save(points: list[Point], file: Path) -> None:
    with file.open("w", newline="", encoding="utf-8") as opened:
        rows = csv.writer(opened)
        rows.writerow(Point.__struct_fields__)
        rows.writerows(msgspec.structs.astuple(point) for point in points)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--most", type=int, default=10**6, help="no size above this")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="all points")
    parser.add_argument("--write", action="store_true", help="table and picture into docs/")
    options = parser.parse_args()
    measured = anyio.run(measure_all, options.most)
    sys.stdout.write(shown(measured))
    if options.csv:
        save(measured, options.csv)
    if options.write:
        draw(measured, PICTURE)
        write("scale", shown(measured))
