"""Parts of the chaos run: its schedule, its event faults, and its verdicts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

import anyio
import msgspec
import pytest

from bench.chaos.event_faults import (
    MAX_DELAY_S,
    EventFault,
    EventFaults,
    delay,
    drop_call_ids,
    duplicate,
    only_ends,
    reorder,
)
from bench.chaos.faults import KINDS
from bench.chaos.schedule import plan
from bench.chaos.verdicts import Counter, Figures, InjectedFault, evaluate
from streamdialer.simulation.world.entities import EventData, SimEvent
from tests.support.eventually import eventually


def test_the_schedule_is_a_function_of_the_seed() -> None:
    assert plan(7, 600, KINDS) == plan(7, 600, KINDS)
    assert [fault.kind for fault in plan(7, 600, KINDS)] != [fault.kind for fault in plan(8, 600, KINDS)]


def test_a_long_schedule_has_every_kind_with_quiet_between_and_a_short_one_each_once() -> None:
    long, short = plan(1, 600, KINDS), plan(1, 25, KINDS)
    assert {fault.kind for fault in long} == set(KINDS)
    assert min(later.at_s - fault.at_s for fault, later in pairwise(long)) >= 8
    assert sorted(fault.kind for fault in short) == sorted(KINDS)
    assert short[-1].at_s < 30


async def written_with(build: Callable[[Random], EventFault]) -> list[SimEvent]:
    written: list[SimEvent] = []
    faults = EventFaults()
    faults.apply(build(Random(3)))
    events = [
        SimEvent(float(at), "call_ringing", EventData(campaign_id=1, contact_id=at, call_id=f"call-{at}"))
        for at in range(20)
    ]
    faults(events, written.extend)
    await eventually(lambda: not faults.held, within_s=MAX_DELAY_S + 1)
    return written


async def test_events_with_a_fault_are_never_lost() -> None:
    repeated = await written_with(duplicate)
    assert len(repeated) >= 40
    shuffled = await written_with(reorder)
    assert [event.data.contact_id for event in shuffled] != list(range(20))
    assert sorted(event.at for event in shuffled) == list(range(20))
    without_ids = await written_with(drop_call_ids)
    assert any(event.data.call_id is None for event in without_ids)
    assert [event.data.contact_id for event in without_ids] == list(range(20))


@pytest.mark.parametrize("build", [delay, lambda _: only_ends(0.3)])
async def test_a_source_that_is_late_writes_nothing_out_of_order_also_when_it_has_caught_up(
    build: Callable[[Random], EventFault],
) -> None:
    written: list[SimEvent] = []
    faults = EventFaults()
    events = [SimEvent(float(at), "agent_busy", EventData(agent_id=at)) for at in range(30)]
    faults.apply(build(Random(3)))
    faults(events[:20], written.extend)
    faults.apply(None)
    faults(events[20:25], written.extend)
    await anyio.sleep(0.05)
    assert written == [], "later events wait for those that are late"
    await eventually(lambda: not faults.held, within_s=MAX_DELAY_S + 1)
    faults(events[25:], written.extend)
    assert written == events


def good(**changes: Any) -> Figures:
    figures = Figures(
        seed=1,
        without=None,
        ended="time over",
        seconds=60.0,
        contacts=10,
        contacts_final=10,
        faults={"replica_killed": 1},
        timeline=[],
        forgot="nothing",
        calls_placed=20,
        calls_after_healing=10,
        longest_pause_s=1.0,
        double_calls=0,
        keys_repeated=0,
        dialed_after_final=0,
        over_max_retries=0,
        refused_called_again=0,
        refused_called_by_another_list=0,
        updates_refused=0,
        ended_by_backend=9,
        calls_to_ended=0,
        ends_overwritten_s=[],
        set_back_s=[],
        set_back_for_a_moment_s=[],
        progressive_calls=5,
        without_agent_s=[],
        abandoned_s=[],
        contacts_lost=[],
        retries_forgotten=[],
        counters=[Counter("1", "total_calls", 21, 20, unplaced=1)],
        dead_letters={},
        dead_letters_unexplained=[],
        malformed_injected={},
        uncertain_left=1,
        unresolved=[],
        not_drained=[],
        stalls=0,
        restarts=0,
        problems=[],
        findings=[],
    )
    return msgspec.structs.replace(figures, **changes)


def broken(figures: Figures) -> list[str]:
    return [verdict.promise for verdict in evaluate(figures) if not verdict.holds]


def test_a_good_run_holds_and_uncertain_attempts_are_not_lost_contacts() -> None:
    assert broken(good()) == []


@pytest.mark.parametrize(
    ("changes", "promise"),
    [
        ({"double_calls": 1}, "double calls"),
        ({"dialed_after_final": 1}, "dialed after final"),
        ({"over_max_retries": 1}, "over max retries"),
        ({"refused_called_again": 1}, "refused updates repeat no call"),
        ({"set_back_s": [9.0]}, "no finished contact set back"),
        ({"set_back_for_a_moment_s": [9.0]}, "no finished contact set back"),
        ({"without_agent_s": [9.0]}, "an agent for each progressive call"),
        ({"abandoned_s": [9.0]}, "no progressive call abandoned"),
        ({"contacts_lost": ["contact 1"]}, "contacts lost"),
        ({"retries_forgotten": ["contact 1"]}, "retries forgotten"),
        ({"counters": [Counter("1", "busy", 3, 4, 0)]}, "counters without drift"),
        ({"counters": [Counter("1", "answered_calls", 1, 4, 0, -2)]}, "counters without drift"),
        ({"counters": [Counter("1", "answered_calls", 5, 4, 0, -2)]}, "counters without drift"),
        ({"counters": [Counter("1", "failed", 4, 4, 0, 1)]}, "counters without drift"),
        ({"counters": [Counter("1", "failed", 6, 4, 0, 0, 1)]}, "counters without drift"),
        ({"counters": [Counter("1", "failed", 3, 4, 0, 0, 1)]}, "counters without drift"),
        ({"dead_letters_unexplained": ["never_finished"]}, "dead letters explained"),
        ({"unresolved": ["contact 1"]}, "held calls resolved"),
        ({"not_drained": ["1 entries in events"]}, "drained"),
        ({"problems": ["replica-1 ended by itself with 1"]}, "processes well"),
        ({"calls_after_healing": 0}, "dialing went on"),
    ],
)
def test_each_promise_can_be_broken(changes: dict[str, Any], promise: str) -> None:
    assert broken(good(**changes)) == [promise]


def test_after_a_data_loss_counters_may_be_too_low_but_never_too_high() -> None:
    too_little = [Counter("1", "busy", 3, 4, 0)]
    too_much = [Counter("1", "busy", 5, 4, 0)]
    still_up = [Counter("1", "active_calls", 1, 0, 0)]
    assert broken(good(forgot="everything", counters=too_little, dialed_after_final=2)) == []
    assert broken(good(forgot="a second", counters=too_little, dialed_after_final=2)) == [
        "dialed after final"
    ]
    assert broken(good(forgot="everything", counters=too_much)) == ["counters without drift"]
    assert broken(good(forgot="everything", counters=still_up)) == ["counters without drift"]


def test_a_call_without_an_agent_is_explained_only_while_news_of_agents_comes_in_another_order() -> None:
    def with_fault(kind: str, until_s: float) -> Figures:
        return good(without_agent_s=[9.0], timeline=[InjectedFault(3.0, until_s, kind, "")])

    assert broken(with_fault("events_duplicated", 5.0)) == []
    assert broken(with_fault("events_duplicated", 3.5)) == ["an agent for each progressive call"]
    assert broken(with_fault("replica_killed", 5.0)) == ["an agent for each progressive call"]


def test_a_contact_that_the_backend_ended_stays_ended() -> None:
    promise = ["contacts that the backend ends stay ended"]
    stopped = [InjectedFault(3.0, 8.5, "replica_stopped", "")]
    assert broken(good(calls_to_ended=1)) == promise
    assert broken(good(ends_overwritten_s=[9.0])) == promise
    assert broken(good(ends_overwritten_s=[9.0], timeline=stopped)) == []


def test_a_contact_set_back_for_a_moment_is_explained_only_by_a_process_that_was_stopped() -> None:
    def with_fault(kind: str, until_s: float, **changes: Any) -> Figures:
        figures = good(set_back_for_a_moment_s=[9.0], timeline=[InjectedFault(3.0, until_s, kind, "")])
        return msgspec.structs.replace(figures, **changes)

    assert broken(with_fault("replica_stopped", 8.5)) == []
    assert broken(with_fault("replica_stopped", 3.5)) == ["no finished contact set back"]
    assert broken(with_fault("redis_lost_a_second", 8.5)) == ["no finished contact set back"]
    assert broken(with_fault("replica_stopped", 8.5, set_back_s=[9.0])) == ["no finished contact set back"]
