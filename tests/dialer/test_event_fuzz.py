"""Odd events from a seed: no crash, no lost good event, every invariant holds. `bench.event_fuzz` is the long form."""

from __future__ import annotations

import pytest

from bench.event_fuzz import KEYS, leaks, write_odd_events
from streamdialer.config.settings import Settings
from streamdialer.simulation.world.build import build_world
from tests.support.dialer import run_dialer
from tests.support.ledger_invariants import check_ledger

pytestmark = pytest.mark.usefixtures("redis")


SEED = 1


async def test_odd_events_cost_nothing(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    async with run_dialer(settings, build_world(agents=5, contacts=40, speed=60)) as dialer:
        client = dialer.services.client
        await write_odd_events(client, SEED, 600, 0.01)
        audit = await dialer.until_all_are_final(within_s=60)
        assert audit.double_dials == 0
        assert audit.contacts.get("completed", 0) > 0
        await check_ledger(client, KEYS, ["1"])
        assert await leaks(client) == []
        assert await dialer.dead.count() > 100
    assert not [record for record in caplog.records if record.message == "handler failed"]
