"""Sums of independent events, exactly and approximately."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdialer.pacing.risk import EXACT_BELOW_VARIANCE, AgentBalance, at_most, poisson_binomial, worst_risk

probabilities = st.floats(0.0, 1.0, allow_nan=False)


@given(st.lists(probabilities, max_size=8))
def test_the_convolution_equals_counting_all_cases(chances: list[float]) -> None:
    counted = [0.0] * (len(chances) + 1)
    for happens in itertools.product((False, True), repeat=len(chances)):
        weight = math.prod(c if yes else 1.0 - c for c, yes in zip(chances, happens, strict=True))
        counted[sum(happens)] += weight
    assert poisson_binomial(chances) == pytest.approx(counted, abs=1e-12)


@given(
    available=st.integers(-2, 4),
    coming=st.lists(probabilities, max_size=3),
    answering=st.lists(probabilities, max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_risk_equals_counting_all_cases(available: int, coming: list[float], answering: list[float]) -> None:
    counted = 0.0
    chances = coming + answering
    for happens in itertools.product((0, 1), repeat=len(chances)):
        free = available + sum(happens[: len(coming)])
        if free <= sum(happens[len(coming) :]):
            counted += math.prod(c if yes else 1.0 - c for c, yes in zip(chances, happens, strict=True))
    balance = AgentBalance(available, [(1, c) for c in coming], [(1, c) for c in answering])
    assert balance.risk() == pytest.approx(counted, abs=1e-9)


def test_the_approximation_is_close_where_it_is_used() -> None:
    stream = random.Random(3)
    tried = 0
    while tried < 150:
        chances = [stream.random() ** 3 for _ in range(stream.randint(10, 60))]
        chances += [1 - 0.4 * stream.random() for _ in range(stream.randint(10, 60))]
        spreads = [c * (1 - c) for c in chances]
        if sum(spreads) < EXACT_BELOW_VARIANCE:
            continue
        tried += 1
        third = sum(s * (1 - 2 * c) for s, c in zip(spreads, chances, strict=True))
        below = 0.0
        for count, weight in enumerate(poisson_binomial(chances)):
            below += weight
            if 0.002 < below < 0.2:
                assert at_most(count, sum(chances), sum(spreads), third) == pytest.approx(below, abs=0.008)


def test_a_call_added_later_counts_like_one_added_at_the_start() -> None:
    later = AgentBalance(1, [(3, 0.2)], [(2, 0.3)])
    later.risk()
    later.add_calls(2, 0.4)
    at_once = AgentBalance(1, [(3, 0.2)], [(2, 0.3), (2, 0.4)])
    assert later.risk() == pytest.approx(at_once.risk())


@given(st.lists(st.tuples(probabilities, probabilities), min_size=1, max_size=5), st.integers(0, 3))
def test_the_worst_horizon_decides(horizons: list[tuple[float, float]], available: int) -> None:
    balances = [AgentBalance(available, [(4, coming)], [(5, answering)]) for coming, answering in horizons]
    assert worst_risk(balances, 1.0) == max(balance.risk() for balance in balances)
    assert (worst_risk(balances, 0.03) > 0.03) == (worst_risk(balances, 1.0) > 0.03)
