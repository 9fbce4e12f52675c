"""The rules of other dialers, as their public sources say them."""

from __future__ import annotations

from collections.abc import Sequence

from streamdialer.model import ObservationKind
from streamdialer.pacing.policies import build_policy
from streamdialer.pacing.types import CampaignView, Observation, Policy, QueueView

NOW = 1000.0


def placed(
    policy: Policy,
    observations: Sequence[Observation] = (),
    *,
    free: int = 0,
    ringing: int = 0,
    talked_s: Sequence[float] = (),
    now: float = NOW,
) -> int:
    """Calls placed on a queue with one campaign; `talked_s` of each talking agent."""
    view = QueueView(
        now=now,
        free=free,
        talking=[now - seconds for seconds in talked_s],
        campaigns=[CampaignView(id="1", ringing=[now] * ringing, callable=1000)],
    )
    return sum(policy.place(view, observations).values())


def seen(what: ObservationKind, seconds: float, count: int) -> list[Observation]:
    return [Observation(NOW, what, seconds, "" if what in ("talk", "wrapup") else "1")] * count


def test_issabel_adds_agents_whose_talk_is_long_already_once_ten_talks_are_known() -> None:
    learnt = [*seen("talk", 100, 10), *seen("human", 10, 10)]
    # 1 - exp(-(10 + t) / 100) reaches 0.97 at t = 340.7 s
    assert placed(build_policy("issabel"), learnt, free=3, ringing=1, talked_s=(345, 330)) == 3
    assert placed(build_policy("issabel"), learnt[1:], free=3, ringing=1, talked_s=(345, 330)) == 2


def test_issabel_overcommits_by_the_answers_of_the_last_half_hour() -> None:
    learnt = [*seen("human", 10, 5), *seen("no_answer", 26, 5)]
    assert placed(build_policy("issabel:overcommit=yes"), learnt, free=4) == 8
    assert placed(build_policy("issabel"), learnt, free=4) == 4
    late = build_policy("issabel:overcommit=yes")
    placed(late, learnt, free=0)
    assert placed(late, free=4, now=NOW + 1801) == 4


def test_omnidialer_divides_the_agents_by_the_chance_of_an_answer_after_fifty_talks() -> None:
    alternating = [*seen("human", 12, 1), *seen("no_answer", 26, 1)] * 100
    assert placed(build_policy("omnidialer"), [*alternating, *seen("talk", 100, 49)], free=10, ringing=2) == 8
    rate = 0.9 * 0.1 / (1 - 0.81)  # of the moving average after a call that was not answered
    expected = int((10 - 2 * rate) / rate)
    assert (
        placed(build_policy("omnidialer"), [*alternating, *seen("talk", 100, 50)], free=10, ringing=2)
        == expected
    )


def test_omnidialer_places_a_fifth_above_the_limit_and_one_per_free_agent_after_five_decisions() -> None:
    policy = build_policy("omnidialer")
    learnt = [*seen("human", 12, 200), *seen("talk", 100, 50), *seen("abandoned", 15, 1)]
    assert placed(policy, learnt, free=10) == 2
    assert [placed(policy, free=10) for _ in range(4)] == [2, 2, 2, 10]


def test_impact_dialing_takes_the_lines_that_did_best_in_a_replay() -> None:
    learnt = [*seen("human", 10, 25), *seen("no_answer", 15, 25), *seen("talk", 20, 25)]
    assert placed(build_policy("impact_dialing"), learnt[1:], free=10) == 10, "fifty calls are needed"
    assert placed(build_policy("impact_dialing"), learnt, free=4) == 4, "five agents are needed"
    few_answer = [*seen("human", 10, 5), *seen("no_answer", 15, 95), *seen("talk", 20, 5)]
    assert 20 < placed(build_policy("impact_dialing"), few_answer, free=10) <= 200
