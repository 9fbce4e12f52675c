"""What a hard cap costs at best: `python -m bench.abandon_cap_bound --scenario base --agents 20`.

First the adaptive rule is run with a constant theta and no cap, for a curve of work against abandoned calls. Then
dynamic programming over the time left and the abandoned calls to spare finds the best that steering theta by these two
could make of that curve while the cap turns dialing progressive, told even when the day ends. Backward induction
(Bellman, Dynamic Programming, 1957); abandoned calls come in bursts of geometric size at Poisson times, as dispersed as
was seen (recursion of Panjer, 1981). A reckoning and no proof: a change of theta takes effect at once in it, and work
and abandoned calls depend on theta alone.

For scenarios that stay the same all day; all calls belong to one campaign.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import fmean, stdev, variance
from typing import Annotated, Final

import msgspec
import numpy as np
import numpy.typing as npt
import typer

from streamdialer.errors import SettingsError
from streamdialer.pacing.abandon_control import AbandonController
from streamdialer.pacing.adaptive import AdaptivePolicy
from streamdialer.pacing.types import Observation, QueueView
from streamdialer.simulation.study.run import simulate
from streamdialer.simulation.study.scenario import CampaignPart, Scenario
from streamdialer.simulation.study.scenarios import load_scenario

THETAS: Final = (0.0, 0.003, 0.006, 0.012, 0.02, 0.03, 0.045, 0.07, 0.1)
USUAL: Final = 0.03
"""The one of them at which the dispersion of abandoned calls is taken."""
CAP: Final = 0.03
STEP_S: Final = 60.0
WINDOW_MIN: Final = 5
"""Abandoned calls are counted in windows of that length for their variance over their mean."""
SPARE: Final = np.arange(-8.0, 40.0, 0.05)
"""Abandoned calls that could be had without breaking the cap; below nothing, the cap is broken."""
IS_OVER: Final = SPARE < -1e-6
MAX_BURST: Final = 30
"""Abandoned calls in one step that are reckoned with."""
NEGLIGIBLE: Final = 1e-9
RESAMPLED: Final = 8
Floats = npt.NDArray[np.float64]


class Constant(AbandonController):
    """Steers nothing."""

    fixed: float = 0.0

    def theta(self, cap: float, humans: float, abandoned: float) -> float:  # noqa: ARG002
        return self.fixed


class ConstantTheta(AdaptivePolicy):
    """The adaptive rule with the same theta all day."""

    def __init__(self, theta: float) -> None:
        super().__init__()
        self._theta = theta

    def place(self, view: QueueView, seen: Sequence[Observation]) -> Mapping[str, int]:
        for campaign in view.campaigns:
            learning = self.state.of(campaign.id)
            if not isinstance(learning.steering, Constant):
                learning.steering = Constant(fixed=self._theta)
        return super().place(view, seen)


class Day(msgspec.Struct, frozen=True):
    """One simulated day at a constant theta."""

    theta: float
    work: float
    """Share of the logged-in time."""
    humans: int
    abandoned: list[int]
    """By window."""


def live(scenario: Scenario, theta: float, seed: int) -> Day:
    """One day of it; a theta of 0 places calls without risk only."""
    result = simulate(scenario, ConstantTheta(theta), seed)
    minutes = [minute.abandoned for minute in result.course]
    windows = [sum(minutes[at : at + WINDOW_MIN]) for at in range(0, len(minutes), WINDOW_MIN)]
    return Day(theta, result.occupancy, sum(minute.humans for minute in result.course), windows)


def bursts(mean: float, dispersion: float) -> list[float]:
    """Chances of 0, 1, 2, ... abandoned calls; `dispersion`: their variance over their mean, 1 or more."""
    size = (dispersion + 1) / 2
    often, more = mean / size, 1 - 1 / size
    sizes = [(1 - more) * more ** (k - 1) for k in range(1, MAX_BURST)]
    chances = [math.exp(-often)]
    for n in range(1, MAX_BURST):
        chances.append(often / n * sum(k * sizes[k - 1] * chances[n - k] for k in range(1, n + 1)))
    total = sum(chances)
    return [chance / total for chance in chances]


def best(days: Sequence[Day], hours: float, above: float) -> float:
    """Most work that steering could have, as a share; `above`: most theta while the abandon rate is above its cap."""
    thetas = np.array(THETAS)
    by_theta = [[day for day in days if day.theta == theta] for theta in THETAS]
    work = np.array([fmean(day.work for day in same) for same in by_theta])
    rate = np.array([_abandoned(same) for same in by_theta])
    slope, bend = np.linalg.lstsq(np.stack([thetas, thetas**2], axis=1), rate, rcond=None)[0]
    steps = round(hours * 3600 / STEP_S)
    humans_per_work = sum(day.humans for day in days) / sum(day.work for day in days) / steps
    windows = [window for day in days if day.theta == USUAL for window in day.abandoned]
    dispersion = max(1.0, variance(windows) / fmean(windows))

    actions = np.unique([*THETAS, *np.linspace(0.0, THETAS[-1], 41)])
    works = np.interp(actions, thetas, work)
    abandoned = np.maximum(0.0, slope * actions + bend * actions**2)
    chances = [bursts(a * w * humans_per_work, dispersion) for a, w in zip(abandoned, works, strict=True)]
    worth = np.zeros_like(SPARE)
    for _ in range(steps):
        values = np.array(
            [
                w + _expected(SPARE + CAP * w * humans_per_work, pmf, worth)
                for w, pmf in zip(works, chances, strict=True)
            ]
        )
        careful = values[actions <= above].max(axis=0)
        worth = np.where(IS_OVER, careful, values.max(axis=0))
    return float(np.interp(0.0, SPARE, worth)) / steps


def _abandoned(days: Sequence[Day]) -> float:
    """Share of the people who answered."""
    return sum(sum(day.abandoned) for day in days) / sum(day.humans for day in days)


def _expected(served: Floats, pmf: Sequence[float], worth: Floats) -> Floats:
    """What is still to come when those who were served have earned their part and some calls were abandoned."""
    expected = np.zeros_like(SPARE)
    for count, chance in enumerate(pmf):
        if chance > NEGLIGIBLE:
            expected += chance * np.interp(served - count, SPARE, worth)
    return expected


def resampled(days: Sequence[Day], stream: random.Random) -> list[Day]:
    """As many days of each theta, drawn from the same with replacement (bootstrap; Efron 1979)."""
    return [stream.choice([other for other in days if other.theta == day.theta]) for day in days]


def main(
    scenario: str = "base",
    agents: Annotated[int, typer.Option(min=1)] = 20,
    seeds: Annotated[int, typer.Option(min=2, help="Days at each theta.")] = 4,
    processes: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """The best that steering could do under the abandon cap; ± is the standard deviation over resampled days."""
    try:
        loaded = load_scenario(scenario)
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from error
    day = msgspec.structs.replace(loaded, agents=agents, campaigns=(CampaignPart(cap=1.0),))
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(live, day, theta, seed) for theta in THETAS for seed in range(seeds)]
        days = [job.result() for job in jobs]
    for theta in THETAS:
        same = [each for each in days if each.theta == theta]
        at_work = fmean(each.work for each in same)
        typer.echo(f"theta {theta:.3f}: at work {at_work:.2%}, abandoned {_abandoned(same):.2%}")
    stream = random.Random(0)
    for above in (0.0, THETAS[1]):
        spread = stdev(best(resampled(days, stream), day.hours, above) for _ in range(RESAMPLED))
        share = best(days, day.hours, above)
        typer.echo(
            f"at best, with a theta of {above:g} while above {CAP:.0%}: at work {share:.2%} ±{spread:.2%}"
        )


if __name__ == "__main__":
    typer.run(main)
