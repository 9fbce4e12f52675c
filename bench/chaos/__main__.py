"""`python -m bench.chaos`: exit code 0 when every promise holds, 1 when one does not, 2 for wrong usage."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import anyio
import msgspec
from rich.console import Console

from bench.chaos.faults import KINDS
from bench.chaos.options import ChaosOptions
from bench.chaos.report import show
from bench.chaos.run import Say, run_chaos
from bench.chaos.verdicts import Figures, document, evaluate
from bench.without_guard import GUARDS
from streamdialer.errors import CannotBeDone, StreamdialerError
from streamdialer.observability.logs import set_up_logging


def main(arguments: Sequence[str] | None = None) -> int:
    """One run per seed, one after another; the exit code."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    set_up_logging("ERROR", "text")
    console = Console(stderr=asked.json)
    all_hold = True
    for seed in asked.seed:
        options = ChaosOptions(
            seed=seed,
            seconds=asked.seconds,
            contacts=asked.contacts,
            agents=asked.agents,
            speed=asked.speed,
            replicas=asked.replicas,
            producers=asked.producers,
            only=tuple(asked.only),
            without=asked.without,
        )
        say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
        try:
            figures = run_seed(options, asked.keep_logs, say if console.is_terminal else _say_nothing)
        except StreamdialerError as error:
            sys.stderr.write(f"error: seed {seed}: {error}\n")
            return 1
        except KeyboardInterrupt:
            return 130
        if asked.json:
            sys.stdout.write(msgspec.json.encode(document(figures)).decode() + "\n")
            sys.stdout.flush()
        else:
            show(figures, console)
        failed = [verdict.promise for verdict in evaluate(figures) if not verdict.holds]
        if failed:
            all_hold = False
            sys.stderr.write(f"seed {seed} fails: {', '.join(failed)}\n")
    return 0 if all_hold else 1


def run_seed(options: ChaosOptions, keep_logs: Path | None, say: Say) -> Figures:
    """Runs one seed; the logs are kept where asked for, and anyway when a promise was broken. Raises CannotBeDone."""
    if keep_logs is not None:
        directory = keep_logs / f"seed-{options.seed}"
        directory.mkdir(parents=True, exist_ok=True)
    else:
        directory = Path(tempfile.mkdtemp(prefix="streamdialer-chaos-"))
    try:
        figures = anyio.run(run_chaos, options, directory, say)
    except BaseException as error:
        trouble = _trouble(error)
        if trouble is None:
            raise
        raise CannotBeDone(f"{trouble}\nAll logs are in {directory}") from error
    if keep_logs is None and all(verdict.holds for verdict in evaluate(figures)):
        shutil.rmtree(directory)
        return figures
    return msgspec.structs.replace(figures, logs=str(directory))


def _trouble(error: BaseException) -> StreamdialerError | None:
    """The first of its kind, however deep task groups have wrapped it."""
    if isinstance(error, StreamdialerError):
        return error
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return next(filter(None, map(_trouble, inner)), None)


def _say_nothing(line: str) -> None:
    pass


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.chaos",
        description="Attacks a real dialer on this machine and counts who is called twice and who is lost.",
        epilog=f"FAULT: {', '.join(KINDS)}.  GUARD: {', '.join(GUARDS)}.",
    )
    add = parser.add_argument
    add("--seed", type=int, nargs="+", default=[1], metavar="N", help="one run each, one after another")
    add("--seconds", type=_at_least(10.0), default=600.0, help="how long faults are injected (600)")
    add("--contacts", type=_count, help="people to call (as many as the agents get through)")
    add("--agents", type=_count, default=10, help="agents logged in (10)")
    add("--speed", type=_at_least(1.0), default=30.0, help="seconds of simulated life per second (30)")
    add("--replicas", type=_count, default=3, help="consumer processes (3)")
    add("--producers", type=_count, default=2, help="tick producers (2)")
    add("--only", nargs="+", choices=KINDS, default=[], metavar="FAULT", help="these kinds of faults")
    add("--without", choices=GUARDS, metavar="GUARD", help="take this guard out: the run should fail")
    add("--json", action="store_true", help="one JSON document per seed and line")
    add("--keep-logs", type=Path, metavar="DIR", help="keep the logs of all processes there")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"got {text}, takes 1 or more")
    return number


class _at_least:  # noqa: N801 - reads as the function it is
    def __init__(self, least: float) -> None:
        self._least = least

    def __call__(self, text: str) -> float:
        number = float(text)
        if not number >= self._least:
            raise argparse.ArgumentTypeError(f"got {text}, takes {self._least:g} or more")
        return number


if __name__ == "__main__":
    sys.exit(main())
