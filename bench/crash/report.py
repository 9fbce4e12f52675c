"""The output of the command: progress on a terminal, the table, and the lines below it."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.crash.runner import CrashReport, CrashResult
from streamdialer.cli.common import echo, print_table

COLUMNS = (
    "point",
    "hit",
    "#calls placed",
    "#double calls",
    "#lost contacts",
    "#attempt mismatches",
    "#calls without agent",
    "#uncertain, ended by deadline",
)


class Bar:
    """Progress on stderr: a bar on a terminal, else one line per result. A context manager."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._is_terminal = console.is_terminal
        self._rows = self._done = 0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("recording the points", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, rows: int) -> None:
        self._rows = rows
        self._progress.update(self._task, total=rows, description="killing")

    def advance(self, row: CrashResult) -> None:
        description = "killing" if row.is_clean else "killing: something is wrong"
        self._progress.update(self._task, advance=1, description=description)
        self._done += 1
        if not self._is_terminal:
            figures = ", ".join(
                f"{name} {cell}" for name, cell in zip(COLUMNS[1:], _cells(row)[1:], strict=True)
            )
            typer.echo(f"{self._done}/{self._rows} {row.point}: {figures.replace('#', '')}", err=True)


def print_result(result: CrashReport) -> None:
    """Prints the table, the findings and a summary."""
    print_table(COLUMNS, [_cells(row) for row in result.rows])
    echo("")
    for row in result.rows:
        for finding in row.findings:
            echo(f"{row.point}: {finding}" + (f" (logs: {row.logs})" if row.logs else ""))
    for line in result.uncovered:
        echo(f"not covered: {line}")
    for row in result.rows:
        if not row.hit:
            echo(f"not reached: {row.point}")
    echo(summary(result.rows, result.points))


def _cells(row: CrashResult) -> Sequence[object]:
    return (
        row.point,
        "yes" if row.hit else "no",
        row.calls,
        row.double_calls,
        row.lost_contacts,
        row.attempt_mismatches,
        row.calls_without_agent,
        row.uncertain,
    )


def summary(rows: Sequence[CrashResult], points: int) -> str:
    """One line."""
    return (
        f"{len(rows)} of {points} points, {sum(row.hit for row in rows)} crashes, "
        f"{sum(row.calls for row in rows)} calls placed: {sum(row.double_calls for row in rows)} double calls, "
        f"{sum(row.lost_contacts for row in rows)} lost contacts, "
        f"{sum(row.attempt_mismatches for row in rows)} attempt mismatches, "
        f"{sum(row.calls_without_agent for row in rows)} calls without an agent, "
        f"{sum(row.uncertain for row in rows)} uncertain attempts ended by deadline"
    )
