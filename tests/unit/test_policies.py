"""Policies: what each one does at one instant, and what holds for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import pytest

from streamdialer.errors import SettingsError
from streamdialer.pacing.policies import POLICIES, build_policy
from streamdialer.pacing.policies.fixed import Fixed
from streamdialer.pacing.policies.ticks import Ticks
from streamdialer.pacing.policies.vicidial import Vicidial
from streamdialer.pacing.types import CampaignView, Observation, Policy, QueueView
from streamdialer.simulation.study.oracle_rates import OracleRates
from streamdialer.simulation.study.policies import ALL_POLICIES
from streamdialer.simulation.study.run import Oracle, VirtualWorld, simulate
from streamdialer.simulation.study.scenario import Scenario
from streamdialer.simulation.study.scenarios import load_scenario


def view(
    now: float = 100.0,
    free: int = 0,
    ringing: int = 0,
    *,
    waiting: int = 0,
    talking: int = 0,
    answered: float = 0,
    abandoned: float = 0,
    lines: int = 1000,
    ready: int = 1000,
    ratio: float = 1.0,
) -> QueueView:
    campaign = CampaignView(
        id="1",
        ringing=[now - 1.0] * ringing,
        callable=ready,
        ratio=ratio,
        answered_by_person=answered,
        abandoned=abandoned,
    )
    return QueueView(
        now=now, free=free, waiting=waiting, talking=[now - 9.0] * talking, lines=lines, campaigns=[campaign]
    )


def placed(policy: Policy, queue: QueueView) -> int:
    return sum(policy.place(queue, []).values())


# What holds for all of them.


class CheckedPolicy:
    """Passes everything on, and checks that the policy's calls fit its view."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.placed: list[Mapping[str, int]] = []

    @property
    def interval_s(self) -> float | None:
        return self.policy.interval_s

    def attach(self, world: VirtualWorld) -> None:
        if isinstance(self.policy, Oracle):
            self.policy.attach(world)

    def place(self, view: QueueView, observations: Sequence[Observation]) -> Mapping[str, int]:
        placed = self.policy.place(view, observations)
        ready = {campaign.id: campaign.callable for campaign in view.campaigns}
        assert all(0 <= calls <= ready[name] for name, calls in placed.items())
        assert sum(placed.values()) <= view.lines
        self.placed.append(dict(placed))
        return placed


@pytest.mark.parametrize("name", ALL_POLICIES)
def test_every_policy_keeps_to_lines_and_contacts_and_repeats_itself(name: str) -> None:
    scenario = load_scenario("two_campaigns")
    second = msgspec.structs.replace(scenario.campaigns[1], contacts=40)
    scenario = msgspec.structs.replace(
        scenario,
        hours=0.25,
        agents=8,
        trunk=msgspec.structs.replace(scenario.trunk, lines_per_agent=1.5, extra_lines=0),
        campaigns=(scenario.campaigns[0], second),
    )
    runs = []
    for _ in range(2):
        policy = CheckedPolicy(build_policy(name, ALL_POLICIES))
        day = simulate(scenario, policy, seed=1)
        runs.append((policy.placed, day.total))
        assert day.campaigns["2"].originates <= 40
        assert day.total.connected > 10
    assert runs[0] == runs[1]


@pytest.mark.parametrize("name", ALL_POLICIES)
def test_no_policy_places_calls_without_agents(name: str) -> None:
    scenario = Scenario(agents=0, hours=0.05)
    assert simulate(scenario, build_policy(name, ALL_POLICIES), seed=1).total.abandoned == 0


@pytest.mark.long
def test_policies_that_know_more_keep_agents_busier() -> None:
    scenario = Scenario(agents=10, hours=1)
    by_name = {
        name: [simulate(scenario, build_policy(name, ALL_POLICIES), seed) for seed in range(2)]
        for name in ("ticks", "fixed", "oracle_rates", "oracle_agents", "oracle_full")
    }
    occupancies = [sum(day.occupancy for day in days) for days in by_name.values()]
    assert occupancies == sorted(occupancies)
    assert sum(day.total.abandoned for day in by_name["oracle_full"]) == 0
    assert all(day.occupancy > 0.95 for day in by_name["oracle_full"])
    assert all(day.abandon_rate <= 0.035 for day in by_name["oracle_agents"])


def test_the_bound_that_knows_every_chance_learns_nothing() -> None:
    policy = OracleRates()
    place, answer_rates = policy.place, set[float]()

    def recording_place(view: QueueView, observations: Sequence[Observation]) -> Mapping[str, int]:
        placed = place(view, observations)
        answer_rates.update(decision.p for decision in policy.decisions.values())
        return placed

    policy.place = recording_place  # type: ignore[method-assign]
    simulate(Scenario(agents=20, hours=0.1), policy, seed=3)
    assert {round(p, 6) for p in answer_rates} == {0.3}
    assert policy.state.talk.hazards()[0] < 0.001, (
        "people do not hang up at once; machines do, but no agent talks to them"
    )


@pytest.mark.long
@pytest.mark.parametrize("name", ["lunch_doubles", "agents_leave", "trunk_busy"])
def test_a_shock_stays_within_the_cap_and_is_soon_over(name: str) -> None:
    scenario = msgspec.structs.replace(load_scenario(name), agents=20, hours=2.75)
    day = simulate(scenario, build_policy("adaptive"), seed=1)
    assert day.abandon_rate <= 0.03
    assert day.worst_half_hour <= 0.06
    before, after = (
        sum(minute.occupancy or 0 for minute in day.minutes[begin:end]) / (end - begin)
        for begin, end in ((90, 120), (130, 150))
    )
    assert after > before - 0.07, "ten minutes later; a smaller team is busy for less of its time"


# By name.


def test_a_policy_is_built_from_its_name_and_arguments() -> None:
    assert set(POLICIES) < set(ALL_POLICIES)
    assert isinstance(build_policy("fixed"), Fixed)
    ticks = build_policy("ticks:mode=power,ratio=3,interval_s=5")
    assert isinstance(ticks, Ticks)
    assert ticks.interval_s == 5.0
    assert placed(ticks, view(free=2)) == 6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fixd", "policy: got 'fixd', takes one of fixed, ticks"),
        ("fixed:rato=2", "policy fixed: no argument 'rato', takes mode, ratio"),
        ("fixed:ratio=two", "policy fixed: ratio: got 'two', takes a number"),
        ("fixed:mode=preview", "mode: got 'preview', takes one of progressive, predictive, power"),
        ("vicidial:method=soft", "method: got 'soft', takes one of hard_limit, average, tapered"),
    ],
)
def test_the_error_of_an_unknown_policy_names_the_known_ones(text: str, expected: str) -> None:
    with pytest.raises(SettingsError, match="takes") as error:
        build_policy(text)
    assert expected in str(error.value)


# Single policies.


def test_fixed_fills_up_to_its_level() -> None:
    assert placed(Fixed(), view(free=5, ringing=2)) == 3
    assert placed(Fixed(), view(free=5, ringing=7)) == 0
    assert placed(Fixed(), view(free=5, waiting=2)) == 3
    assert placed(Fixed("power", 1.5), view(free=5, ringing=2)) == 5
    assert placed(Fixed("predictive"), view(free=5, ratio=1.5)) == 7
    assert placed(Fixed("power", 3.0), view(free=5, lines=4)) == 4
    assert placed(Fixed("power", 3.0), view(free=5, ready=1)) == 1


def adapted(policy: Vicidial, *views: QueueView) -> float:
    """The dial level after views 15 seconds apart."""
    policy.place(view(now=0.0), [])
    for number, each in enumerate(views, 1):
        policy.place(msgspec.structs.replace(each, now=15.0 * number), [])
    return policy.level


def test_vicidial_raises_its_level_while_agents_wait_and_keeps_it_within_bounds() -> None:
    assert adapted(Vicidial(), view(free=5, talking=5)) == pytest.approx(1.5)
    assert adapted(Vicidial(), *[view(free=5, talking=5)] * 9) == 3.0
    assert adapted(Vicidial(start_level=2.0), view(free=1, waiting=6, talking=9)) == pytest.approx(1.0)
    assert placed(Vicidial(start_level=2.0), view(free=4, talking=6, ringing=5)) == 20 - 6 - 5


def test_vicidial_reacts_to_too_many_drops_by_its_method() -> None:
    over = view(free=5, talking=5, answered=100, abandoned=4)
    assert adapted(Vicidial("hard_limit", start_level=3.0), over) == 1.0
    assert adapted(Vicidial("average", start_level=2.0), over) == pytest.approx(1.8)
    # Tapered allows 4 % early in the shift and not towards its end.
    assert adapted(Vicidial("tapered", start_level=2.0), over) == pytest.approx(3.0)
    assert adapted(Vicidial("tapered", start_level=2.0, shift_hours=0.001), over) == pytest.approx(1.8)
