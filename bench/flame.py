"""A flame graph of one process under a measure of bench.speed: `python -m bench.flame events --output events.svg`.

py-spy, installed into .venv-bench at the first use, samples the process from when it is ready. It must be allowed to
look into another process: as root, or with `sysctl kernel.yama.ptrace_scope=0`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

import anyio
from anyio.abc import Process

from bench.environments import environment_of
from bench.speed.__main__ import MEASURES
from bench.speed.measures import Bench

RATE: Final = 200
"""Samples of a second."""
STARTING_S: Final = 1.0


async def record(measure: str, output: Path) -> None:
    command = [
        str(environment_of("flame") / "py-spy"),
        "record",
        "--rate",
        str(RATE),
        "--output",
        str(output),
    ]
    samplers: list[Process] = []
    start: Any = Bench.start

    async def start_sampled(bench: Bench, *options: str) -> Any:
        replica = await start(bench, *options)
        sampler = await anyio.open_process(
            [*command, "--pid", str(replica.pid)], stdout=sys.stderr, stderr=sys.stderr
        )
        samplers.append(sampler)
        await anyio.sleep(STARTING_S)
        return replica

    Bench.start = start_sampled  # type: ignore[method-assign,assignment]
    try:
        speed = await MEASURES[measure]()
    finally:
        for sampler in samplers:  # they end with what they sample
            await sampler.wait()
    sys.stdout.write(f"{output}: {measure}, {speed.per_second:.0f} per second while sampled\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("measure", choices=list(MEASURES))
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: MEASURE.svg")
    options = parser.parse_args()
    anyio.run(record, options.measure, options.output or Path(f"{options.measure}.svg"))
