"""Plots of simulated days, drawn with matplotlib, which is the extra `streamdialer[plot]`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamdialer.errors import CannotBeDone
from streamdialer.simulation.study.compare import PolicyResult
from streamdialer.simulation.study.results import Minute

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMOOTHED_MIN: Final = 15
"""Minutes a point of the abandon rate and of the utilisation looks back."""


def can_plot() -> None:
    """Raises CannotBeDone when matplotlib is not there."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise CannotBeDone(
            "plots need matplotlib, which is not installed: pip install 'streamdialer[plot]'"
        ) from None


def plot_standings(standings: Sequence[PolicyResult], title: str, cap: float, path: Path) -> None:
    """Utilisation against abandon rate, and the first seed's day under the first policy, as one picture.

    Raises CannotBeDone when matplotlib is missing or does not know the file's ending, OSError when writing fails.
    """
    can_plot()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 12), layout="constrained")
    figure.suptitle(title)
    _compare(figure, standings, cap)
    _day(figure, standings[0], cap)
    try:
        figure.savefig(path, dpi=110)
    except ValueError as error:
        raise CannotBeDone(f"{path}: {error}") from None


def _compare(figure: Figure, standings: Sequence[PolicyResult], cap: float) -> None:
    axes = figure.add_subplot(4, 1, (1, 2))
    for standing in standings:
        across, up = standing.abandon_rate, standing.occupancy
        axes.errorbar(
            100 * across.mean,
            100 * up.mean,
            xerr=100 * (across.half_width or 0),
            yerr=100 * (up.half_width or 0),
            marker="o",
            capsize=3,
            label=standing.policy,
        )
    # A wide interval over few seeds must not push the points together.
    axes.set_xlim(-0.5, 100 * max(cap, *(standing.abandon_rate.mean for standing in standings)) + 2)
    axes.set_ylim(max(0, 100 * min(standing.occupancy.mean for standing in standings) - 5), 101)
    axes.axvline(100 * cap, color="grey", linestyle="--", linewidth=1)
    axes.set_xlabel("abandoned, % of the people who answered (dashed: the cap)")
    axes.set_ylabel("agents at work, % of logged-in time")
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)


def _day(figure: Figure, standing: PolicyResult, cap: float) -> None:
    course = standing.days[0].course
    minutes = range(1, len(course) + 1)
    counts = figure.add_subplot(4, 1, 3)
    counts.set_title(f"a day under {standing.policy}, seed {standing.days[0].seed}", fontsize="medium")
    counts.plot(minutes, [minute.agents for minute in course], label="agents")
    counts.plot(minutes, [minute.ringing for minute in course], label="ringing calls", linewidth=0.8)
    counts.set_ylim(bottom=0)
    _finish(counts)
    rates = figure.add_subplot(4, 1, 4, sharex=counts)
    rates.plot(
        minutes, [100 * rate for rate in _abandon_rates(course)], color="tab:red", label="abandoned, %"
    )
    if any(minute.theta is not None for minute in course):
        theta = [float("nan") if minute.theta is None else 100 * minute.theta for minute in course]
        rates.plot(minutes, theta, color="tab:purple", linewidth=0.8, label="θ, %")
    rates.axhline(100 * cap, color="grey", linestyle="--", linewidth=1)
    rates.set_ylim(bottom=0)
    rates.set_xlabel(f"minute; rates look back {SMOOTHED_MIN} minutes")
    work = rates.twinx()
    work.plot(minutes, [100 * rate for rate in _utilisations(course)], color="tab:green", label="at work, %")
    work.set_ylim(0, 101)
    work.legend(loc="lower right", fontsize="small")
    _finish(rates)


def _finish(axes: Axes) -> None:
    axes.legend(loc="lower left", fontsize="small")
    axes.grid(alpha=0.3)


def _abandon_rates(course: Sequence[Minute]) -> list[float]:
    rates = []
    for end in range(1, len(course) + 1):
        span = course[max(0, end - SMOOTHED_MIN) : end]
        rates.append(sum(m.abandoned for m in span) / max(1, sum(m.humans for m in span)))
    return rates


def _utilisations(course: Sequence[Minute]) -> list[float]:
    rates = []
    for end in range(1, len(course) + 1):
        known = [m.utilisation for m in course[max(0, end - SMOOTHED_MIN) : end] if m.utilisation is not None]
        rates.append(sum(known) / len(known) if known else float("nan"))
    return rates
