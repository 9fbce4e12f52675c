"""The simulator in virtual time: it agrees with queueing theory, loses no call, and repeats itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random

import msgspec
import pytest

from streamdialer.errors import SettingsError
from streamdialer.pacing.policies import build_policy
from streamdialer.pacing.policies.fixed import Fixed
from streamdialer.pacing.policies.ticks import Ticks
from streamdialer.pacing.types import Observation, QueueView
from streamdialer.simulation.study.compare import Estimate, compare, estimate, student_t
from streamdialer.simulation.study.results import Result
from streamdialer.simulation.study.run import VirtualWorld, simulate
from streamdialer.simulation.study.scenario import (
    Absence,
    AgentWork,
    Breaks,
    Calls,
    CampaignPart,
    Scenario,
    Shift,
    Trunk,
)
from streamdialer.simulation.study.scenarios import load_scenario, read_scenario, shipped_scenarios
from streamdialer.simulation.world.entities import Call, CallOutcome, Id
from streamdialer.simulation.world.outcomes import RandomDraws, interpolate

NO_LIMIT = Trunk(extra_lines=1_000_000)
AT_ONCE = Calls(
    human=1.0, machine=0, busy=0, failed=0, setup_s=(0, 0), answer_mean_s=5, ring_out_s=1e6, patience_s=1e6
)


class Never:
    """Places nothing: the test places the calls itself."""

    interval_s: float | None = 3600.0

    def place(self, view: QueueView, seen: Sequence[Observation]) -> Mapping[str, int]:
        return {}


class ExponentialWork:
    """Draws whose work with an agent is exponential, as Erlang assumed."""

    def __init__(self, mean_s: float, seed: int) -> None:
        self._mean_s = mean_s
        self._stream = Random(f"exponential:{seed}")

    def take(self, campaign: Id, contact: Id, ordinal: int) -> RandomDraws:
        work_s = self._stream.expovariate(1 / self._mean_s)
        return RandomDraws(
            outcome=0.0, setup_s=0, person_s=1.0, machine_s=0, hold_s=0, talk_s=work_s, wrap_up_s=0.0
        )


def poisson_day(
    scenario: Scenario, per_s: float, seed: int, prepare: Callable[[VirtualWorld], None] | None = None
) -> Result:
    """A day of calls placed at random instants, `per_s` on average, whatever the agents do."""
    world = VirtualWorld(scenario, Never(), seed)
    if prepare is not None:
        prepare(world)
    stream = Random(f"arrivals:{seed}")

    def arrive(_: object) -> None:
        world.place(1)
        world.schedule(world.now + stream.expovariate(per_s), arrive, None)

    world.schedule(stream.expovariate(per_s), arrive, None)
    return world.run()


def assert_agrees(measured: Estimate, theory: float) -> None:
    """Within narrow 99 % limits: with 95 % limits, one in twenty of these claims would fail by chance."""
    assert measured.half_width is not None
    within = measured.half_width * 3.5 / 2.36  # Student's t for 7 degrees of freedom: 99 % over 95 %
    assert within < 0.2 * theory
    assert abs(measured.mean - theory) <= within


# Queueing theory.


def test_calls_beyond_the_lines_are_blocked_as_erlang_b_says() -> None:
    lines, offered = 5, 4.0
    scenario = Scenario(
        hours=8,
        agents=1,
        trunk=Trunk(lines_per_agent=0, extra_lines=lines),
        calls=Calls(
            human=0,
            machine=1,
            busy=0,
            failed=0,
            setup_s=(0, 0),
            machine_answer_s=(0, 0),
            voicemail_hold_s=(10, 70),
        ),
    )
    blocked = 1.0
    for line in range(1, lines + 1):
        blocked = offered * blocked / (line + offered * blocked)
    days = [poisson_day(scenario, offered / 40, seed) for seed in range(8)]
    assert_agrees(estimate([day.total.busy / day.total.originates for day in days]), blocked)


def test_patient_people_wait_as_long_as_erlang_c_says() -> None:
    agents, offered, mean_s = 3, 1.8, 20.0
    scenario = Scenario(hours=8, agents=agents, trunk=NO_LIMIT, calls=AT_ONCE)

    def prepare(world: VirtualWorld) -> None:
        world.draws = ExponentialWork(mean_s, world.seed)

    days = [poisson_day(scenario, offered / mean_s, seed, prepare) for seed in range(8)]
    full = offered**agents / math.factorial(agents) * agents / (agents - offered)
    waits = full / (sum(offered**k / math.factorial(k) for k in range(agents)) + full)
    assert_agrees(estimate([day.waited / day.total.connected for day in days]), waits)
    assert_agrees(estimate([day.mean_wait_s for day in days]), waits * mean_s / (agents - offered))
    assert all(day.total.abandoned == 0 for day in days)


def test_one_agent_with_log_normal_work_makes_people_wait_as_pollaczek_and_khinchine_say() -> None:
    work = AgentWork(talk_mean_s=30, talk_cv=0.5, wrap_up_mean_s=0, wrap_up_cv=0)
    scenario = Scenario(hours=32, agents=1, trunk=NO_LIMIT, calls=AT_ONCE, work=work)
    per_s = 0.4 / 30
    days = [poisson_day(scenario, per_s, seed) for seed in range(8)]
    assert_agrees(estimate([day.mean_wait_s for day in days]), per_s * 30**2 * (1 + 0.5**2) / (2 * (1 - 0.4)))
    assert_agrees(estimate([day.occupancy for day in days]), 0.4)


def test_as_many_calls_ring_as_an_m_g_infinity_queue_holds() -> None:
    calls = Calls(human=0, machine=0.5, busy=0, failed=0, setup_s=(1, 1), machine_answer_s=(6, 10))
    scenario = Scenario(hours=1, agents=1, trunk=NO_LIMIT, calls=calls)
    days = [poisson_day(scenario, 0.5, seed) for seed in range(8)]
    assert_agrees(estimate([day.mean_ringing for day in days]), 0.5 * (0.5 * 9 + 0.5 * 26))


# Every call is counted once.


@pytest.mark.parametrize("name", shipped_scenarios())
def test_every_call_of_every_scenario_is_accounted_for(name: str) -> None:
    scenario = msgspec.structs.replace(load_scenario(name), hours=0.5)
    day = simulate(scenario, Fixed("power", 2.0), seed=1)
    total = day.total
    ended_unanswered = total.busy + total.failed + total.no_answer
    assert (
        total.originates == total.answered_by_person + total.machine + ended_unanswered + day.unanswered > 50
    )
    assert total.answered_by_person == total.connected + total.abandoned + day.waiting
    assert day.live >= day.unanswered + day.waiting + total.connected - total.completed
    assert sum(counts.originates for counts in day.campaigns.values()) == total.originates
    assert sum(minute.answered_by_person for minute in day.minutes) == total.answered_by_person
    assert len(day.minutes) == 30
    assert 0 < day.talk_share < day.occupancy <= 1


def test_calls_that_are_taken_back_are_accounted_for_and_called_again() -> None:
    scenario = Scenario(agents=10, hours=0.5, campaigns=(CampaignPart(contacts=400),))
    world = VirtualWorld(scenario, build_policy("adaptive:min_ring_s=10"), seed=1)
    day = world.run()
    total = day.total
    ended_unanswered = total.busy + total.failed + total.no_answer + total.cancelled
    assert total.cancelled > 0
    assert total.originates == total.answered_by_person + total.machine + ended_unanswered + day.unanswered
    assert world.dialer.campaigns[1].contacts == 400 - total.originates + total.cancelled


def test_the_same_seed_gives_the_same_day_and_another_seed_another() -> None:
    scenario = Scenario(agents=5, hours=0.5)
    days = [simulate(scenario, Fixed("power", 2.0), seed) for seed in (3, 3, 4)]
    assert days[0] == days[1]
    assert days[0].total != days[2].total


class RecordingWorld(VirtualWorld):
    """Keeps the plan of every call, by campaign, in the order they were placed."""

    def place(self, campaign: Id) -> Call:
        if not hasattr(self, "plans"):
            self.plans: dict[Id, list[CallOutcome]] = {}
        call = super().place(campaign)
        self.plans.setdefault(campaign, []).append(call.plan)
        return call


def test_every_policy_calls_the_same_people() -> None:
    scenario = load_scenario("two_campaigns")
    scenario = msgspec.structs.replace(scenario, hours=0.5, trunk=NO_LIMIT)
    worlds = [RecordingWorld(scenario, policy, seed=2) for policy in (Fixed(), Ticks("power", 3.0))]
    for world in worlds:
        world.run()
    for campaign in (1, 2):
        fixed, ticks = (world.plans[campaign] for world in worlds)
        assert len(fixed) != len(ticks)
        both = min(len(fixed), len(ticks))
        assert fixed[:both] == ticks[:both]
        assert both > 30


# Agents and answers.


def test_one_call_per_free_agent_abandons_no_call() -> None:
    for seed in range(6):
        day = simulate(Scenario(agents=8, hours=1), Fixed(), seed)
        assert day.total.abandoned == 0
        assert day.waited == 0


@pytest.mark.parametrize(
    ("mode", "occupancy", "abandon_rate"), [("progressive", 0.66, 0.0), ("power", 0.86, 0.025)]
)
def test_with_the_old_worker_agents_wait_for_ticks(mode: str, occupancy: float, abandon_rate: float) -> None:
    days = [simulate(Scenario(agents=20, hours=2), Ticks(mode, 3.0), seed) for seed in range(3)]
    assert estimate([day.occupancy for day in days]).mean == pytest.approx(occupancy, abs=0.02)
    assert estimate([day.abandon_rate for day in days]).mean == pytest.approx(abandon_rate, abs=0.01)


def agents_at(scenario: Scenario, *minutes: int) -> list[int]:
    """Agents logged in at the end of those minutes."""
    day = simulate(scenario, Fixed(), seed=1).minutes
    return [day[minute - 1].agents for minute in minutes]


def test_agents_of_a_shift_come_and_leave_after_their_last_call() -> None:
    scenario = Scenario(agents=2, hours=1, shifts=(Shift(agents=3, from_min=10, until_min=20),))
    assert agents_at(scenario, 9, 12, 60) == [2, 5, 2]


def test_agents_take_breaks_in_turn() -> None:
    scenario = Scenario(agents=4, hours=1, breaks=Breaks(every_min=40, length_min=10), calls=Calls(human=0))
    assert agents_at(scenario, 9, 15, 21, 35, 45, 55) == [4, 3, 3, 3, 3, 3]


def test_agents_who_leave_abruptly_cut_their_calls_off() -> None:
    scenario = Scenario(agents=10, hours=1, absences=(Absence(at_min=20.5, share=0.4, length_min=10),))
    assert agents_at(scenario, 20, 21, 32) == [10, 6, 10]
    day = simulate(scenario, Fixed(), seed=1)
    assert day.total.connected - day.total.completed <= 10
    assert day.occupancy <= 1


def test_agents_who_do_not_leave_abruptly_finish_first() -> None:
    scenario = Scenario(agents=50, hours=1, absences=(Absence(at_min=20.5, share=1.0, abrupt=False),))
    early, late = agents_at(scenario, 21, 60)
    assert 0 < early < 50
    assert late <= 1


def test_the_answer_rate_steps_and_drifts() -> None:
    points = ((60.0, 1.0), (60.0, 2.0), (120.0, 4.0))
    assert [interpolate(points, at) for at in (0, 59, 60, 90, 120, 999)] == [1, 1, 2, 3, 4, 4]
    calls = Calls(human=0.2, answer_curve=((30, 1.0), (30, 3.0)), patience_s=1e6)
    minutes = simulate(
        Scenario(agents=1, hours=1, calls=calls, trunk=NO_LIMIT), EverySecond(), seed=1
    ).minutes
    before, after = (
        sum(minute.answered_by_person for minute in half) / 1800 for half in (minutes[:30], minutes[30:])
    )
    assert before == pytest.approx(0.2, abs=0.03)
    assert after == pytest.approx(0.6, abs=0.03)


class EverySecond:
    """One call per second."""

    interval_s: float | None = 1.0

    def place(self, view: QueueView, seen: Sequence[Observation]) -> Mapping[str, int]:
        return {each.id: 1 for each in view.campaigns}


def test_while_the_trunk_is_busy_every_call_is_busy() -> None:
    calls = Calls(human=1, machine=0, busy=0, failed=0)
    scenario = Scenario(hours=1, calls=calls, trunk=Trunk(busy_min=((10, 20),)))
    day = simulate(scenario, EverySecond(), seed=1)
    assert sum(minute.answered_by_person for minute in day.minutes[11:20]) == 0
    assert day.total.busy >= 600


def test_a_list_of_contacts_ends_and_a_cap_of_live_calls_holds() -> None:
    campaign = CampaignPart(contacts=100, max_concurrent_calls=3)
    day = simulate(Scenario(hours=2, campaigns=(campaign,)), Fixed(), seed=1)
    assert day.total.originates == 100
    assert max(minute.ringing for minute in day.minutes) <= 3


def test_campaigns_share_the_agents_by_weight() -> None:
    campaigns = (CampaignPart(weight=3), CampaignPart(weight=1))
    day = simulate(Scenario(agents=30, hours=2, campaigns=campaigns), Fixed(), seed=1)
    share = day.campaigns["1"].originates / day.total.originates
    assert share == pytest.approx(0.75, abs=0.08)


# What the dialer knows.


class RecordingPolicy:
    """Keeps all views and observations; places one call at a time."""

    interval_s: float | None = None

    def __init__(self) -> None:
        self.views: list[QueueView] = []
        self.observations: list[Observation] = []

    def place(self, view: QueueView, observations: Sequence[Observation]) -> Mapping[str, int]:
        self.views.append(view)
        self.observations += observations
        return {"1": 1} if view.free and not view.campaigns[0].ringing else {}


def test_a_policy_decides_at_most_four_times_a_second_and_at_least_every_second() -> None:
    policy = RecordingPolicy()
    simulate(Scenario(agents=5, hours=0.5), policy, seed=1)
    pauses = [after.now - before.now for before, after in zip(policy.views, policy.views[1:], strict=False)]
    assert min(pauses) >= 0.25 - 1e-9
    assert max(pauses) <= 1.0 + 1e-9


def test_every_agent_is_in_exactly_one_state_of_every_view() -> None:
    policy = RecordingPolicy()
    day = simulate(Scenario(agents=5, hours=1), policy, seed=1)
    for view in policy.views:
        assert view.free + len(view.talking) + len(view.wrapping) == 5
        assert view.waiting == 0
        assert all(since <= view.now for since in [*view.talking, *view.wrapping])
        assert list(view.campaigns[0].ringing) == sorted(view.campaigns[0].ringing)
    kinds = [observation.what for observation in policy.observations]
    assert abs(kinds.count("human") - day.total.answered_by_person) <= 1
    assert abs(kinds.count("no_answer") - day.total.no_answer) <= 1
    assert kinds.count("talk") == day.total.completed


def test_late_events_are_known_late() -> None:
    early, late = RecordingPolicy(), RecordingPolicy()
    for policy, delay_s in ((early, 0.0), (late, 30.0)):
        simulate(Scenario(agents=1, hours=0.2, event_delay_s=delay_s), policy, seed=1)
    first_talk = [next(view.now for view in policy.views if view.talking) for policy in (early, late)]
    assert 0 < first_talk[0] < first_talk[1]
    assert late.observations[0].at < first_talk[1]
    # Progressive dialing waits for each agent's event, and so does the agent; no call is abandoned by that.
    days = [simulate(Scenario(hours=1, event_delay_s=delay_s), Fixed(), seed=1) for delay_s in (0.0, 10.0)]
    assert days[1].occupancy < days[0].occupancy - 0.03
    assert days[1].total.abandoned == 0


# Scenario files, estimates.


def test_the_shipped_base_says_what_the_defaults_are() -> None:
    base = load_scenario("base")
    assert base == Scenario(title=base.title)
    assert len(shipped_scenarios()) >= 12
    assert all(shipped_scenarios().values())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("agents = 'x'", "agents: takes a whole number, got str"),
        ("hours = 0", "hours: takes a number > 0.0"),
        ("[calls]\nhuman = 1.5", "calls.human: takes a number <= 1.0"),
        ("[calls]\nhumann = 1", "calls.humann: there is no such field; calls takes human, machine"),
        ("[calls]\nhuman = 0.9\nmachine = 0.9", "outcomes add up to 1.9; at most 1"),
        ("[calls]\nsetup_s = [2, 1]", "calls.setup_s: got [2, 1], takes the smaller number first"),
        ("[calls]\nanswer_curve = [[2, 1], [1, 1]]", "calls.answer_curve: minutes must not go backwards"),
        ("[trunk]\nbusy_min = [[2, 1]]", "trunk.busy_min: got [2, 1], takes [from, until]"),
        ("[[shifts]]\nagents = 1", "shifts[0]: Object missing required field from_min"),
        ("[[shifts]]\nagents = 1\nfrom_min = 5\nuntil_min = 2", "from_min 5 is not before until_min 2"),
        ("[[shifts]]\nagents = 1\nfrm = 5", "shifts[0].frm: there is no such field; shifts[0] takes agents"),
        ("[breaks]\nevery_min = 5\nlength_min = 5", "breaks.length_min: got 5, takes less than"),
        ("agents = 0", "agents: got 0 and no shifts"),
        ("agents = ", "not valid TOML"),
    ],
)
def test_the_error_of_a_bad_scenario_is_one_line(text: str, expected: str) -> None:
    with pytest.raises(SettingsError) as error:
        read_scenario(text, "mine.toml")
    message = str(error.value)
    assert message.startswith("scenario mine.toml: ")
    assert expected in message
    assert "\n" not in message


def test_confidence_intervals_are_students() -> None:
    result = estimate([1.0, 2.0, 3.0])
    assert result.mean == 2.0
    assert result.half_width == pytest.approx(4.303 / math.sqrt(3))
    assert estimate([1.0]).half_width is None
    assert student_t(39) == pytest.approx(2.0227, abs=0.002)
    assert student_t(1000) == pytest.approx(1.9623, abs=0.002)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_comparison_gives_every_policy_the_same_days(processes: int) -> None:
    done = []
    results = compare(
        Scenario(agents=3, hours=0.2),
        ["fixed", "ticks:interval_s=5"],
        [1, 2],
        processes=processes,
        on_day_done=lambda: done.append(1),
    )
    assert len(done) == 4
    assert [result.policy for result in results] == ["fixed", "ticks:interval_s=5"]
    assert [day.seed for day in results[1].days] == [1, 2]
    assert results[0].within_cap == 1.0
    assert results[0].days[0] == simulate(Scenario(agents=3, hours=0.2), Fixed(), 1)
