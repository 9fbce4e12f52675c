"""The bound on the risk limit: bursts have the given moments, and the best is found where it is known."""

import pytest

from bench.abandon_cap_bound import CAP, RISK_LIMITS, ConstantRisk, Day, best_occupancy, burst_chances
from streamdialer.simulation.study.run import simulate
from streamdialer.simulation.study.scenario import Scenario


@pytest.mark.parametrize(("mean", "dispersion"), [(0.2, 1.0), (0.5, 1.5), (0.3, 2.0)])
def test_bursts_have_their_mean_and_dispersion(mean: float, dispersion: float) -> None:
    chances = burst_chances(mean, dispersion)
    first = sum(count * chance for count, chance in enumerate(chances))
    second = sum(count**2 * chance for count, chance in enumerate(chances))
    assert sum(chances) == pytest.approx(1)
    assert first == pytest.approx(mean, rel=0.01)
    assert (second - first**2) / first == pytest.approx(dispersion, rel=0.03)


def test_the_risk_limit_stays_constant_all_day() -> None:
    policy = ConstantRisk(0.07)
    simulate(Scenario(agents=5, hours=0.1), policy)
    assert policy.decisions["1"].risk_limit == 0.07


def days(abandon_rate_per_limit: float) -> list[Day]:
    """A curve on which occupancy is 90 % at a risk limit of 0.1, and 40 % at 0."""
    windows = 48
    return [
        Day(limit, 0.4 + 5 * limit, 500, _spread(round(500 * abandon_rate_per_limit * limit), windows))
        for limit in RISK_LIMITS
    ]


def _spread(abandoned: int, windows: int) -> list[int]:
    return [abandoned * (at + 1) // windows - abandoned * at // windows for at in range(windows)]


@pytest.mark.long
def test_where_few_are_abandoned_the_highest_limit_is_best_and_otherwise_the_cap_costs_occupancy() -> None:
    uncapped = best_occupancy(days(abandon_rate_per_limit=0.1), hours=4.0, above=0.0)
    capped = best_occupancy(days(abandon_rate_per_limit=1.0), hours=4.0, above=0.0)
    assert uncapped > 0.87
    assert 0.4 + 5 * CAP / 2 < capped < 0.4 + 5 * CAP
    assert best_occupancy(days(abandon_rate_per_limit=1.0), hours=4.0, above=0.003) > capped
