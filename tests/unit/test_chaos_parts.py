"""Parts of the chaos run: its schedule, its event faults, and its verdicts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import pairwise
from random import Random
from typing import Any

import msgspec
import pytest

from bench.chaos.event_faults import LATEST_S, EventFaults, duplicated, nameless, reordered
from bench.chaos.faults import KINDS
from bench.chaos.schedule import plan
from bench.chaos.verdicts import Counter, Figures, evaluate
from streamdialer.simulation import EventData, SimEvent
from tests.support.eventually import eventually


def test_the_schedule_is_a_function_of_the_seed() -> None:
    assert plan(7, 600, KINDS) == plan(7, 600, KINDS)
    assert [one.kind for one in plan(7, 600, KINDS)] != [one.kind for one in plan(8, 600, KINDS)]


def test_a_long_schedule_has_every_kind_with_quiet_between_and_a_short_one_each_once() -> None:
    long, short = plan(1, 600, KINDS), plan(1, 25, KINDS)
    assert {one.kind for one in long} == set(KINDS)
    assert min(later.at_s - one.at_s for one, later in pairwise(long)) >= 8
    assert sorted(one.kind for one in short) == sorted(KINDS)
    assert short[-1].at_s < 30


def written_by(spoil: Any, number: int = 20) -> Callable[[], Awaitable[list[SimEvent]]]:
    async def told_to_spoil() -> list[SimEvent]:
        out: list[SimEvent] = []
        distortion = EventFaults()
        distortion.spoil(spoil(Random(3)))
        told = [
            SimEvent(float(at), "call_ringing", EventData(campaign_id=1, contact_id=at, call_id=f"call-{at}"))
            for at in range(number)
        ]
        distortion(told, out.extend)
        await eventually(lambda: not distortion.held, within_s=LATEST_S + 1)
        return out

    return told_to_spoil


@pytest.mark.anyio
async def test_spoilt_events_are_never_lost() -> None:
    twice = await written_by(duplicated)()
    assert len(twice) >= 40
    shuffled = await written_by(reordered)()
    assert [one.data.contact_id for one in shuffled] != list(range(20))
    assert sorted(one.at for one in shuffled) == list(range(20))
    anonymous = await written_by(nameless)()
    assert any(one.data.call_id is None for one in anonymous)
    assert [one.data.contact_id for one in anonymous] == list(range(20))


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
        contacts_lost=[],
        retries_forgotten=0,
        counters=[Counter("1", "total_calls", 21, 20, unplaced=1)],
        dead_letters={},
        dead_letters_unexplained=[],
        malformed_injected={},
        uncertain_left=1,
        unresolved=[],
        not_drained=[],
        stood_still=0,
        started_again=0,
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
        ({"contacts_lost": ["contact 1"]}, "contacts lost"),
        ({"retries_forgotten": 1}, "retries forgotten"),
        ({"counters": [Counter("1", "busy", 3, 4, 0)]}, "counters without drift"),
        ({"dead_letters_unexplained": ["never_finished"]}, "dead letters explained"),
        ({"unresolved": ["contact 1"]}, "held calls resolved"),
        ({"not_drained": ["1 entries in events"]}, "drained"),
        ({"problems": ["replica-1 ended by itself with 1"]}, "processes well"),
        ({"calls_after_healing": 0}, "dialing went on"),
    ],
)
def test_each_promise_can_be_broken(changes: dict[str, Any], promise: str) -> None:
    assert broken(good(**changes)) == [promise]


def test_a_server_that_forgot_may_count_too_little_and_never_too_much() -> None:
    too_little = [Counter("1", "busy", 3, 4, 0)]
    too_much = [Counter("1", "busy", 5, 4, 0)]
    still_up = [Counter("1", "active_calls", 1, 0, 0)]
    assert broken(good(forgot="everything", counters=too_little, dialed_after_final=2)) == []
    assert broken(good(forgot="a second", counters=too_little, dialed_after_final=2)) == [
        "dialed after final"
    ]
    assert broken(good(forgot="everything", counters=too_much)) == ["counters without drift"]
    assert broken(good(forgot="everything", counters=still_up)) == ["counters without drift"]
