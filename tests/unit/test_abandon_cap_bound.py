"""The bound on the abandon cap: bursts have the requested moments, and the known optimum is found."""

import pytest

from bench.abandon_cap_bound import CAP, THETAS, Day, best, bursts


@pytest.mark.parametrize(("mean", "dispersion"), [(0.2, 1.0), (0.5, 1.5), (0.3, 2.0)])
def test_bursts_have_their_mean_and_dispersion(mean: float, dispersion: float) -> None:
    chances = bursts(mean, dispersion)
    first = sum(count * chance for count, chance in enumerate(chances))
    second = sum(count**2 * chance for count, chance in enumerate(chances))
    assert sum(chances) == pytest.approx(1)
    assert first == pytest.approx(mean, rel=0.01)
    assert (second - first**2) / first == pytest.approx(dispersion, rel=0.03)


def days(abandoned_per_theta: float) -> list[Day]:
    """A curve on which a theta of 0.1 keeps agents at work 90 % of the time, and none 40 %."""
    windows = 48
    return [
        Day(theta, 0.4 + 5 * theta, 500, _spread(round(500 * abandoned_per_theta * theta), windows))
        for theta in THETAS
    ]


def _spread(abandoned: int, windows: int) -> list[int]:
    return [abandoned * (at + 1) // windows - abandoned * at // windows for at in range(windows)]


@pytest.mark.long
def test_where_few_are_abandoned_all_is_dared_and_otherwise_the_cap_costs_work() -> None:
    daring = best(days(abandoned_per_theta=0.1), hours=4.0, above=0.0)
    capped = best(days(abandoned_per_theta=1.0), hours=4.0, above=0.0)
    assert daring > 0.87
    assert 0.4 + 5 * CAP / 2 < capped < 0.4 + 5 * CAP
    assert best(days(abandoned_per_theta=1.0), hours=4.0, above=0.003) > capped
