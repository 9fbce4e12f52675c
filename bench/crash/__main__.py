"""`python -m bench.crash`: kills a process at every point and shows that no contact is called twice or lost."""

from __future__ import annotations

from random import Random
from typing import Annotated

import anyio
import typer

from bench.crash.report import Bar, print_result
from bench.crash.runner import CrashReport, Recorded, record, run_crashes, select_plans
from bench.without_guard import GUARDS
from streamdialer.cli.common import AsJson, Commands, echo, print_json, print_table
from streamdialer.errors import SettingsError
from streamdialer.observability.logs import set_up_logging

app = typer.Typer(cls=Commands, pretty_exceptions_enable=False, add_completion=False)


@app.callback(invoke_without_command=True)
def crash(
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Only points whose name contains or matches this; repeatable."),
    ] = None,
    list_points: Annotated[
        bool, typer.Option("--list", help="Record and list the points without any crash.")
    ] = False,
    sample: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="Only K points, drawn with the seed.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="For the simulated people, the sample and --anywhere.")
    ] = 0,
    anywhere: Annotated[
        bool,
        typer.Option("--anywhere", help="Crash at a passage drawn with the seed, not at the median one."),
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Parallel runs; each has about two busy processes.")] = 2,
    without: Annotated[
        list[str] | None,
        typer.Option(metavar="GUARD", help=f"Remove a guard; the result should be bad: {', '.join(GUARDS)}."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Kill a process (SIGKILL) at every point of a small campaign, restart it, and check what happened.

    Needs no server and no settings. Exit code 0 when no call was placed twice, no contact was lost, all attempts
    are counted right, and every effect of the code has its points; else 1.
    """
    guards = tuple(without or ())
    if unknown := set(guards) - set(GUARDS):
        raise SettingsError(f"--without: got {', '.join(sorted(unknown))}, takes {', '.join(GUARDS)}")
    set_up_logging("ERROR", "text")
    with Bar() as bar:
        recorded = anyio.run(_record, seed, anywhere)
        plans = select_plans(recorded.plans, only=only or (), sample=sample, seed=seed)
        if not plans:
            raise SettingsError(f"--only: no point has {', '.join(only or ())}; --list shows them all")
        if list_points:
            rows = []
        else:
            bar.begin(len(plans))
            rows = anyio.run(lambda: run_crashes(plans, seed, jobs=jobs, without=guards, done=bar.advance))
    is_good = not recorded.uncovered and all(row.is_clean for row in rows)
    if list_points and as_json:
        print_json({"points": plans, "uncovered": recorded.uncovered})
    elif list_points:
        print_table(
            ("point", "scenario", "#passage"),
            [(plan.point, plan.scenario, plan.occurrence) for plan in plans],
        )
        for line in recorded.uncovered:
            echo(f"not covered: {line}")
    else:
        result = CrashReport(
            seed=seed,
            points=len(recorded.plans),
            uncovered=recorded.uncovered,
            without=list(guards),
            rows=rows,
            is_good=is_good,
        )
        print_json(result) if as_json else print_result(result)
    if not is_good:
        raise typer.Exit(1)


async def _record(seed: int, anywhere: bool) -> Recorded:
    return await record(seed, at=Random(f"{seed}:passages") if anywhere else None)


if __name__ == "__main__":
    app(prog_name="python -m bench.crash")
