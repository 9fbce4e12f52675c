"""A scenario from a campaign's own calls: what went in comes out, what is not on record is said to be assumed."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from typer.testing import CliRunner

from streamdialer.cli import app
from streamdialer.config.settings import Settings
from streamdialer.errors import CannotBeDone
from streamdialer.ledger.history import PastCall, past_calls
from streamdialer.pacing.durations import Durations
from streamdialer.simulation.study.calibration import fit
from streamdialer.simulation.world.build import build_world
from tests.support.dialer import run_dialer

OUTCOMES = ("human", "machine", "busy", "failed", "no_answer")


def drawn(count: int) -> list[PastCall]:
    """Calls as the network has them: people answer after 9 s (gamma, shape 3) and talk 90 s (log-normal, cv 0.5)."""
    random = Random(1)
    calls = []
    for _ in range(count):
        outcome = random.choices(OUTCOMES, (20, 30, 6, 4, 40))[0]
        rang_s = {"human": 1 + random.gammavariate(3, 8 / 3), "machine": 8.0, "no_answer": 22.0}.get(
            outcome, 1.0
        )
        talked_s = {"human": random.lognormvariate(4.388, 0.4724), "machine": 5.0}.get(outcome)
        calls.append(PastCall(outcome=outcome, rang_s=rang_s, talked_s=talked_s))  # type: ignore[arg-type]
    return calls


def test_what_was_drawn_is_found_again() -> None:
    wrapup = Durations(expected_s=30.0)
    for _ in range(500):
        wrapup.learn(14.0)
    found = fit(drawn(8000), agents=12, title="t", ratio=1.5, cap=0.02, wrapup=wrapup)
    calls, work = found.scenario.calls, found.scenario.work
    assert calls.human == pytest.approx(0.20, abs=0.015)
    assert calls.machine == pytest.approx(0.30, abs=0.015)
    assert calls.answer_mean_s == pytest.approx(8.0, rel=0.05)
    assert calls.answer_shape == pytest.approx(3.0, rel=0.2)
    assert calls.ring_out_s == pytest.approx(22.0)
    assert work.talk_mean_s == pytest.approx(90.0, rel=0.05)
    assert work.talk_cv == pytest.approx(0.5, rel=0.15)
    assert work.wrap_up_mean_s == pytest.approx(14.0, rel=0.2)
    assert (found.scenario.agents, found.scenario.campaigns[0].ratio, found.scenario.campaigns[0].cap) == (
        12,
        1.5,
        0.02,
    )
    assert found.assumed == []


def test_what_is_not_on_record_is_said_to_be_assumed() -> None:
    calls = [PastCall(outcome="no_answer", rang_s=20.0, talked_s=None)] * 40
    found = fit(calls, agents=3, title="t", ratio=1.0, cap=0.03)
    assert found.scenario.calls.human == 0
    assert found.assumed == ["ring time until a person answers", "talk time", "wrap-up time"]


def test_too_few_calls_and_no_agents_are_no_basis() -> None:
    with pytest.raises(CannotBeDone, match="29 calls are on record, at least 30 are needed"):
        fit(drawn(29), agents=3, title="t", ratio=1.0, cap=0.03)
    with pytest.raises(CannotBeDone, match="--agents"):
        fit(drawn(40), agents=0, title="t", ratio=1.0, cap=0.03)


@pytest.mark.usefixtures("redis")
async def test_a_dialed_campaign_is_read_from_its_records_and_played_with_another_policy(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = build_world(agents=10, contacts=120, mode="progressive", speed=100, max_retries=1)
    async with run_dialer(settings, world, speed=100) as dialer:
        audit = await dialer.until_all_are_final()
        calls = await past_calls(dialer.services.client, dialer.services.keys, "1")
        total = audit.total
        assert len(calls) == total.originates
        counted = {outcome: sum(call.outcome == outcome for call in calls) for outcome in OUTCOMES}
        assert counted == {
            "human": total.answered_by_person,
            "machine": total.machine,
            "busy": total.busy,
            "failed": total.failed,
            "no_answer": total.no_answer,
        }
        assert all(call.rang_s is not None for call in calls)
        monkeypatch.setenv("REDIS_URL", settings.redis_url)
        monkeypatch.setenv("STREAMDIALER_PACING_TIME_SCALE", "100")
        told = await _simulate("--from", "1", "--policy", "ticks", "--hours", "0.1", "--seeds", "1", "--json")
        missing = await _simulate("--from", "77", code=1)
    assert "campaign 77: was never dialed here" in missing
    document: dict[str, Any] = json.loads(told)
    assert [one["policy"] for one in document["policies"]] == [
        "fixed:mode=progressive,ratio=1.2",
        "ticks",
        "oracle_rates",
        "oracle_agents",
    ]
    fitted = document["fit"]["fit"]
    assert fitted["calls"] == total.originates
    assert fitted["scenario"]["agents"] == 10
    assert 60 < fitted["scenario"]["work"]["talk_mean_s"] < 240, (
        "seconds of life, not of the clock on the wall"
    )


async def _simulate(*arguments: str, code: int = 0) -> str:
    from anyio.to_thread import run_sync

    result = await run_sync(lambda: CliRunner().invoke(app, ["simulate", *arguments]))
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.output


def test_a_scenario_and_a_campaign_exclude_each_other() -> None:
    result = CliRunner().invoke(app, ["simulate", "base", "--from", "1"])
    assert result.exit_code == 2
    assert "--from" in result.output
