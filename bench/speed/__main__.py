"""The rates of one process, each beside a plain loop: `python -m bench.speed`.

    python -m bench.speed --rounds 5 --only events ticks
    python -m bench.speed --rounds 5 --write

`--write` puts the table into docs/performance.md.

Numbers of a second mean little without the machine; ratios of one run mean more.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import anyio

from bench.performance_page import median_and_spread, table, write
from bench.speed import measures
from bench.speed.measures import Speed

MEASURES: Final[dict[str, Callable[[], Awaitable[Speed]]]] = {
    "events": measures.events,
    "originates-8": partial(measures.originates, 8),
    "originates-64": partial(measures.originates, 64),
    "originates-400": partial(measures.originates, 400),
    "originates-by-two": measures.originates_by_two,
    "updates": measures.updates,
    "ticks": measures.ticks,
    "reaction": measures.reaction,
}


async def main(rounds: int, only: list[str]) -> list[list[str]]:
    """The rows of the table in the documentation."""
    rows = []
    show = sys.stdout.write
    show(
        f"{'measure':18} {'per second':>10} {'least':>7} {'most':>7} {'CPU ms':>7} {'beside':>8} {'ratio':>6}\n"
    )
    for name in only:
        found = [await MEASURES[name]() for _ in range(rounds)]
        rates = [each.per_second for each in found]
        beside = [each.beside_per_second for each in found if each.beside_per_second]
        ratios = [each.ratio for each in found if each.ratio]
        show(
            f"{name:18} {statistics.median(rates):10.0f} {min(rates):7.0f} {max(rates):7.0f} "
            f"{statistics.median(each.cpu_ms for each in found):7.2f} "
            f"{f'{statistics.median(beside):8.0f}' if beside else '':>8} "
            f"{f'{statistics.median(ratios):6.2f}' if ratios else '':>6} {found[-1].detail}\n"
        )
        sys.stdout.flush()
        rows.append(
            [
                name,
                median_and_spread(rates),
                f"{statistics.median(each.cpu_ms for each in found):.2f}",
                f"{statistics.median(beside):,.0f}" if beside else "",
                median_and_spread(ratios, ".2f") if ratios else "",
                found[-1].detail,
            ]
        )
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--only", nargs="+", choices=list(MEASURES), default=list(MEASURES), metavar="MEASURE"
    )
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    options = parser.parse_args()
    measured = anyio.run(main, options.rounds, options.only, backend_options={"use_uvloop": True})
    if options.write:
        heads = ["measure", "per second", "CPU ms for each", "beside it", "ratio", ""]
        write("speed", table(heads, measured))
