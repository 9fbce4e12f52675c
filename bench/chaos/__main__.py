"""`python -m bench.chaos`: exit code 0 when every promise holds, 1 when one does not, 2 for wrong usage."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import anyio
import msgspec
from rich.console import Console

from bench.chaos.faults import KINDS
from bench.chaos.options import ChaosOptions
from bench.chaos.report import print_figures
from bench.chaos.run import Print, run_chaos
from bench.chaos.verdicts import Figures, evaluate, to_json
from bench.without_guard import GUARDS
from streamdialer.errors import CannotBeDone, StreamdialerError
from streamdialer.observability.logs import set_up_logging


def main(arguments: Sequence[str] | None = None) -> int:
    """One run per seed, one after another; the exit code."""
    given = vars(_parser().parse_args(arguments))
    seeds, as_json, keep_logs = given.pop("seed"), given.pop("json"), given.pop("keep_logs")
    set_up_logging("ERROR", "text")
    console = Console(stderr=as_json)
    print_line: Print = partial(console.print, highlight=False, markup=False, soft_wrap=True)
    if not console.is_terminal:
        print_line = lambda _: None  # noqa: E731
    all_hold = True
    for seed in seeds:
        options = ChaosOptions(**given, seed=seed)
        try:
            figures = run_seed(options, keep_logs, print_line)
        except StreamdialerError as error:
            sys.stderr.write(f"error: seed {seed}: {error}\n")
            return 1
        except KeyboardInterrupt:
            return 130
        if as_json:
            sys.stdout.write(msgspec.json.encode(to_json(figures)).decode() + "\n")
            sys.stdout.flush()
        else:
            print_figures(figures, console)
        failed = [verdict.promise for verdict in evaluate(figures) if not verdict.holds]
        if failed:
            all_hold = False
            sys.stderr.write(f"seed {seed} fails: {', '.join(failed)}\n")
    return 0 if all_hold else 1


def run_seed(options: ChaosOptions, keep_logs: Path | None, print_line: Print) -> Figures:
    """Runs one seed; the logs are kept in `keep_logs`, and also when a promise is broken. Raises CannotBeDone."""
    if keep_logs is not None:
        directory = keep_logs / f"seed-{options.seed}"
        directory.mkdir(parents=True, exist_ok=True)
    else:
        directory = Path(tempfile.mkdtemp(prefix="streamdialer-chaos-"))
    try:
        figures = anyio.run(run_chaos, options, directory, print_line)
    except BaseException as error:
        cause = _find_error(error)
        if cause is None:
            raise
        raise CannotBeDone(f"{cause}\nAll logs are in {directory}") from error
    if keep_logs is None and all(verdict.holds for verdict in evaluate(figures)):
        shutil.rmtree(directory)
        return figures
    return msgspec.structs.replace(figures, logs=str(directory))


def _find_error(error: BaseException) -> StreamdialerError | None:
    """The first StreamdialerError, also within the exception groups of task groups."""
    if isinstance(error, StreamdialerError):
        return error
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return next(filter(None, map(_find_error, inner)), None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.chaos",
        description="Injects faults into a real dialer on this machine and counts double calls and lost contacts.",
        epilog=f"FAULT: {', '.join(KINDS)}.  GUARD: {', '.join(GUARDS)}.",
    )
    add = parser.add_argument
    add(
        "--seed",
        type=int,
        nargs="+",
        default=[1],
        metavar="N",
        help="one run per seed, one after another (1)",
    )
    add("--seconds", type=_at_least(10.0), default=600.0, help="how long faults are injected (600)")
    add("--contacts", type=_count, help="contacts to call (as many as the agents can handle)")
    add("--agents", type=_count, default=10, help="agents logged in (10)")
    add("--speed", type=_at_least(1.0), default=30.0, help="seconds of simulated life per second (30)")
    add("--replicas", type=_count, default=3, help="consumer processes (3)")
    add("--producers", type=_count, default=2, help="tick producers (2)")
    add("--only", nargs="+", choices=KINDS, default=(), metavar="FAULT", help="only these kinds of faults")
    add(
        "--serial-api",
        action="store_true",
        help="the Dialer API places calls one after the other and answers 500 to placed calls",
    )
    add("--without", choices=GUARDS, metavar="GUARD", help="remove this guard: the run should fail")
    add("--json", action="store_true", help="print one JSON document per seed, one per line")
    add("--keep-logs", type=Path, metavar="DIR", help="keep the logs of all processes in this directory")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"got {text}, takes 1 or more")
    return number


def _at_least(minimum: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = float(text)
        if not value >= minimum:
            raise argparse.ArgumentTypeError(f"got {text}, takes {minimum:g} or more")
        return value

    return number


if __name__ == "__main__":
    sys.exit(main())
