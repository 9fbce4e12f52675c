"""Plots of simulated days, drawn with matplotlib (the extra `streamdialer[plot]`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Final

from streamdialer.errors import CannotBeDone
from streamdialer.simulation.study.compare import PolicyResult
from streamdialer.simulation.study.results import Minute

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMOOTHING_MIN: Final = 15
"""Abandon rate and occupancy are averaged over this many minutes."""


def require_matplotlib() -> None:
    """Raises CannotBeDone when matplotlib is not installed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise CannotBeDone(
            "plots need matplotlib, which is not installed: pip install 'streamdialer[plot]'"
        ) from None


def plot_results(results: Sequence[PolicyResult], title: str, cap: float, path: Path) -> None:
    """Draws occupancy against abandon rate, and the first seed's day under the first policy, into one file.

    Raises CannotBeDone when matplotlib is missing or does not know the file type, OSError when writing fails.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 12), layout="constrained")
    figure.suptitle(title)
    _plot_policies(figure, results, cap)
    _plot_day(figure, results[0], cap)
    try:
        figure.savefig(path, dpi=110)
    except ValueError as error:
        raise CannotBeDone(f"{path}: {error}") from None


def _plot_policies(figure: Figure, results: Sequence[PolicyResult], cap: float) -> None:
    axes = figure.add_subplot(4, 1, (1, 2))
    for result in results:
        x, y = result.abandon_rate, result.occupancy
        axes.errorbar(
            100 * x.mean,
            100 * y.mean,
            xerr=100 * (x.half_width or 0),
            yerr=100 * (y.half_width or 0),
            marker="o",
            capsize=3,
            label=result.policy,
        )
    # A wide interval over few seeds must not push the points together.
    axes.set_xlim(-0.5, 100 * max(cap, *(result.abandon_rate.mean for result in results)) + 2)
    axes.set_ylim(max(0, 100 * min(result.occupancy.mean for result in results) - 5), 101)
    axes.axvline(100 * cap, color="grey", linestyle="--", linewidth=1)
    axes.set_xlabel("abandon rate, % of calls answered by a person (dashed: the cap)")
    axes.set_ylabel("occupancy, % of logged-in time")
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)


def _plot_day(figure: Figure, result: PolicyResult, cap: float) -> None:
    minutes = result.days[0].minutes
    numbers = range(1, len(minutes) + 1)
    counts = figure.add_subplot(4, 1, 3)
    counts.set_title(f"a day under {result.policy}, seed {result.days[0].seed}", fontsize="medium")
    counts.plot(numbers, [minute.agents for minute in minutes], label="agents")
    counts.plot(numbers, [minute.ringing for minute in minutes], label="ringing calls", linewidth=0.8)
    counts.set_ylim(bottom=0)
    _finish(counts)
    rates = figure.add_subplot(4, 1, 4, sharex=counts)
    abandon_rates = [100 * _abandon_rate(span) for span in _spans(minutes)]
    rates.plot(numbers, abandon_rates, color="tab:red", label="abandon rate, %")
    if any(minute.risk_limit is not None for minute in minutes):
        limits = [math.nan if minute.risk_limit is None else 100 * minute.risk_limit for minute in minutes]
        rates.plot(numbers, limits, color="tab:purple", linewidth=0.8, label="risk limit, %")
    rates.axhline(100 * cap, color="grey", linestyle="--", linewidth=1)
    rates.set_ylim(bottom=0)
    rates.set_xlabel(f"minute; abandon rate and occupancy are those of the last {SMOOTHING_MIN} minutes")
    work = rates.twinx()
    occupancies = [100 * _occupancy(span) for span in _spans(minutes)]
    work.plot(numbers, occupancies, color="tab:green", label="occupancy, %")
    work.set_ylim(0, 101)
    work.legend(loc="lower right", fontsize="small")
    _finish(rates)


def _finish(axes: Axes) -> None:
    axes.legend(loc="lower left", fontsize="small")
    axes.grid(alpha=0.3)


def _spans(minutes: Sequence[Minute]) -> list[Sequence[Minute]]:
    """For each minute, the last SMOOTHING_MIN up to it."""
    return [minutes[max(0, end - SMOOTHING_MIN) : end] for end in range(1, len(minutes) + 1)]


def _abandon_rate(span: Sequence[Minute]) -> float:
    return sum(m.abandoned for m in span) / max(1, sum(m.answered_by_person for m in span))


def _occupancy(span: Sequence[Minute]) -> float:
    known = [m.occupancy for m in span if m.occupancy is not None]
    return fmean(known) if known else math.nan
