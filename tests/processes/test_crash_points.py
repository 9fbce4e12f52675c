"""A process killed between two effects: a seeded sample of the points that `python -m bench.crash` covers."""

from __future__ import annotations

import re

import anyio
import pytest

import streamdialer.ledger.ticks
from bench.crash.coverage import NOT_COVERED, effects_of_the_code, uncovered
from bench.crash.runner import CrashPlan, Recorded, record, run_crashes, select_plans
from bench.crash.scenario import NOT_TAKEN
from streamdialer.broker.scripts import Script
from streamdialer.gateways.backend import Backend

SEED = 0
ALWAYS = (
    "calls: mark_sent.lua",
    "calls: POST calls/originate",
    "calls: settle_originate.lua",
)
SAMPLE = 2
TRIES = 4


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    """The points of a run without any crash."""
    return anyio.run(record, SEED)


@pytest.fixture
def everything() -> set[str]:
    """The effects of a recording run that covers the code."""
    return {code for code, name in effects_of_the_code().items() if name not in NOT_COVERED}


def test_every_script_and_every_request_of_the_code_has_its_points(recorded: Recorded) -> None:
    assert recorded.uncovered == []
    assert len(recorded.plans) > 150


def test_a_crash_between_two_effects_repeats_loses_and_miscounts_nothing(recorded: Recorded) -> None:
    always = select_plans(recorded.plans, only=ALWAYS)
    assert len(always) == 2 * len(ALWAYS)
    others = [plan for plan in recorded.plans if plan not in always and plan.scenario == "campaign"]
    rows = anyio.run(lambda: run_crashes(always + select_plans(others, sample=SAMPLE, seed=SEED), SEED))
    assert [(row.point, row.findings) for row in rows if not row.is_clean] == []
    assert [row.point for row in rows[: len(always)] if not row.hit] == []
    assert any(row.uncertain for row in rows)


def test_without_the_begin_mark_a_crash_before_the_settlement_calls_a_contact_twice() -> None:
    plan = CrashPlan("campaign", "calls: settle_originate.lua, before", 10)
    (row,) = anyio.run(lambda: run_crashes([plan], SEED, without=("begin-mark",)))
    assert row.hit
    assert row.double_calls > 0


def test_without_their_guards_overlapping_lists_shared_agents_and_refused_updates_go_wrong() -> None:
    def findings(seed: int, *guards: str) -> str:
        plan = CrashPlan("campaign", "calls: settle_originate.lua, before", 10)
        (row,) = anyio.run(lambda: run_crashes([plan], seed, without=guards))
        return "\n".join(row.findings)

    def are_found(*wanted: str, without: tuple[str, ...]) -> bool:
        """On a busy machine a single run may miss one of them."""
        found = ""
        for seed in range(SEED, SEED + TRIES):
            found += findings(seed, *without)
            if all(re.search(text, found) for text in wanted):
                return True
        return False

    assert are_found(
        "the phone or the contact has a live call",
        "more unanswered calls than free agents",
        without=("person-lock", "shared-agents"),
    )
    talked = next(iter(NOT_TAKEN))
    assert are_found(f"contact {talked}, .* an earlier call .* had a final result", without=("refused-mark",))


def test_a_recording_run_with_all_effects_leaves_nothing_uncovered(everything: set[str]) -> None:
    assert uncovered(everything) == []


def test_a_script_no_run_passes_is_reported(everything: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    added = Script("streamdialer.ledger", "due_campaigns")
    added.name, added.sha = "call_again", "0" * 40
    monkeypatch.setattr(streamdialer.ledger.ticks, "CALL_AGAIN", added, raising=False)
    assert uncovered(everything) == ["call_again.lua is in the code, but the recording run never passes it"]


def test_a_request_no_run_sends_is_reported(everything: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang_up(self: Backend) -> None:
        """A new gateway method."""

    monkeypatch.setattr(Backend, "hang_up", hang_up, raising=False)
    assert uncovered(everything) == ["Backend.hang_up is in the code, but the recording run never passes it"]


def test_an_exception_without_code_or_without_need_is_reported(everything: set[str]) -> None:
    exceptions = {**NOT_COVERED, "vanished.lua": "removed", "ack_delete.lua": "never run"}
    assert uncovered(everything, exceptions=exceptions) == [
        "vanished.lua is an exception, but not in the code",
        "ack_delete.lua is an exception, but was passed",
    ]
