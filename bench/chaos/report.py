"""The table of a run."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.chaos.verdicts import Figures, evaluate


def print_figures(figures: Figures, console: Console) -> None:
    """Prints one table: the faults, the figures, and the verdict on every promise."""
    guard = f", without the guard {figures.without}" if figures.without else ""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in _rows(figures):
        table.add_row(label, Text(text))
    verdicts = evaluate(figures)
    for verdict in verdicts:
        style = "green" if verdict.holds else "bold red"
        table.add_row(
            verdict.promise, Text(f"{'holds' if verdict.holds else 'FAILS'}  {verdict.why}", style=style)
        )
    failed = [verdict.promise for verdict in verdicts if not verdict.holds]
    summary = f"fails: {', '.join(failed)}" if failed else "every promise holds"
    table.add_row("Verdict", Text(summary, style="bold red" if failed else "bold green"))
    console.print(Text(f"\nSeed {figures.seed}{guard}", style="bold"))
    console.print(table)
    for line in (*figures.findings[:5], *figures.contacts_lost[:5], *figures.dead_letters_unexplained[:5]):
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
    if figures.logs:
        console.print(f"Logs: {figures.logs}", highlight=False, markup=False, soft_wrap=True)


def _rows(figures: Figures) -> Iterator[tuple[str, str]]:
    yield "Ended", f"{figures.ended} after {figures.seconds:.0f} s"
    yield "Faults", f"{sum(figures.faults.values())}: {_join_counts(figures.faults)}"
    yield "Contacts", f"{figures.contacts}, {figures.contacts_final} of them final"
    yield "Calls placed", f"{figures.calls_placed}; longest time without one {figures.longest_pause_s:g} s"
    other = figures.refused_called_by_another_list
    yield "Updates refused", f"{figures.updates_refused}; {other} contacts called by another list meanwhile"
    yield "Finished contacts set back for a moment", str(len(figures.set_back_for_a_moment_s))
    yield (
        "Progressive calls",
        f"{figures.progressive_calls}; without a free agent {len(figures.without_agent_s)}, "
        f"abandoned {len(figures.abandoned_s)}",
    )
    yield "Dead letters", _join_counts(figures.dead_letters) or "none"
    yield "Uncertain left", str(figures.uncertain_left)
    if figures.stalls:
        yield (
            "Waited for an event",
            f"{figures.stalls} times: the dialer could not know whether any phone rang",
        )
    unplaced = sum(counter.unplaced for counter in figures.counters if counter.field == "total_calls")
    yield "Attempts that never arrived", str(unplaced)
    if figures.forgot != "nothing":
        yield "Redis lost", figures.forgot


def _join_counts(numbers: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items())
