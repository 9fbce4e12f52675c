"""The sweeper acts for each campaign by itself: what is wrong with one does not stop the others."""

from __future__ import annotations

import pytest

from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.sweeper import Sweeper
from streamdialer.observability.metrics import PROCESS
from tests.support.ledger_fixture import LedgerWorld


def failed() -> float:
    return PROCESS.get_sample_value("streamdialer_sweeps_failed_total") or 0.0


async def test_a_campaign_that_cannot_be_swept_is_named_and_counted_and_the_others_are_swept(
    world: LedgerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    await world.open_campaign("1", contacts=1, agents=5)
    await world.open_campaign("2", contacts=1, first=11)
    await world.reserve("2", others={"1": 1.0})
    await world.client.hset(world.keys.records("1"), "broken", "{")
    await world.client.zadd(world.keys.deferred("1"), {"broken": 1})
    await world.age(100, "2")
    await world.client.zadd(world.keys.sweep_schedule, {"1": 1, "2": 2})
    sweeper, before = Sweeper(world.services, WakeupScheduler(world.services)), failed()
    for _ in range(3):
        assert await sweeper.turn() > 0
    assert await world.state_of("11", "2") == "ready"
    assert failed() == before + 3
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.__dict__["campaign"] for record in errors] == ["1"], "once, not at every turn"

    await world.client.hdel(world.keys.records("1"), "broken")
    await sweeper.turn()
    assert failed() == before + 3
    assert caplog.records[-1].getMessage() == "the campaign is swept again"
