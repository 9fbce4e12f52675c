"""The adaptive rule: it keeps to the limits, withholds no call without risk, and decides alike from the same state."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdialer.pacing.adaptive import AdaptiveDecision, AdaptivePolicy, decide_adaptively
from streamdialer.pacing.learning import MAX_CAMPAIGNS, CampaignLearning, QueueLearning
from streamdialer.pacing.types import CampaignView, Observation, QueueView

NOW = 10_000.0
ages = st.lists(st.integers(0, 25), max_size=40)
durations = st.lists(st.integers(0, 400), max_size=30)


def learnt_state(names: Sequence[str] = ("sale",)) -> QueueLearning:
    """What a queue has learnt after some hours of normal work."""
    stream = random.Random(1)
    state = QueueLearning()
    for name in names:
        for number in range(600):
            at = NOW - 2.0 * (600 - number)
            human = stream.random() < 0.3
            seconds = stream.gammavariate(4.0, 3.0) if human else stream.choice((1.0, 12.0, 26.0, 26.0))
            state.campaign(name).rate.learn(at, human)
            state.campaign(name).ring.learn(seconds, human)
    for _ in range(300):
        state.talk.learn(stream.lognormvariate(4.44, 0.83))
        state.wrapup.learn(stream.lognormvariate(2.75, 0.7))
    return state


def campaign(name: str = "sale", rung: Sequence[float] = (), **changes: Any) -> CampaignView:
    plain = CampaignView(
        id=name,
        ringing=sorted(NOW - age for age in rung),
        callable=10_000,
        answered_by_person=2000,
        abandoned=20,
    )
    return msgspec.structs.replace(plain, **changes)


def queue(free: int, *campaigns: CampaignView, **changes: Any) -> QueueView:
    plain = QueueView(now=NOW, free=free, campaigns=campaigns or (campaign(),))
    return msgspec.structs.replace(plain, **changes)


def decide(view: QueueView, state: QueueLearning | None = None) -> dict[str, AdaptiveDecision]:
    return decide_adaptively(learnt_state() if state is None else state, view, [])


def copy(state: QueueLearning) -> QueueLearning:
    return msgspec.json.decode(msgspec.json.encode(state), type=QueueLearning)


LEARNT = learnt_state()


def placed(view: QueueView) -> int:
    return sum(decision.place for decision in decide(view, copy(LEARNT)).values())


# ---- calls that are unwanted by now ----


def unwanted(free: int, rung: Sequence[float], min_ring_s: float | None = 15.0, abandoned: int = 20) -> int:
    view = queue(free, campaign(rung=rung, min_ring_s=min_ring_s, abandoned=abandoned))
    decisions = decide(view, copy(LEARNT))
    return decisions["sale"].take_back


def test_calls_that_nobody_will_be_free_for_are_taken_back_after_the_least_ring_time() -> None:
    """There is no agent at all."""
    assert unwanted(0, [15.0, 16.0, 18.0, 20.0]) == 4
    assert unwanted(0, [3.0, 14.0, 16.0]) == 1
    assert unwanted(0, [3.0, 14.0]) == 0


def test_no_call_is_taken_back_that_an_agent_is_free_for() -> None:
    assert unwanted(4, [15.0, 16.0, 18.0, 20.0]) == 0
    assert unwanted(1, [16.0], abandoned=500) == 0, "its own answer is no risk to itself"
    assert 1 <= unwanted(1, [16.0] * 12) <= 11
    assert unwanted(9, [16.0] * 12) == 0, "not all of them answer"


def test_no_call_is_taken_back_where_the_least_ring_time_is_not_known() -> None:
    assert unwanted(0, [16.0] * 12, min_ring_s=None) == 0


@given(free=st.integers(0, 20), rung=ages, abandoned=st.sampled_from([0, 20, 500]))
@settings(max_examples=40, deadline=None)
def test_what_may_be_taken_back_changes_no_placing(free: int, rung: list[int], abandoned: int) -> None:
    plain = decide(queue(free, campaign(rung=rung, abandoned=abandoned)), copy(LEARNT))["sale"]
    other = decide(queue(free, campaign(rung=rung, abandoned=abandoned, min_ring_s=15.0)), copy(LEARNT))[
        "sale"
    ]
    assert msgspec.structs.replace(other, take_back=0) == plain
    assert other.take_back <= sum(age >= 15 for age in rung)
    assert not (other.place and other.take_back), "a call that is acceptable is not unwanted"


# ---- without risk ----


@given(free=st.integers(0, 40), waiting=st.integers(0, 5), rung=ages, abandoned=st.sampled_from([0, 20, 500]))
@settings(max_examples=60, deadline=None)
def test_calls_without_risk_are_placed(free: int, waiting: int, rung: list[int], abandoned: int) -> None:
    view = queue(free, campaign(rung=rung, abandoned=abandoned), waiting=waiting)
    assert placed(view) >= max(0, free - waiting - len(rung))


@given(free=st.integers(0, 40), rung=ages, others=ages, talking=durations)
@settings(max_examples=60, deadline=None)
def test_a_campaign_whose_cap_is_reached_is_progressive(
    free: int, rung: list[int], others: list[int], talking: list[int]
) -> None:
    """The ringing calls of all campaigns count first, so every answer finds a free agent."""
    view = queue(
        free,
        campaign("over", rung=rung, abandoned=500),
        campaign("also over", rung=others, abandoned=500),
        talking=[NOW - seconds for seconds in talking],
    )
    decisions = decide(view, copy(LEARNT))
    assert sum(decision.place for decision in decisions.values()) == max(0, free - len(rung) - len(others))
    assert {decision.limit for decision in decisions.values()} == {"cap_reached"}


def test_while_the_trunk_is_down_nothing_is_learnt_and_no_risk_is_taken() -> None:
    state = learnt_state()
    before = state.campaign("sale").rate.p
    refused = [Observation(NOW, "busy", 1.0, "sale")] * 300
    decision = decide_adaptively(state, queue(10), refused)["sale"]
    assert decision.place == 10
    assert decision.limit == "trunk_down"
    assert state.campaign("sale").rate.p == pytest.approx(before, rel=0.15)


def test_a_cap_of_zero_is_progressive() -> None:
    assert decide(queue(3, campaign(cap=0.0, answered_by_person=0, abandoned=0)))["sale"].place == 3


def test_under_the_cap_more_calls_are_placed_than_agents_are_free() -> None:
    talking = [NOW - 130.0 + n for n in range(40)]
    decision = decide(queue(10, talking=talking))["sale"]
    assert decision.place > 15
    assert decision.limit == "risk"
    assert decision.risk > decision.risk_limit > 0.012


# ---- limits ----


@given(
    free=st.integers(0, 60),
    rung=ages,
    talking=durations,
    lines=st.integers(0, 30),
    contacts=st.integers(0, 30),
)
@settings(max_examples=60, deadline=None)
def test_never_more_than_lines_and_contacts_allow(
    free: int, rung: list[int], talking: list[int], lines: int, contacts: int
) -> None:
    view = queue(
        free,
        campaign(rung=rung, callable=contacts),
        talking=[NOW - seconds for seconds in talking],
        lines=lines,
    )
    decision = decide(view, copy(LEARNT))["sale"]
    assert 0 <= decision.place <= min(lines, contacts)
    if decision.place == contacts:
        assert decision.limit == "contacts"
    elif decision.place == lines:
        assert decision.limit == "trunk_channels"


@given(free=st.integers(0, 30), rung=ages, talking=durations, more=st.integers(0, 10))
@settings(max_examples=60, deadline=None)
def test_more_ringing_never_means_more_calls(
    free: int, rung: list[int], talking: list[int], more: int
) -> None:
    busy = [NOW - seconds for seconds in talking]
    fewer = placed(queue(free, campaign(rung=rung), talking=busy))
    assert placed(queue(free, campaign(rung=[*rung, more]), talking=busy)) <= fewer


@given(free=st.integers(0, 30), rung=ages, talking=durations)
@settings(max_examples=60, deadline=None)
def test_one_more_free_agent_never_means_fewer_calls(free: int, rung: list[int], talking: list[int]) -> None:
    busy = [NOW - seconds for seconds in talking]
    assert placed(queue(free + 1, campaign(rung=rung), talking=busy)) >= placed(
        queue(free, campaign(rung=rung), talking=busy)
    )


# ---- several campaigns ----


def test_campaigns_of_a_queue_get_calls_by_weight() -> None:
    state = learnt_state(("sale", "poll"))
    state.campaigns["poll"] = msgspec.json.decode(
        msgspec.json.encode(state.campaign("sale")), type=CampaignLearning
    )
    view = queue(40, campaign("sale", weight=2.0), campaign("poll", weight=1.0))
    decisions = decide(view, state)
    assert decisions["sale"].place == pytest.approx(2 * decisions["poll"].place, abs=2)


def test_the_share_holds_when_calls_are_placed_one_at_a_time() -> None:
    policy = AdaptivePolicy()
    total = {"sale": 0, "poll": 0}
    for second in range(90):
        view = queue(1, campaign("sale", weight=2.0), campaign("poll", weight=1.0), now=NOW + second)
        view = msgspec.structs.replace(view, lines=1)
        for name, calls in policy.place(view, []).items():
            total[name] += calls
    assert total == {"sale": 60, "poll": 30}


def test_a_campaign_without_contacts_leaves_its_share_to_the_other() -> None:
    state = learnt_state(("sale", "poll"))
    alone = decide(queue(20, campaign("sale")), copy(state))
    both = decide(queue(20, campaign("sale"), campaign("poll", callable=0, weight=9.0)), state)
    assert both["sale"].place == alone["sale"].place
    assert both["poll"].limit == "contacts"


def test_a_campaign_over_its_cap_does_not_hold_back_the_other() -> None:
    state = learnt_state(("sale", "poll"))
    decisions = decide(queue(10, campaign("sale", abandoned=500), campaign("poll")), state)
    assert decisions["sale"].limit == "cap_reached"
    assert decisions["sale"].place + decisions["poll"].place > 10
    assert decisions["poll"].limit == "risk"


def test_a_campaign_without_contacts_saves_up_no_turns() -> None:
    state = learnt_state(("sale", "poll"))
    view = queue(1, campaign("sale"), campaign("poll", callable=0), lines=1)
    for second in range(50):
        decide_adaptively(state, msgspec.structs.replace(view, now=NOW + second), [])
    view = queue(1, campaign("sale"), campaign("poll"), lines=1)
    turns = [
        next(name for name, decision in decide_adaptively(state, view, []).items() if decision.place)
        for _ in range(20)
    ]
    assert 8 <= turns.count("sale") <= 12


# ---- what is kept ----


def test_a_stored_and_loaded_state_decides_alike() -> None:
    stream = random.Random(4)
    kept = learnt_state(("sale", "poll"))
    raw = msgspec.json.encode(kept)
    for step in range(60):
        now = NOW + step
        rung = sorted(now - stream.random() * 25 for _ in range(12))
        view = queue(
            stream.randrange(6),
            campaign("sale", abandoned=step),
            campaign("poll"),
            now=now,
            talking=[now - stream.random() * 300 for _ in range(20)],
        )
        view = msgspec.structs.replace(
            view, campaigns=[msgspec.structs.replace(view.campaigns[0], ringing=rung), view.campaigns[1]]
        )
        observations = [
            Observation(now, "human", 11.0, "sale"),
            Observation(now, "talk", 90.0),
            Observation(now, "abandoned", 2.0, "poll"),
        ]
        other = msgspec.json.decode(raw, type=QueueLearning)
        assert decide_adaptively(other, view, observations) == decide_adaptively(kept, view, observations)
        raw = msgspec.json.encode(other)
        assert raw == msgspec.json.encode(kept)


def test_the_state_is_bounded() -> None:
    state = QueueLearning()
    for number in range(200):
        now = NOW + 20.0 * number
        view = queue(1, campaign(f"c{number}"), now=now)
        decide_adaptively(state, view, [Observation(now, "human", 10.0, f"c{number}")])
    assert len(state.campaigns) <= MAX_CAMPAIGNS
    assert "c199" in state.campaigns
    assert len(msgspec.json.encode(state)) < 200_000


def test_a_cold_start_is_nearly_progressive() -> None:
    decision = decide(queue(20, campaign(answered_by_person=0, abandoned=0)), QueueLearning())["sale"]
    assert 20 <= decision.place <= 30


def test_one_agent_is_nearly_progressive() -> None:
    assert decide(queue(1))["sale"].place <= 2
    assert decide(queue(0, talking=[NOW - 30.0]))["sale"].place == 0


def test_calls_that_fail_at_once_do_not_lower_the_answer_rate_at_the_start() -> None:
    """Of 300 calls just placed, the ends of 30 are known first; people have not had time to answer the others."""
    state = QueueLearning()
    refused = [Observation(NOW + 1.0, "busy", 1.0, "sale")] * 15 + [
        Observation(NOW + 1.0, "no_answer", 1.0, "sale")
    ] * 15
    view = queue(100, campaign(rung=[-1.0] * 270, answered_by_person=0, abandoned=0), now=NOW + 1.0)
    assert decide_adaptively(state, view, refused)["sale"].p == 0.5
    later = msgspec.structs.replace(view, now=NOW + 20.0)
    assert decide_adaptively(state, later, [])["sale"].p < 0.2
    assert not state.campaign("sale").early_ends
