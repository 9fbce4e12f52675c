"""What the adaptive rule learns: the answer rate, ring times, durations, and how much risk the cap leaves."""

from __future__ import annotations

import math
import random

import pytest

from streamdialer.pacing.abandon_control import GUARD_HALVES_AT, AbandonController, cap_is_reached
from streamdialer.pacing.answer_rate import AnswerChances, AnswerRate, RingTimes, TrunkRefusalRate, quantile_s
from streamdialer.pacing.durations import EDGES, Durations, bin_of, free_within

# ---- the answer rate ----


def answers(rate: AnswerRate, p: float, calls: int, seed: int, begin: float = 0.0) -> None:
    stream = random.Random(seed)
    for number in range(calls):
        rate.learn(begin + 2.0 * number, stream.random() < p)


def test_the_answer_rate_does_not_jump_on_noise() -> None:
    jumps = 0
    for seed in range(10):
        rate = AnswerRate()
        answers(rate, 0.3, 2000, seed)
        jumps += rate.jumps
        assert rate.p == pytest.approx(0.3, abs=5 * rate.error)
    assert jumps <= 2


@pytest.mark.parametrize(("before", "after"), [(0.3, 0.6), (0.4, 0.1)])
def test_the_answer_rate_jumps_when_it_changes(before: float, after: float) -> None:
    for seed in range(5):
        rate = AnswerRate()
        answers(rate, before, 1000, seed)
        answers(rate, after, 120, seed + 50, begin=2000.0)
        assert rate.jumps >= 1
        assert rate.p == pytest.approx(after, abs=0.15)


def test_before_anything_is_learnt_the_answer_rate_is_one_half() -> None:
    rate = AnswerRate()
    assert rate.p == 0.5
    assert rate.error > 0.15


def test_a_wave_of_refused_calls_means_the_trunk_is_down_and_a_list_of_dead_numbers_does_not() -> None:
    refusals = TrunkRefusalRate()
    is_down = []
    for begin, every_s, calls, refused in ((0, 1.0, 200, 0.1), (200, 0.1, 25, 1.0), (210, 1.0, 8, 0.0)):
        for number in range(calls):
            refusals.learn(begin + every_s * number, number % 10 < 10 * refused)
        is_down.append(refusals.trunk_is_down)
    for number in range(3600):
        refusals.learn(300.0 + number, True)
    assert [*is_down, refusals.trunk_is_down] == [False, True, False, False]


# ---- ring times ----


def test_a_call_that_has_rung_for_long_is_unlikely_to_be_answered() -> None:
    times = RingTimes()
    stream = random.Random(1)
    for _ in range(400):
        times.learn(stream.gammavariate(4.0, 3.0), True)
        times.learn(26.0, False)
    chances = AnswerChances(0.3, times)
    fresh, old = chances.ringing(0, [12])[0], chances.ringing(23, [12])[0]
    assert fresh == pytest.approx(0.3 * 0.57, abs=0.05)
    assert old < 0.03
    assert quantile_s(times.answered, 0.5) == pytest.approx(11.0, abs=1.5)


# ---- durations ----


def test_hazards_recover_a_known_distribution_from_censored_observations() -> None:
    """Half of the talks are unfinished, cut at a random time. Without them the estimate would be too short."""
    stream = random.Random(2)
    talks = Durations(expected_s=60.0)
    running = []
    for _ in range(4000):
        seconds, cut_s = stream.lognormvariate(4.44, 0.83), stream.uniform(0.0, 300.0)
        if seconds <= cut_s:
            talks.learn(seconds)
        else:
            running.append(cut_s)
    survival = 1.0
    hazards = talks.hazards(running)
    for second in range(240):
        survival *= math.exp(-hazards[bin_of(second + 0.5)])
        if second + 1 in {30, 60, 120, 240}:
            true = 0.5 * math.erfc((math.log(second + 1) - 4.44) / 0.83 / math.sqrt(2.0))
            assert survival == pytest.approx(true, abs=0.025)


def test_before_anything_is_learnt_the_expected_duration_holds() -> None:
    hazards = Durations(expected_s=180.0).hazards()
    assert hazards == pytest.approx([1 / 180.0] * len(EDGES))


def test_an_agent_is_free_after_talk_and_wrap_up() -> None:
    talk, wrapup = [0.01] * len(EDGES), [0.1] * len(EDGES)
    talking, wrapping = free_within(talk, wrapup, [10, 20])
    assert wrapping[0][5] == pytest.approx(1 - math.exp(-1.0))
    both = 1 - (0.1 * math.exp(-0.2) - 0.01 * math.exp(-2.0)) / 0.09
    assert talking[1][5] == pytest.approx(both, abs=0.003)
    without_wrapup, _ = free_within(talk, wrapup, [20], wrapup_share=0.0)
    assert without_wrapup[0][5] == pytest.approx(1 - math.exp(-0.2))


def test_old_durations_fade() -> None:
    talks = Durations(expected_s=60.0)
    talks.learn(30.0)
    talks.fade(1000)
    assert sum(talks.ended) == pytest.approx(0.5)
    assert sum(talks.exposure_s) == pytest.approx(15.0)


# ---- the risk limit ----


def test_credit_raises_the_risk_limit_and_debt_lowers_it() -> None:
    few_abandoned, many_abandoned = AbandonController(), AbandonController()
    for second in range(600):
        few_abandoned.advance(float(second), 0.03, answered_by_person=1, abandoned=0)
        many_abandoned.advance(float(second), 0.03, answered_by_person=1, abandoned=int(second % 10 == 0))
    assert few_abandoned.risk_limit(0.03, 1000, 10) > 0.0285 > many_abandoned.risk_limit(0.03, 1000, 10)


def test_when_one_more_abandoned_call_would_break_the_cap_the_limit_is_low() -> None:
    controller = AbandonController()
    assert controller.risk_limit(0.03, 100, 2.5) <= 0.012
    assert controller.risk_limit(0.03, 1000, 5) == pytest.approx(0.03, rel=0.1)


def test_close_to_the_cap_the_limit_is_lower_after_many_answers() -> None:
    controller = AbandonController()
    assert controller.risk_limit(0.03, 4 * GUARD_HALVES_AT, 0.12 * GUARD_HALVES_AT - 0.5) == pytest.approx(
        0.012 / 5
    )
    assert controller.risk_limit(0.03, 4000, 100) == pytest.approx(0.03, rel=0.1)


def test_a_long_pause_changes_nothing() -> None:
    controller = AbandonController()
    for second in range(100):
        controller.advance(float(second), 0.03, answered_by_person=1, abandoned=0)
    before = controller.credit
    controller.advance(90_000.0, 0.03, answered_by_person=0, abandoned=0)
    assert controller.credit == pytest.approx(before, rel=0.01)


def test_the_cap_is_reached_when_the_rate_is_above_it() -> None:
    assert not cap_is_reached(0.03, 0, 0)
    assert not cap_is_reached(0.03, 100, 3)
    assert cap_is_reached(0.03, 99, 3)
    assert cap_is_reached(0.0, 0, 0)
