"""What a replica logs of a call: one line per change of its state, each with the attempt's id."""

from __future__ import annotations

import logging
from collections import defaultdict

import pytest

from streamdialer.config.settings import Settings
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.config import CentreConfig, WorldConfig
from tests.support.dialer import run_dialer
from tests.support.eventually import eventually

pytestmark = pytest.mark.usefixtures("redis")
ANSWERED = ["sent", "call_ringing", "call_answered", "call_completed"]
ABANDONED = ["sent", "call_ringing", "call_answered", "call_abandoned"]


async def test_each_change_of_a_call_is_one_line_with_the_attempts_id(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    everybody = WorldConfig(human=1, machine=0, busy=0, failed=0)
    world = build_world(agents=3, contacts=4, answer_rate=1, speed=100, config=everybody)
    caplog.set_level(logging.DEBUG, "streamdialer")
    async with run_dialer(
        settings, world, speed=100, replicas=2, centre_config=CentreConfig(reply="held")
    ) as dialer:
        await dialer.until_all_are_final()
        await dialer.producer.event(
            "call_completed", campaign_id=1, contact_id=1
        )  # once more: nothing changes
    lines = defaultdict(list)
    for record in caplog.records:
        stage = record.name.rpartition(".")[2]
        if stage in ("calls", "events") and record.levelno >= logging.INFO:
            lines[vars(record)["attempt"]].append(record.getMessage())
    assert {attempt.rpartition(":")[0] for attempt in lines} == {f"1:{contact}" for contact in (1, 2, 3, 4)}
    for changes in lines.values():
        assert sorted(changes) in (sorted(ANSWERED), sorted(ABANDONED)), lines


async def test_a_call_without_events_is_named(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    world = build_world(agents=2, contacts=6, answer_rate=0, speed=30)
    caplog.set_level(logging.INFO, "streamdialer")
    async with run_dialer(
        settings,
        world,
        speed=30,
        start=False,
        distort=lambda happenings, add: None,
        events="optional",
        ring_timeout_s=0.2,
        uncertain_margin_s=0.1,
    ) as dialer:
        await dialer.centre.start_campaign(1)
        told = await eventually(
            lambda: [
                vars(record)["attempts"]
                for record in caplog.records
                if record.getMessage() == "attempts were ended: no event had come by their deadline"
            ]
        )
    assert all(attempt.startswith("1:") for line in told for attempt in line.split(","))
