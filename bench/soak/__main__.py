"""`python -m bench.soak`: see --help. Exit code 0: nothing grows or is left; 1: something does; 2: it could not run."""

from __future__ import annotations

import argparse
import sys

import anyio
import msgspec

from bench.soak.measure import Sample
from bench.soak.options import SoakOptions
from bench.soak.report import describe, sample_line
from bench.soak.run import run_soak
from streamdialer.errors import StreamdialerError

PRINT_INTERVAL_S = 15.0


def main() -> int:
    """Runs the soak; returns the exit code."""
    arguments = vars(_parser().parse_args())
    as_json = arguments.pop("json")
    options = SoakOptions(**arguments)
    printed_at = -PRINT_INTERVAL_S

    def show(sample: Sample) -> None:
        nonlocal printed_at
        if sample.at_s - printed_at >= PRINT_INTERVAL_S:
            printed_at = sample.at_s
            sys.stderr.write(sample_line(sample) + "\n")

    try:
        report = anyio.run(run_soak, options, show)
    except StreamdialerError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    text = msgspec.json.encode(report).decode() if as_json else "\n".join(describe(report))
    sys.stdout.write(text + "\n")
    return 1 if report.failures else 0


def _parser() -> argparse.ArgumentParser:
    defaults = SoakOptions()
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak",
        description="Campaigns created, dialed to their end and cleaned up, over and over: does anything grow?",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--campaigns", type=int, default=defaults.campaigns, help="number of campaigns")
    add("--contacts", type=int, default=defaults.contacts, help="per campaign")
    add("--concurrent", type=int, default=defaults.concurrent, help="campaigns active at one time")
    add("--agents", type=int, default=defaults.agents, help="of the whole call centre")
    add("--queues", type=int, default=defaults.queues, help="that campaigns and agents are divided among")
    add("--speed", type=float, default=defaults.speed, help="seconds of life per second")
    add("--seconds", type=float, default=defaults.seconds, help="start no more campaigns after this time")
    add("--sample-interval-s", type=float, default=defaults.sample_interval_s, help="seconds between samples")
    add("--warm-up-s", type=float, default=defaults.warm_up_s, help="earlier samples are not evaluated")
    add("--seed", type=int, default=defaults.seed, help="of the simulated world")
    add("--json", action="store_true", help="print the report as JSON, with every sample")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
