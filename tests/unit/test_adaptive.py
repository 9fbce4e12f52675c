"""The adaptive rule keeps to its limits, places every call without risk, and decides the same from the same state."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdialer.model import ObservationKind
from streamdialer.pacing.adaptive import AdaptiveDecision, AdaptivePolicy, decide_adaptively
from streamdialer.pacing.learning import MAX_CAMPAIGNS, CampaignLearning, QueueLearning
from streamdialer.pacing.types import CampaignView, Observation, QueueView

NOW = 10_000.0
ages = st.lists(st.integers(0, 25), max_size=40)
elapsed = st.lists(st.integers(0, 400), max_size=30)


def taught(
    names: Sequence[str] = ("sale",), p: float = 0.3, calls: int = 600, seed: int = 1
) -> QueueLearning:
    """A queue that has seen a few hours of ordinary work and is well under its cap."""
    stream = random.Random(seed)
    state = QueueLearning()
    for name in names:
        for number in range(calls):
            at = NOW - 2.0 * (calls - number)
            human = stream.random() < p
            seconds = stream.gammavariate(4.0, 3.0) if human else stream.choice((1.0, 12.0, 26.0, 26.0))
            what: ObservationKind = "human" if human else "no_answer"
            one = state.of(name)
            one.rate.learn(at, human)
            one.ring.learn(seconds, what == "human")
    for _ in range(300):
        state.talk.learn(stream.lognormvariate(4.44, 0.83))
        state.wrapup.learn(stream.lognormvariate(2.75, 0.7))
    return state


def campaign(name: str = "sale", rung: Sequence[float] = (), **changes: Any) -> CampaignView:
    plain = CampaignView(
        id=name,
        ringing=sorted(NOW - age for age in rung),
        callable=10_000,
        humans=2000,
        abandoned=20,
    )
    return msgspec.structs.replace(plain, **changes)


def queue(free: int, *campaigns: CampaignView, **changes: Any) -> QueueView:
    plain = QueueView(now=NOW, free=free, campaigns=campaigns or (campaign(),))
    return msgspec.structs.replace(plain, **changes)


def decide(view: QueueView, state: QueueLearning | None = None) -> dict[str, AdaptiveDecision]:
    return decide_adaptively(taught() if state is None else state, view, [])


def copy(state: QueueLearning) -> QueueLearning:
    return msgspec.json.decode(msgspec.json.encode(state), type=QueueLearning)


TAUGHT = taught()


def placed(view: QueueView) -> int:
    return sum(decision.place for decision in decide(view, copy(TAUGHT)).values())


# ---- without risk ----


@given(free=st.integers(0, 40), waiting=st.integers(0, 5), rung=ages, abandoned=st.sampled_from([0, 20, 500]))
@settings(max_examples=60, deadline=None)
def test_calls_without_risk_are_always_placed(
    free: int, waiting: int, rung: list[int], abandoned: int
) -> None:
    view = queue(free, campaign(rung=rung, abandoned=abandoned), waiting=waiting)
    assert placed(view) >= max(0, free - waiting - len(rung))


@given(free=st.integers(0, 40), rung=ages, others=ages, talking=elapsed)
@settings(max_examples=60, deadline=None)
def test_a_campaign_whose_cap_is_reached_is_progressive(
    free: int, rung: list[int], others: list[int], talking: list[int]
) -> None:
    """Calls that ring for any campaign count first: then every call that is answered finds a free agent."""
    view = queue(
        free,
        campaign("over", rung=rung, abandoned=500),
        campaign("also over", rung=others, abandoned=500),
        talking=[NOW - seconds for seconds in talking],
    )
    decisions = decide(view, copy(TAUGHT))
    assert sum(each.place for each in decisions.values()) == max(0, free - len(rung) - len(others))
    assert {each.limit for each in decisions.values()} == {"cap_reached"}


def test_while_the_trunk_is_down_nothing_is_learnt_and_nothing_risked() -> None:
    state = taught()
    before = state.of("sale").rate.p
    refused = [Observation(NOW, "busy", 1.0, "sale")] * 300
    decision = decide_adaptively(state, queue(10), refused)["sale"]
    assert decision.place == 10
    assert decision.limit == "trunk_down"
    assert state.of("sale").rate.p == pytest.approx(before, rel=0.15)


def test_a_cap_of_nothing_is_progressive() -> None:
    assert decide(queue(3, campaign(cap=0.0, humans=0, abandoned=0)))["sale"].place == 3


def test_under_the_cap_more_are_placed_than_agents_are_free() -> None:
    talking = [NOW - 130.0 + n for n in range(40)]
    decision = decide(queue(10, talking=talking))["sale"]
    assert decision.place > 15
    assert decision.limit == "risk"
    assert decision.risk > decision.risk_limit > 0.012


# ---- limits ----


@given(
    free=st.integers(0, 60),
    rung=ages,
    talking=elapsed,
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
    decision = decide(view, copy(TAUGHT))["sale"]
    assert 0 <= decision.place <= min(lines, contacts)
    if decision.place == contacts:
        assert decision.limit == "contacts"
    elif decision.place == lines:
        assert decision.limit == "lines"


@given(free=st.integers(0, 30), rung=ages, talking=elapsed, more=st.integers(0, 10))
@settings(max_examples=60, deadline=None)
def test_more_ringing_calls_never_lead_to_more_calls(
    free: int, rung: list[int], talking: list[int], more: int
) -> None:
    busy = [NOW - seconds for seconds in talking]
    fewer = placed(queue(free, campaign(rung=rung), talking=busy))
    assert placed(queue(free, campaign(rung=[*rung, more]), talking=busy)) <= fewer


@given(free=st.integers(0, 30), rung=ages, talking=elapsed)
@settings(max_examples=60, deadline=None)
def test_one_more_free_agent_never_leads_to_fewer_calls(
    free: int, rung: list[int], talking: list[int]
) -> None:
    busy = [NOW - seconds for seconds in talking]
    assert placed(queue(free + 1, campaign(rung=rung), talking=busy)) >= placed(
        queue(free, campaign(rung=rung), talking=busy)
    )


# ---- several campaigns ----


def test_campaigns_of_a_queue_get_calls_by_weight() -> None:
    state = taught(("sale", "poll"))
    state.campaigns["poll"] = msgspec.json.decode(
        msgspec.json.encode(state.of("sale")), type=CampaignLearning
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
    state = taught(("sale", "poll"))
    alone = decide(queue(20, campaign("sale")), copy(state))
    both = decide(queue(20, campaign("sale"), campaign("poll", callable=0, weight=9.0)), state)
    assert both["sale"].place == alone["sale"].place
    assert both["poll"].limit == "contacts"


def test_a_campaign_over_its_cap_does_not_hold_back_the_other() -> None:
    state = taught(("sale", "poll"))
    decisions = decide(queue(10, campaign("sale", abandoned=500), campaign("poll")), state)
    assert decisions["sale"].limit == "cap_reached"
    assert decisions["sale"].place + decisions["poll"].place > 10
    assert decisions["poll"].limit == "risk"


def test_a_campaign_that_comes_back_has_saved_up_no_turns() -> None:
    state = taught(("sale", "poll"))
    view = queue(1, campaign("sale"), campaign("poll", callable=0), lines=1)
    for second in range(50):
        decide_adaptively(state, msgspec.structs.replace(view, now=NOW + second), [])
    view = queue(1, campaign("sale"), campaign("poll"), lines=1)
    turns = [
        next(name for name, each in decide_adaptively(state, view, []).items() if each.place)
        for _ in range(20)
    ]
    assert 8 <= turns.count("sale") <= 12


# ---- what is kept ----


def test_the_state_survives_storing_with_the_same_decisions() -> None:
    stream = random.Random(4)
    kept = taught(("sale", "poll"))
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
        seen = [
            Observation(now, "human", 11.0, "sale"),
            Observation(now, "talk", 90.0),
            Observation(now, "abandoned", 2.0, "poll"),
        ]
        other = msgspec.json.decode(raw, type=QueueLearning)
        assert decide_adaptively(other, view, seen) == decide_adaptively(kept, view, seen)
        raw = msgspec.json.encode(other)
        assert raw == msgspec.json.encode(kept)


def test_the_state_does_not_grow_without_end() -> None:
    state = QueueLearning()
    for number in range(200):
        now = NOW + 20.0 * number
        view = queue(1, campaign(f"c{number}"), now=now)
        decide_adaptively(state, view, [Observation(now, "human", 10.0, f"c{number}")])
    assert len(state.campaigns) <= MAX_CAMPAIGNS
    assert "c199" in state.campaigns
    assert len(msgspec.json.encode(state)) < 200_000


def test_a_cold_start_is_nearly_progressive() -> None:
    decision = decide(queue(20, campaign(humans=0, abandoned=0)), QueueLearning())["sale"]
    assert 20 <= decision.place <= 30


def test_one_agent_is_nearly_progressive() -> None:
    assert decide(queue(1))["sale"].place <= 2
    assert decide(queue(0, talking=[NOW - 30.0]))["sale"].place == 0


def test_calls_that_fail_at_once_do_not_make_a_beginning_look_hopeless() -> None:
    """Of 300 calls just placed, the 30 busy ones are known first; the people have not had the time to answer."""
    state = QueueLearning()
    refused = [Observation(NOW + 1.0, "busy", 1.0, "sale")] * 15 + [
        Observation(NOW + 1.0, "no_answer", 1.0, "sale")
    ] * 15
    view = queue(100, campaign(rung=[-1.0] * 270, humans=0, abandoned=0), now=NOW + 1.0)
    assert decide_adaptively(state, view, refused)["sale"].p == 0.5
    later = msgspec.structs.replace(view, now=NOW + 20.0)
    assert decide_adaptively(state, later, [])["sale"].p < 0.2
    assert not state.of("sale").early
