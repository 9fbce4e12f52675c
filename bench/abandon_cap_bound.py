"""The best possible occupancy under a hard abandon cap: `python -m bench.abandon_cap_bound --scenario base --agents 20`

First the adaptive rule runs with constant risk limits and without a cap; this gives occupancy and abandon rate by risk
limit. Then dynamic programming finds the best choice of the risk limit, by the time left and the abandoned calls that
may still come before the cap is reached; above the cap dialing is progressive. It even knows when the day ends.
Backward induction (Bellman, Dynamic Programming, 1957); abandoned calls come in bursts of geometric size at Poisson
times, with the measured dispersion (recursion of Panjer, 1981). An estimate, not a proof: it assumes that a change of
the risk limit takes effect at once, and that occupancy and abandoned calls depend on the risk limit alone.

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

RISK_LIMITS: Final = (0.0, 0.003, 0.006, 0.012, 0.02, 0.03, 0.045, 0.07, 0.1)
DISPERSION_RISK_LIMIT: Final = 0.03
"""The dispersion of abandoned calls is measured at this risk limit."""
CAP: Final = 0.03
STEP_S: Final = 60.0
WINDOW_MIN: Final = 5
"""Length of the windows in which abandoned calls are counted, for their variance over their mean."""
SPARE: Final = np.arange(-8.0, 40.0, 0.05)
"""Abandoned calls that may come before the cap is reached; below 0 the rate is above the cap."""
IS_OVER: Final = SPARE < -1e-6
MAX_BURST: Final = 30
"""Most abandoned calls in one step."""
NEGLIGIBLE: Final = 1e-9
RESAMPLES: Final = 8
Floats = npt.NDArray[np.float64]


class ConstantController(AbandonController):
    """Controls nothing."""

    constant: float = 0.0

    def risk_limit(self, cap: float, answered_by_person: float, abandoned: float) -> float:  # noqa: ARG002
        return self.constant


class ConstantRisk(AdaptivePolicy):
    """The adaptive rule with the same risk limit all day."""

    def __init__(self, risk_limit: float) -> None:
        super().__init__()
        self.risk_limit = risk_limit

    def place(self, view: QueueView, observations: Sequence[Observation]) -> Mapping[str, int]:
        for campaign in view.campaigns:
            learning = self.state.campaign(campaign.id)
            if not isinstance(learning.controller, ConstantController):
                learning.controller = ConstantController(constant=self.risk_limit)
        return super().place(view, observations)


class Day(msgspec.Struct, frozen=True):
    """One simulated day at a constant risk limit."""

    risk_limit: float
    occupancy: float
    answered_by_person: int
    abandoned: list[int]
    """By window."""


def simulate_day(scenario: Scenario, risk_limit: float, seed: int) -> Day:
    """One simulated day; with a risk limit of 0 only calls without risk are placed."""
    result = simulate(scenario, ConstantRisk(risk_limit), seed)
    minutes = [minute.abandoned for minute in result.minutes]
    windows = [sum(minutes[at : at + WINDOW_MIN]) for at in range(0, len(minutes), WINDOW_MIN)]
    answered_by_person = sum(minute.answered_by_person for minute in result.minutes)
    return Day(risk_limit, result.occupancy, answered_by_person, windows)


def burst_chances(mean: float, dispersion: float) -> list[float]:
    """Chances of 0, 1, 2, ... abandoned calls; `dispersion`: their variance over their mean, 1 or more."""
    mean_size = (dispersion + 1) / 2
    bursts, another = mean / mean_size, 1 - 1 / mean_size
    sizes = [(1 - another) * another ** (k - 1) for k in range(1, MAX_BURST)]
    chances = [math.exp(-bursts)]
    for n in range(1, MAX_BURST):
        chances.append(bursts / n * sum(k * sizes[k - 1] * chances[n - k] for k in range(1, n + 1)))
    total = sum(chances)
    return [chance / total for chance in chances]


def best_occupancy(days: Sequence[Day], hours: float, above: float) -> float:
    """The highest possible occupancy; `above`: highest risk limit while the abandon rate is above its cap."""
    limits = np.array(RISK_LIMITS)
    by_limit = [[day for day in days if day.risk_limit == limit] for limit in RISK_LIMITS]
    occupancy = np.array([fmean(day.occupancy for day in same) for same in by_limit])
    rate = np.array([_abandon_rate(same) for same in by_limit])
    slope, bend = np.linalg.lstsq(np.stack([limits, limits**2], axis=1), rate, rcond=None)[0]
    steps = round(hours * 3600 / STEP_S)
    answered_per_occupancy = (
        sum(day.answered_by_person for day in days) / sum(day.occupancy for day in days) / steps
    )
    windows = [window for day in days if day.risk_limit == DISPERSION_RISK_LIMIT for window in day.abandoned]
    dispersion = max(1.0, variance(windows) / fmean(windows)) if any(windows) else 1.0

    actions = np.unique([*RISK_LIMITS, *np.linspace(0.0, RISK_LIMITS[-1], 41)])
    occupancies = np.interp(actions, limits, occupancy)
    abandoned = np.maximum(0.0, slope * actions + bend * actions**2)
    chances = [
        burst_chances(a * w * answered_per_occupancy, dispersion)
        for a, w in zip(abandoned, occupancies, strict=True)
    ]
    worth = np.zeros_like(SPARE)
    for _ in range(steps):
        values = np.array(
            [
                w + _expected_value(SPARE + CAP * w * answered_per_occupancy, pmf, worth)
                for w, pmf in zip(occupancies, chances, strict=True)
            ]
        )
        over_cap = values[actions <= above].max(axis=0)
        worth = np.where(IS_OVER, over_cap, values.max(axis=0))
    return float(np.interp(0.0, SPARE, worth)) / steps


def _abandon_rate(days: Sequence[Day]) -> float:
    return sum(sum(day.abandoned) for day in days) / sum(day.answered_by_person for day in days)


def _expected_value(served: Floats, pmf: Sequence[float], worth: Floats) -> Floats:
    """Expected occupancy still to come; `served`: the spare calls before this step's abandoned calls are taken off."""
    expected = np.zeros_like(SPARE)
    for count, chance in enumerate(pmf):
        if chance > NEGLIGIBLE:
            expected += chance * np.interp(served - count, SPARE, worth)
    return expected


def resample(days: Sequence[Day], stream: random.Random) -> list[Day]:
    """As many days of each risk limit, drawn with replacement (bootstrap; Efron 1979)."""
    return [stream.choice([other for other in days if other.risk_limit == day.risk_limit]) for day in days]


def main(
    scenario: str = "base",
    agents: Annotated[int, typer.Option(min=1)] = 20,
    seeds: Annotated[int, typer.Option(min=2, help="Days at each risk limit.")] = 4,
    processes: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """The best occupancy under the abandon cap; ± is the standard deviation over resampled days."""
    try:
        loaded = load_scenario(scenario)
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from error
    day = msgspec.structs.replace(loaded, agents=agents, campaigns=(CampaignPart(cap=1.0),))
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(simulate_day, day, limit, seed) for limit in RISK_LIMITS for seed in range(seeds)]
        days = [job.result() for job in jobs]
    for limit in RISK_LIMITS:
        same = [each for each in days if each.risk_limit == limit]
        occupancy = fmean(each.occupancy for each in same)
        typer.echo(
            f"risk limit {limit:.3f}: occupancy {occupancy:.2%}, abandon rate {_abandon_rate(same):.2%}"
        )
    stream = random.Random(0)
    for above in (0.0, RISK_LIMITS[1]):
        spread = stdev(best_occupancy(resample(days, stream), day.hours, above) for _ in range(RESAMPLES))
        best = best_occupancy(days, day.hours, above)
        typer.echo(
            f"best possible, with a risk limit of {above:g} while above {CAP:.0%}: occupancy {best:.2%} ±{spread:.2%}"
        )


if __name__ == "__main__":
    typer.run(main)
