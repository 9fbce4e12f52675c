"""A process killed between two effects: a seeded sample of what `python -m bench.crash` does with every point."""

from __future__ import annotations

import anyio
import pytest

import streamdialer.ledger.ticks
from bench.crash.coverage import EXCEPTIONS, effects_of_the_code, uncovered
from bench.crash.runner import Plan, Recorded, attack, choose, record
from streamdialer.broker.scripts import Script
from streamdialer.gateways.backend import Backend

SEED = 0
ALWAYS = (
    "calls: mark_sent.lua",
    "calls: POST calls/originate",
    "calls: settle_originate.lua",
    "calls: ack_delete.lua",
    "events: accept_preview.lua",
)
DRAWN = 2


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    """The points, as a run without any crash passes them."""
    return anyio.run(record, SEED)


@pytest.fixture
def everything() -> set[str]:
    """What a recording run that covers the code passes."""
    return {code for code, name in effects_of_the_code().items() if name not in EXCEPTIONS}


def test_every_script_and_every_request_of_the_code_has_its_points(recorded: Recorded) -> None:
    assert recorded.uncovered == []
    assert len(recorded.plans) > 150


def test_who_dies_between_two_effects_leaves_no_call_twice_no_contact_lost_and_no_attempt_burned(
    recorded: Recorded,
) -> None:
    always = choose(recorded.plans, only=ALWAYS)
    assert len(always) == 2 * len(ALWAYS)
    others = [plan for plan in recorded.plans if plan not in always and plan.play == "campaign"]
    rows = anyio.run(lambda: attack(always + choose(others, sample=DRAWN, seed=SEED), SEED))
    assert [(row.point, row.findings) for row in rows if not row.is_clean] == []
    assert [row.point for row in rows[: len(always)] if not row.hit] == []
    assert any(row.uncertain for row in rows)


def test_without_the_begin_mark_a_death_before_the_settlement_calls_somebody_twice() -> None:
    plan = Plan("campaign", "calls: settle_originate.lua, before", 10)
    (row,) = anyio.run(lambda: attack([plan], SEED, without=("begin-mark",)))
    assert row.hit
    assert row.double_calls > 0


def test_a_recording_run_that_passes_everything_leaves_nothing_uncovered(everything: set[str]) -> None:
    assert uncovered(everything) == []


def test_a_script_no_run_has_passed_is_named(everything: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    added = Script("streamdialer.ledger", "due_campaigns")
    added.name, added.sha = "call_again", "0" * 40
    monkeypatch.setattr(streamdialer.ledger.ticks, "CALL_AGAIN", added, raising=False)
    assert uncovered(everything) == ["call_again.lua is in the code, and the recording run never passes it"]


def test_a_request_no_run_has_sent_is_named(everything: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang_up(self: Backend) -> None:
        """A gateway method somebody adds."""

    monkeypatch.setattr(Backend, "hang_up", hang_up, raising=False)
    assert uncovered(everything) == ["Backend.hang_up is in the code, and the recording run never passes it"]


def test_an_exception_that_has_gone_or_is_none_is_named(everything: set[str]) -> None:
    finish = next(name for name in effects_of_the_code().values() if name == "ack_delete.lua")
    reasons = {**EXCEPTIONS, "vanished.lua": "was once", finish: "nobody runs it"}
    assert uncovered(everything, exceptions=reasons) == [
        "vanished.lua is an exception and is not in the code",
        "ack_delete.lua is an exception and was passed",
    ]
