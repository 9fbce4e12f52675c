"""`python -m bench.soak`: see --help. Exit code 0: all is flat and clean; 1: something is not; 2: could not be run."""

from __future__ import annotations

import argparse
import sys

import anyio
import msgspec

from bench.soak.measure import Sample
from bench.soak.options import SoakOptions
from bench.soak.report import describe, line_of
from bench.soak.run import run_soak
from streamdialer.errors import StreamdialerError

LINE_EVERY_S = 15.0


def main() -> int:
    """Runs it; returns the exit code."""
    given = _parser().parse_args()
    options = msgspec.convert(
        {name: value for name, value in vars(given).items() if name in SoakOptions.__struct_fields__},
        SoakOptions,
    )
    shown_at = -LINE_EVERY_S

    def show(sample: Sample) -> None:
        nonlocal shown_at
        if sample.at_s - shown_at >= LINE_EVERY_S:
            shown_at = sample.at_s
            sys.stderr.write(line_of(sample) + "\n")

    try:
        report = anyio.run(run_soak, options, show)
    except StreamdialerError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    text = msgspec.json.encode(report).decode() if given.json else "\n".join(describe(report))
    sys.stdout.write(text + "\n")
    return 1 if report.wrong else 0


def _parser() -> argparse.ArgumentParser:
    usual = SoakOptions()
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak",
        description="Campaigns created, dialed to their end and cleaned up, over and over: does anything grow?",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--campaigns", type=int, default=usual.campaigns, help="end after so many")
    add("--contacts", type=int, default=usual.contacts, help="per campaign")
    add("--at-once", type=int, default=usual.at_once, help="campaigns alive at one moment")
    add("--agents", type=int, default=usual.agents, help="of the whole centre")
    add("--queues", type=int, default=usual.queues, help="that campaigns and agents are divided among")
    add("--speed", type=float, default=usual.speed, help="seconds of life per second")
    add("--seconds", type=float, default=usual.seconds, help="start no more campaigns after so long")
    add("--sample-interval-s", type=float, default=usual.sample_interval_s, help="seconds between samples")
    add("--warm-up-s", type=float, default=usual.warm_up_s, help="samples before are not judged")
    add("--seed", type=int, default=usual.seed, help="of the simulated world")
    add("--json", action="store_true", help="the report as JSON, with every sample")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
