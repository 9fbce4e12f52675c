"""Compares policies: the same days under each policy, means over seeds with confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from statistics import fmean, stdev

import msgspec

from streamdialer.pacing.policies import build_policy
from streamdialer.simulation.study.policies import ALL_POLICIES
from streamdialer.simulation.study.results import Result
from streamdialer.simulation.study.run import simulate
from streamdialer.simulation.study.scenario import Scenario

_T_975 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
"""Student's t, 97.5 %, for 1 to 30 degrees of freedom."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A mean over seeds; the true mean is within ± `half_width` in 95 % of the cases."""

    mean: float
    half_width: float | None
    """None for a single seed."""


class PolicyResult(msgspec.Struct, frozen=True, kw_only=True):
    """One policy over all seeds."""

    policy: str
    seeds: int
    occupancy: Estimate
    talk_share: Estimate
    abandon_rate: Estimate
    worst_half_hour: Estimate
    calls: Estimate
    answered_by_person: Estimate
    mean_ringing: Estimate
    within_cap: float
    """Share of the seeds whose abandon rate is at most the cap."""
    days: list[Result]


def compare(
    scenario: Scenario,
    policies: Sequence[str],
    seeds: Sequence[int],
    *,
    processes: int = 1,
    on_day_done: Callable[[], None] = lambda: None,
) -> list[PolicyResult]:
    """Simulates every policy (`name` or `name:argument=value`) with every seed.

    Raises SettingsError for an unknown policy before anything is simulated.
    """
    for policy in policies:
        build_policy(policy, ALL_POLICIES)
    days: dict[tuple[int, int], Result] = {}
    for key, result in _all_days(scenario, policies, seeds, processes):
        days[key] = result
        on_day_done()
    cap = min(campaign.cap for campaign in scenario.campaigns)
    return [
        _policy_result(policy, [days[index, seed] for seed in seeds], cap)
        for index, policy in enumerate(policies)
    ]


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and 95 % confidence interval by Student's t."""
    if len(values) < 2:
        return Estimate(mean=fmean(values), half_width=None)
    half_width = student_t(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Estimate(mean=fmean(values), half_width=half_width)


def student_t(freedom: int) -> float:
    """The 97.5 % quantile; above 30 degrees of freedom by the first term of its expansion, within 0.002."""
    return _T_975[freedom - 1] if freedom <= len(_T_975) else 1.960 + 2.372 / freedom + 2.82 / freedom**2


def _policy_result(policy: str, days: list[Result], cap: float) -> PolicyResult:
    return PolicyResult(
        policy=policy,
        seeds=len(days),
        occupancy=estimate([day.occupancy for day in days]),
        talk_share=estimate([day.talk_share for day in days]),
        abandon_rate=estimate([day.abandon_rate for day in days]),
        worst_half_hour=estimate([day.worst_half_hour for day in days]),
        calls=estimate([day.total.originates for day in days]),
        answered_by_person=estimate([day.total.answered_by_person for day in days]),
        mean_ringing=estimate([day.mean_ringing for day in days]),
        within_cap=sum(day.abandon_rate <= cap for day in days) / len(days),
        days=days,
    )


def _all_days(
    scenario: Scenario, policies: Sequence[str], seeds: Sequence[int], processes: int
) -> Iterator[tuple[tuple[int, int], Result]]:
    keys = [(index, seed) for seed in seeds for index in range(len(policies))]
    if processes <= 1:
        for index, seed in keys:
            yield (index, seed), _day(scenario, policies[index], seed)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(_day, scenario, policies[index], seed): (index, seed) for index, seed in keys}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _day(scenario: Scenario, policy: str, seed: int) -> Result:
    return simulate(scenario, build_policy(policy, ALL_POLICIES), seed)
