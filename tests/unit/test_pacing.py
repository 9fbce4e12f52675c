"""Fixed pacing: the contract's formulas, the sharing of a queue's agents, and the decision."""

from __future__ import annotations

import math
import time
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdialer.model import DialMode
from streamdialer.pacing.decide import CampaignLoad, Snapshot, calls_to_place, decide
from streamdialer.pacing.dial_modes import agents_for, calls_per_agent, level
from streamdialer.pacing.sharing import ClaimShare, share_agents

MODES = get_args(DialMode)
modes = st.sampled_from(MODES)
ratios = st.floats(0.2, 6.0) | st.sampled_from([1.1, 1.2, 1.4, 3.0, 5.0])
counts = st.integers(0, 300)


def load(**changes: Any) -> CampaignLoad:
    plain = CampaignLoad(mode="progressive", ratio=1.2, ready=1000, max_concurrent=1000)
    return msgspec.structs.replace(plain, **changes)


# ---- the modes ----


def calls_wanted(mode: DialMode, agents: int, ratio: float, unanswered: int, live: int, cap: int) -> int:
    alone = load(mode=mode, ratio=ratio, unanswered=unanswered, live=live, max_concurrent=cap)
    return decide(Snapshot(free_agents=agents, campaigns={"1": alone}), "1").wanted


@pytest.mark.parametrize(
    ("mode", "agents", "ratio", "unanswered", "live", "cap", "calls"),
    [
        ("preview", 10, 3.0, 0, 0, 50, 0),
        ("progressive", 10, 3.0, 4, 9, 50, 6),
        ("progressive", 10, 1.2, 12, 12, 50, 0),
        ("predictive", 10, 1.2, 5, 5, 50, 7),
        ("predictive", 10, 1.1, 0, 0, 50, 11),
        ("predictive", 3, 1.1, 0, 0, 50, 3),
        ("predictive", 7, 1.3, 0, 0, 50, 9),
        ("power", 10, 3.0, 5, 20, 50, 25),
        ("power", 10, 5.0, 0, 20, 50, 30),
        ("power", 10, 5.0, 0, 60, 50, 0),
        ("predictive", 10, 3.0, 0, 45, 50, 5),
        ("progressive", 10, 1.2, 0, 48, 50, 2),
        ("power", 0, 5.0, 0, 0, 50, 0),
    ],
)
def test_each_mode_places_what_the_contract_says(
    mode: DialMode, agents: int, ratio: float, unanswered: int, live: int, cap: int, calls: int
) -> None:
    assert calls_wanted(mode, agents, ratio, unanswered, live, cap) == calls


@given(modes, st.integers(-5, 500), ratios, counts, counts, st.integers(0, 500))
def test_calls_wanted_is_never_negative_and_never_above_the_cap(
    mode: DialMode, agents: int, ratio: float, unanswered: int, connected: int, cap: int
) -> None:
    live = unanswered + connected
    calls = calls_wanted(mode, agents, ratio, unanswered, live, cap)
    assert calls >= 0
    assert calls == 0 or live + calls <= cap
    if mode in ("predictive", "power") and calls:
        assert unanswered + calls <= int(agents * ratio)


def test_an_absurd_ratio_does_not_overflow() -> None:
    assert level("power", 500, 1e308) > 1_000_000
    assert agents_for(5, 1e-320) > 1_000_000


@given(st.integers(0, 2000), ratios)
def test_agents_for_is_the_smallest_number_whose_level_is_enough(calls: int, ratio: float) -> None:
    agents = agents_for(calls, ratio)
    assert level("power", agents, ratio) >= calls
    assert agents == 0 or level("power", agents - 1, ratio) < calls


def test_a_progressive_call_needs_a_whole_agent_at_any_ratio() -> None:
    assert [calls_per_agent(mode, 3.0) for mode in MODES] == [1.0, 1.0, 3.0, 3.0, 1.0]


# ---- sharing ----


@st.composite
def claimants(draw: st.DrawFn, *, fresh: bool = False) -> list[ClaimShare]:
    """The claims of one queue's campaigns; `fresh`: without calls."""
    return [
        ClaimShare(
            campaign=f"c{number}",
            weight=draw(st.sampled_from([0.5, 1.0, 2.0, 3.5])),
            served_ms=draw(st.integers(0, 3)),
            unanswered=(unanswered := 0 if fresh else draw(st.integers(0, 20))),
            demand_calls=unanswered + draw(st.integers(0, 60)),
            calls_per_agent=draw(st.sampled_from([1.0, 1.2, 3.0])),
            is_open=draw(st.booleans()),
        )
        for number in range(draw(st.integers(1, 6)))
    ]


def needed(claimant: ClaimShare) -> int:
    return agents_for(claimant.demand_calls, claimant.calls_per_agent)


def held(claimant: ClaimShare) -> int:
    return agents_for(claimant.unanswered, claimant.calls_per_agent)


@given(st.integers(0, 100), claimants())
def test_shares_never_exceed_the_free_or_the_needed_agents(agents: int, campaigns: list[ClaimShare]) -> None:
    shares = share_agents(agents, campaigns)
    assert sum(shares.values()) <= agents
    for claimant in campaigns:
        assert 0 <= shares[claimant.campaign] <= (needed(claimant) if claimant.is_open else 0)


@given(st.integers(0, 100), claimants())
def test_no_agent_is_left_that_an_open_campaign_could_use(agents: int, campaigns: list[ClaimShare]) -> None:
    shares = share_agents(agents, campaigns)
    held_by_closed = sum(held(c) for c in campaigns if not c.is_open)
    wanted = sum(needed(c) for c in campaigns if c.is_open)
    if held_by_closed == 0:
        assert sum(shares.values()) == min(agents, wanted)
    elif agents >= sum(held(c) for c in campaigns):
        assert sum(shares.values()) == min(agents - held_by_closed, wanted)


@given(st.integers(0, 100), claimants(fresh=True))
def test_weights_are_respected_within_one_agent(agents: int, campaigns: list[ClaimShare]) -> None:
    shares = share_agents(agents, campaigns)
    for poor in campaigns:
        if not poor.is_open or shares[poor.campaign] == needed(poor):
            continue
        for rich in campaigns:
            assert (shares[rich.campaign] - 1) / rich.weight <= shares[poor.campaign] / poor.weight


@given(st.integers(1, 40), st.integers(1, 12))
def test_a_single_agent_goes_to_the_campaign_served_longest_ago(rounds: int, campaigns: int) -> None:
    served = dict.fromkeys((f"c{number}" for number in range(campaigns)), 0)
    turns = dict.fromkeys(served, 0)
    for now in range(1, rounds * campaigns + 1):
        shares = share_agents(
            1, [ClaimShare(campaign=name, served_ms=at, demand_calls=9) for name, at in served.items()]
        )
        (winner,) = (name for name, share in shares.items() if share)
        served[winner] = now
        turns[winner] += 1
    assert set(turns.values()) == {rounds}


def test_ringing_calls_of_a_closed_campaign_hold_their_agents() -> None:
    shares = share_agents(
        10,
        [
            ClaimShare(campaign="closed", demand_calls=7, unanswered=7, is_open=False),
            ClaimShare(campaign="open", demand_calls=50),
        ],
    )
    assert shares == {"closed": 0, "open": 3}


def test_sharing_five_hundred_agents_among_twenty_campaigns_is_fast() -> None:
    campaigns = [ClaimShare(campaign=f"c{n}", weight=1 + n % 3, demand_calls=1000) for n in range(20)]
    best = math.inf
    for _ in range(20):
        start = time.perf_counter()
        share_agents(500, campaigns)
        best = min(best, time.perf_counter() - start)
    assert best < 0.005


# ---- the decision ----


@pytest.mark.parametrize(
    ("agents", "changes", "expected"),
    [
        (10, {}, (10, 10, 10, "agents")),
        (10, {"mode": "power", "ratio": 3.0}, (30, 30, 10, "agents")),
        (10, {"mode": "predictive", "unanswered": 12, "live": 12}, (12, 0, 10, "agents")),
        (10, {"mode": "preview"}, (0, 0, 0, "preview")),
        (10, {"is_open": False}, (0, 0, 0, "closed")),
        (0, {}, (0, 0, 0, "no_agents")),
        (10, {"ready": 4}, (4, 10, 4, "no_contacts")),
        (10, {"ready": 0, "unanswered": 12, "live": 12}, (10, 0, 10, "no_contacts")),
        (10, {"live": 17, "max_concurrent": 20}, (3, 3, 3, "concurrency")),
        (10, {"max_concurrent": 0}, (0, 0, 0, "concurrency")),
        (2, {"unanswered": 5, "live": 5}, (2, 0, 2, "agents")),
    ],
)
def test_a_decision_names_its_limit(
    agents: int, changes: dict[str, object], expected: tuple[int, int, int, str]
) -> None:
    decision = decide(Snapshot(free_agents=agents, campaigns={"7": load(**changes)}), "7")
    assert (decision.level, decision.wanted, decision.share, decision.limit) == expected


def test_the_limit_of_two_campaigns_on_a_queue_is_agents_shared() -> None:
    snapshot = Snapshot(free_agents=10, campaigns={"1": load(), "2": load(mode="power", ratio=3.0)})
    first, second = decide(snapshot, "1"), decide(snapshot, "2")
    assert (first.level, second.level) == (5, 15)
    assert {first.limit, second.limit} == {"agents_shared"}


def test_a_campaign_that_cannot_dial_leaves_its_agents_to_the_others() -> None:
    others = {"closed": load(is_open=False), "preview": load(mode="preview"), "empty": load(ready=0)}
    assert decide(Snapshot(free_agents=10, campaigns={"1": load(), **others}), "1").share == 10


def test_a_new_campaign_does_not_get_agents_that_ringing_calls_hold() -> None:
    snapshot = Snapshot(free_agents=10, campaigns={"old": load(unanswered=8, live=8), "new": load()})
    assert decide(snapshot, "new").level == 2
    assert decide(snapshot, "old").level == 8


@st.composite
def loads(draw: st.DrawFn) -> CampaignLoad:
    unanswered = draw(st.integers(0, 30))
    return CampaignLoad(
        mode=draw(modes),
        ratio=draw(ratios),
        weight=draw(st.sampled_from([0.5, 1.0, 2.0])),
        unanswered=unanswered,
        live=unanswered + draw(st.integers(0, 30)),
        ready=draw(st.integers(0, 80)),
        max_concurrent=draw(st.integers(0, 80)),
        served_ms=draw(st.integers(0, 3)),
        is_open=draw(st.booleans()),
    )


@given(st.integers(0, 60), st.lists(loads(), min_size=1, max_size=5))
def test_all_campaigns_together_never_have_more_calls_than_the_queue_has_agents_for(
    agents: int, campaigns: list[CampaignLoad]
) -> None:
    snapshot = Snapshot(
        free_agents=agents, campaigns={str(number): each for number, each in enumerate(campaigns)}
    )
    busy_after = busy_before = 0
    together, unused = calls_to_place(snapshot)
    assert unused <= max(0, agents - sum(decide(snapshot, name).share for name in snapshot.campaigns))
    for name, each in snapshot.campaigns.items():
        decision = decide(snapshot, name)
        assert decision.level == level(each.mode, decision.share, each.ratio)
        assert decision.wanted >= 0
        assert together[name] == max(0, min(decision.level - each.unanswered, each.room))
        placed = max(0, min(decision.level - each.unanswered, each.room, each.ready))
        if not each.is_open or each.mode == "preview":
            assert placed == 0
        per_agent = calls_per_agent(each.mode, each.ratio)
        busy_before += agents_for(each.unanswered, per_agent)
        busy_after += agents_for(each.unanswered + placed, per_agent)
    assert busy_after <= max(agents, busy_before)
