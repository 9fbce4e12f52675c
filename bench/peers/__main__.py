"""Events per second of other task queues and of our events stage, one worker each: `python -m bench.peers`.

    python -m bench.peers --rounds 5 --write
    python -m bench.peers --only 'celery solo' dramatiq

The same event and the same kind of Redis (an empty one for each turn), in turn. Each peer does one HINCRBY for an
event; our worker does its full work. The first run installs the peers into .venv-bench.
"""

from __future__ import annotations

import argparse
import statistics
import sys

import anyio

from bench.peers.measure import Turn, measure
from bench.peers.ours import measure_ours
from bench.peers.workers import WORKERS
from bench.performance_page import median_and_spread, table, write

OURS = "streamdialer, full work"


def run(rounds: int, count: int, only: list[str]) -> dict[str, list[Turn]]:
    turns: dict[str, list[Turn]] = {name: [] for name in (OURS, *only)}
    for number in range(1, rounds + 1):
        for name, found in turns.items():
            turn = anyio.run(measure_ours, count) if name == OURS else measure(WORKERS[name], count)
            found.append(turn)
            sys.stderr.write(
                f"{number}/{rounds} {name:24} {turn.per_second:7.0f} /s  CPU {turn.cpu_ms:.2f} ms  "
                f"Redis {turn.redis_cpu_ms:.3f} ms\n"
            )
    return turns


def shown(turns: dict[str, list[Turn]]) -> str:
    ours = statistics.median(turn.per_second for turn in turns[OURS])
    rows = []
    for name, found in turns.items():
        rate = statistics.median(turn.per_second for turn in found)
        rows.append(
            [
                name,
                str(WORKERS[name].processes if name in WORKERS else 1),
                median_and_spread([turn.per_second for turn in found]),
                median_and_spread([turn.cpu_ms for turn in found], ".2f"),
                median_and_spread([turn.redis_cpu_ms for turn in found], ".3f"),
                f"{ours / rate:.1f} ×",
            ]
        )
    heads = ["worker", "processes", "events per second", "CPU ms per event", "of Redis", "we are"]
    return table(heads, rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=4_000, help="of each turn")
    parser.add_argument("--only", nargs="+", choices=list(WORKERS), default=list(WORKERS), metavar="WORKER")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    options = parser.parse_args()
    text = shown(run(options.rounds, options.events, options.only))
    sys.stdout.write(text)
    if options.write:
        write("peers", text)
