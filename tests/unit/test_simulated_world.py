"""The simulated call centre's world obeys its own arithmetic."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import msgspec
import pytest

from streamdialer.errors import SettingsError
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.config import WorldConfig
from streamdialer.simulation.world.engine import World
from streamdialer.simulation.world.entities import Call, SimEvent
from tests.support.simulated_world import ALL_ANSWER, OUTCOMES, small_world


def dial(world: World, contact: int, now: float = 0.0, key: str | None = None, timeout: float = 30.0) -> Call:
    return world.originate(now, 1, contact, f"+1555{contact:07d}", key or f"1:{contact}:1", timeout)


def run_until_idle(world: World, until: float = 1e9) -> list[SimEvent]:
    """All events up to `until`, one step at a time."""
    emitted: list[SimEvent] = []
    while (at := world.next_at()) is not None and at <= until:
        emitted += world.advance(at)
    return emitted


def dial_all(world: World, contacts: int) -> list[SimEvent]:
    """One call per free agent at every step until all contacts were called once."""
    emitted: list[SimEvent] = []
    to_call = list(range(1, contacts + 1))
    while to_call or world.next_at() is not None:
        unanswered = sum(call.answered_at is None for call in world.live.values())
        for _ in range(min(len(to_call), len(world.queues["sales"].free) + 1 - unanswered)):
            dial(world, to_call.pop(), world.now)
        emitted += world.advance(world.next_at() or world.now)
    return emitted


def test_the_same_seed_gives_the_same_history_and_another_seed_another() -> None:
    runs = []
    for seed in (7, 7, 8):
        world = build_world(agents=3, contacts=200, seed=seed)
        emitted = dial_all(world, 200)
        runs.append((emitted, world.audit(world.now)))
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_the_order_of_calls_changes_no_draw() -> None:
    plans = []
    for order in (range(1, 101), range(100, 0, -1)):
        world = small_world(agents=5, seed=3)
        for contact in order:
            dial(world, contact, now=world.now + 1)
        run_until_idle(world)
        again = [dial(world, contact, now=world.now) for contact in order]
        plans.append({call.contact_id: call.plan for call in again})
    assert plans[0] == plans[1]
    assert plans[0][1] != plans[0][2]


def test_the_second_call_to_a_contact_is_drawn_anew() -> None:
    world = small_world(seed=3)
    first = dial(world, 1)
    run_until_idle(world)
    assert dial(world, 1, now=world.now).plan != first.plan


def test_outcomes_have_the_configured_shares() -> None:
    world = small_world(agents=0)
    drawn = Counter(str(dial(world, contact).plan.outcome) for contact in range(4000))
    expected = {"human": 0.30, "machine": 0.10, "busy": 0.08, "failed": 0.04, "no_answer": 0.48}
    for outcome, share in expected.items():
        assert drawn[outcome] / 4000 == pytest.approx(share, abs=0.03)


def test_durations_have_the_configured_means() -> None:
    world = small_world(ALL_ANSWER, agents=0)
    plans = [dial(world, contact, timeout=1000).plan for contact in range(4000)]
    ringing = sum(plan.ring_end_s - plan.setup_s for plan in plans) / 4000
    assert ringing == pytest.approx(12, rel=0.05)
    assert sum(plan.talk_s for plan in plans) / 4000 == pytest.approx(120, rel=0.08)
    assert sum(plan.wrap_up_s for plan in plans) / 4000 == pytest.approx(20, rel=0.08)


def test_probabilities_above_one_are_refused() -> None:
    with pytest.raises(SettingsError):
        WorldConfig(human=0.9, machine=0.2)
    with pytest.raises(SettingsError):
        build_world(answer_rate=1.5)


def test_every_call_ends_in_exactly_one_way() -> None:
    world = build_world(agents=4, contacts=500, seed=1)
    emitted = dial_all(world, 500)
    audit = world.audit(world.now)
    total = audit.total
    assert total.originates == 500
    assert (
        total.originates
        == total.answered_by_person + total.machine + total.busy + total.failed + total.no_answer
    )
    assert total.answered_by_person == total.connected + total.abandoned
    assert total.connected == total.completed
    assert audit.live_calls == audit.unanswered == 0
    types = Counter(event.type for event in emitted)
    assert types["call_completed"] == total.completed + total.machine
    assert types["call_failed"] == total.busy + total.failed + total.no_answer
    assert types["call_abandoned"] == total.abandoned > 0
    assert types["call_completed"] + types["call_failed"] + types["call_abandoned"] == 500
    assert types["agent_busy"] == types["agent_wrapup"] == total.connected
    assert [event.at for event in emitted] == sorted(event.at for event in emitted)
    assert audit.double_dials == audit.dialed_after_final == audit.over_max_retries == 0
    found = {finding.rpartition(": ")[2] for finding in audit.findings}
    assert found == {"more unanswered calls than free agents"}, "one call more than agents was placed"


def test_the_counts_hold_at_every_moment() -> None:
    world = small_world(agents=2, seed=5)
    draw = random.Random(5)
    for contact in range(300):
        dial(world, contact, now=world.now + draw.expovariate(0.2))
        total, audit = world.audit(world.now).total, world.audit(world.now)
        ended = total.machine + total.busy + total.failed + total.no_answer
        assert total.originates == total.answered_by_person + ended + audit.unanswered
        assert audit.live_calls == len(world.live)


def test_agents_account_for_every_second() -> None:
    world = build_world(agents=4, contacts=300, seed=1)
    dial_all(world, 300)
    audit = world.audit(world.now)
    for agent_time in audit.agents.values():
        assert agent_time.logged_in_s == pytest.approx(world.now)
    assert sum(agent_time.talk_s for agent_time in audit.agents.values()) == pytest.approx(audit.total.talk_s)
    assert 0 < audit.talk_share < audit.occupancy <= 1


def as_data(emitted: list[SimEvent]) -> list[tuple[str, dict[str, Any]]]:
    return [(event.type, msgspec.to_builtins(event.data)) for event in emitted]


def test_the_agent_who_has_been_idle_longest_takes_the_call() -> None:
    world = small_world(ALL_ANSWER, agents=2)
    call = dial(world, 1)
    about = {"campaign_id": 1, "contact_id": 1, "call_id": call.id}
    emitted = run_until_idle(world)
    assert as_data(emitted) == [
        ("call_ringing", about),
        ("call_answered", {**about, "agent_id": "a0", "queue": "sales", "answered_by": "human"}),
        ("agent_busy", {"agent_id": "a0", "queue": "sales", "campaign_id": 1}),
        ("call_completed", {**about, "duration": pytest.approx(call.plan.talk_s, abs=0.001)}),
        ("agent_wrapup", {"agent_id": "a0", "queue": "sales"}),
        ("agent_available", {"agent_id": "a0", "queue": "sales"}),
    ]
    dial(world, 2, now=world.now)
    assert ("agent_busy", {"agent_id": "a1", "queue": "sales", "campaign_id": 1}) in as_data(
        run_until_idle(world)
    )


@pytest.mark.parametrize(("outcome", "cause"), [("busy", 17), ("failed", 27), ("no_answer", 19)])
def test_an_unanswered_call_fails_with_its_cause(outcome: str, cause: int) -> None:
    world = small_world(OUTCOMES[outcome])
    call = dial(world, 1, timeout=20)
    emitted = run_until_idle(world)
    about = {"campaign_id": 1, "contact_id": 1, "call_id": call.id}
    rings: list[tuple[str, dict[str, Any]]] = [("call_ringing", about)] if outcome == "no_answer" else []
    assert as_data(emitted) == [*rings, ("call_failed", {**about, "disposition": outcome, "cause": cause})]
    assert emitted[-1].at == 20 if outcome == "no_answer" else 0.5 <= emitted[-1].at <= 1.5


def test_a_machine_needs_no_agent() -> None:
    world = small_world(OUTCOMES["machine"], agents=1)
    call = dial(world, 1)
    emitted = run_until_idle(world)
    about = {"campaign_id": 1, "contact_id": 1, "call_id": call.id}
    assert as_data(emitted)[1:] == [
        ("call_answered", {**about, "answered_by": "machine"}),
        ("call_completed", {**about, "duration": pytest.approx(6, abs=1.01), "disposition": "machine"}),
    ]
    assert world.agents["a0"].state == "available"


def test_a_person_hangs_up_when_their_patience_ends() -> None:
    world = small_world(ALL_ANSWER, agents=0)
    call = dial(world, 1)
    emitted = run_until_idle(world)
    assert [event.type for event in emitted] == ["call_ringing", "call_answered", "call_abandoned"]
    assert emitted[1].data.agent_id is None
    assert call.answered_at is not None
    assert emitted[2].at == pytest.approx(call.answered_at + 2)
    assert world.audit(world.now).total.abandon_rate == 1


def test_an_agent_who_comes_free_in_time_takes_the_waiting_person() -> None:
    config = msgspec.structs.replace(ALL_ANSWER, patience_s=10_000.0)
    world = small_world(config, agents=1)
    dial(world, 1)
    second = dial(world, 2)
    emitted = run_until_idle(world)
    types = [event.type for event in emitted]
    assert types.count("agent_busy") == 2
    assert types.count("agent_available") == 1  # between the two calls the agent was never free
    assert "call_abandoned" not in types
    assert world.audit(world.now).total.completed == 2
    assert second.disposition == "completed"


def test_an_agent_who_logs_out_finishes_the_call_first() -> None:
    world = small_world(ALL_ANSWER, agents=2)
    dial(world, 1)
    emitted = run_until_idle(world, until=40)
    world.log_out(40, "a0")
    world.log_out(40, "a1")
    assert (world.agents["a0"].state, world.agents["a1"].state) == ("busy", "offline")
    emitted += run_until_idle(world)
    assert [event.type for event in emitted][-2:] == ["agent_wrapup", "agent_offline"]
    world.log_in(world.now + 100, "a0")
    assert as_data(world.advance(world.now)) == [("agent_available", {"agent_id": "a0", "queue": "sales"})]
    assert world.audit(world.now).agents["a1"].logged_in_s == pytest.approx(40)


def test_calling_a_ringing_phone_again_is_a_double_dial() -> None:
    world = small_world(OUTCOMES["no_answer"])
    dial(world, 1, now=0, key="1:1:1")
    dial(world, 1, now=5, key="1:1:2")
    audit = world.audit(5)
    assert audit.double_dials == 1
    assert "live call" in audit.findings[0]
    run_until_idle(world)
    dial(world, 1, now=world.now, key="1:1:3")
    assert world.audit(world.now).double_dials == 1


def test_using_a_key_again_is_a_double_dial_even_after_the_call() -> None:
    world = small_world(OUTCOMES["no_answer"])
    dial(world, 1, key="1:1:1")
    run_until_idle(world)
    dial(world, 1, now=world.now, key="1:1:1")
    audit = world.audit(world.now)
    assert audit.double_dials == 1
    assert audit.repeated_keys == {"1:1:1": 2}


@pytest.mark.parametrize(("outcome", "wrong"), [("human", 1), ("machine", 1), ("busy", 0), ("no_answer", 0)])
def test_a_call_after_a_final_result_is_found(outcome: str, wrong: int) -> None:
    world = small_world(OUTCOMES[outcome])
    dial(world, 1, key="1:1:1")
    run_until_idle(world)
    dial(world, 1, now=world.now, key="1:1:2")
    assert world.audit(world.now).dialed_after_final == wrong


def test_more_calls_than_max_retries_are_found_once_per_contact() -> None:
    world = small_world(OUTCOMES["busy"])
    for number in range(1, 6):
        dial(world, 1, now=world.now, key=f"1:1:{number}")
        run_until_idle(world)
    assert world.audit(world.now).over_max_retries == 1


def test_an_update_that_takes_a_finished_contact_back_is_found_until_another_one_repairs_it() -> None:
    world = small_world(OUTCOMES["machine"])
    auditor = world.auditor
    dial(world, 1)
    run_until_idle(world)
    auditor.status_written(1, "dialing", "completed", 50)
    auditor.status_written(1, "completed", "answered", 60)
    assert (auditor.set_back, list(auditor.set_back_for_a_moment)) == ({1: 60}, [])
    auditor.status_written(1, "answered", "completed", 70)
    assert (auditor.set_back, list(auditor.set_back_for_a_moment)) == ({}, [60])
    dial(world, 1, now=80)
    auditor.status_written(1, "completed", "dialing", 90)
    assert auditor.set_back == {}, "a new call may replace the status"
    assert sum("an update sets it to" in finding for finding in world.audit(90).findings) == 1


def test_a_call_to_a_contact_that_the_backend_has_ended_is_found_when_it_comes_too_late() -> None:
    world = small_world(OUTCOMES["no_answer"])
    auditor = world.auditor
    auditor.may_call_ended_for_s = 60
    auditor.end_contact(1, 100)
    dial(world, 1, now=150)
    run_until_idle(world)
    assert not auditor.calls_to_ended
    dial(world, 1, now=world.now + 200, key="1:1:2")
    assert len(auditor.calls_to_ended) == 1
    auditor.status_written(1, "do_not_call", "pending", 500)
    assert list(auditor.ends_overwritten) == [500]


def test_the_most_calls_at_one_time_are_recorded() -> None:
    world = small_world(ALL_ANSWER, agents=1)
    for contact in range(5):
        dial(world, contact)
    run_until_idle(world)
    audit = world.audit(world.now)
    assert audit.max_live_calls == {1: 5}
    assert audit.max_unanswered == {"sales": 5}


def test_reaction_time_is_from_a_freed_agent_to_the_next_originate() -> None:
    world = small_world(ALL_ANSWER, agents=1)
    dial(world, 1, now=50)  # the agent was free from the start: not a reaction
    freed_at = run_until_idle(world)[-1].at
    dial(world, 2, now=freed_at + 3)
    dial(world, 3, now=freed_at + 4)
    assert world.audit(freed_at + 4).reaction_s == [pytest.approx(3)]


def test_an_agent_who_takes_a_ringing_call_counts_as_no_reaction() -> None:
    twin = small_world(ALL_ANSWER, agents=1)
    dial(twin, 1)
    freed_at = run_until_idle(twin)[-1].at
    world = small_world(ALL_ANSWER, agents=1)
    dial(world, 1)
    dial(world, 2, now=freed_at - 1)
    emitted = run_until_idle(world, until=freed_at + 40)
    assert [event.type for event in emitted].count("agent_busy") == 2
    dial(world, 3, now=world.now)
    assert world.audit(world.now).reaction_s == []


def test_a_world_is_built_with_the_given_numbers() -> None:
    world = build_world(
        agents=5, contacts=10, campaigns=2, queue_per_campaign=True, speed=60, answer_rate=0.9, mode="power"
    )
    assert [campaign.queue_name for campaign in world.campaigns.values()] == ["sales-1", "sales-2"]
    assert world.campaigns[1].retry_delay == 5
    assert world.campaigns[2].dial_mode == "power"
    assert [len(queue.agents) for queue in world.queues.values()] == [3, 2]
    assert len(world.contacts_of(1)) == len(world.contacts_of(2)) == 5
    assert len({contact.phone_number for contact in world.contacts.values()}) == 10
    assert {contact.priority for contact in world.contacts.values()} <= set(range(1, 11))
    config = world.config
    assert config.human + config.machine + config.busy + config.failed == pytest.approx(1)
    assert list(build_world(campaigns=3).queues) == ["sales"]


def test_calls_of_an_agentless_campaign_need_no_agent_and_those_of_its_queue_still_do() -> None:
    world = build_world(agents=1, contacts=4, campaigns=2, answer_rate=1)
    world.campaigns[2].dial_mode = "agentless"
    assert world.campaigns[1].queue_name == world.campaigns[2].queue_name
    for contact in (1, 2, 4):
        world.originate(0, world.contacts[contact].campaign_id, contact, f"+{contact}")
    assert world.audit(0).calls_without_agent == 0
    world.originate(0, 1, 3, "+3")
    assert world.audit(0).calls_without_agent == 1, (
        "the second call of the progressive campaign for one agent"
    )
    run_until_idle(world)
    counts = world.audit(1e9).campaigns[2]
    assert counts.completed == counts.answered_by_person == 2


def test_what_was_recorded_longest_ago_is_forgotten_and_a_ringing_phone_is_still_known() -> None:
    world = small_world(agents=5, seed=3)
    for contact in range(1, 11):
        dial(world, contact)
    world.auditor.forget_all_but(3)
    assert list(world.auditor.per_contact) == [8, 9, 10]
    assert len(world.auditor.per_key) == 3
    world.call_ids = "later"
    dial(world, 1)
    assert world.auditor.double_dials == 1
    run_until_idle(world)
    assert not world.live
