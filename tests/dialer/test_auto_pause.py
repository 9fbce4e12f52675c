"""A campaign whose trunk fails, through the whole dialer."""

from __future__ import annotations

import pytest

from streamdialer.config.settings import Settings
from streamdialer.ledger.metrics import LedgerMetrics
from streamdialer.observability import metrics
from streamdialer.operations.campaigns import set_campaign_status
from streamdialer.operations.decisions import decisions, explain
from streamdialer.operations.overview.collect import overview
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.config import WorldConfig
from tests.support.dialer import run_dialer
from tests.support.eventually import eventually

pytestmark = pytest.mark.usefixtures("redis")
TRUNK_FAILS = WorldConfig(human=0, machine=0, busy=0, failed=1)


async def test_it_pauses_itself_and_says_so_and_a_person_starts_it_again(settings: Settings) -> None:
    world = build_world(agents=25, contacts=80, speed=100, max_retries=1, answer_rate=0, config=TRUNK_FAILS)
    async with run_dialer(settings, world, speed=100) as dialer:
        scripts, client, keys = dialer.services.scripts, dialer.services.client, dialer.services.keys

        async def is_paused() -> bool:
            return (await dialer.public())["status"] == "paused"

        await eventually(is_paused, within_s=30)
        placed = dialer.centre.summary().total.originates
        assert placed < 80
        campaign = (await overview(scripts, keys)).campaigns[0]
        assert campaign.reason == "auto_paused"
        assert "calls failed within two minutes" in campaign.why
        codes = {(alert.code, alert.level) for alert in (await overview(scripts, keys)).alerts}
        assert ("auto_paused", "error") in codes
        await LedgerMetrics(scripts, keys).collect()
        assert metrics.LEDGER.get_sample_value("streamdialer_campaigns_auto_paused") == 1
        why = (await dialer.public())["auto_paused"]
        records = await decisions(client, keys, "1", 20)
        lines = list(explain("1", "paused", records, records[0].at or 0, auto_paused=why))
        assert lines[0] == f"Campaign 1 has paused itself: {why}."
        assert "campaign start" in lines[1]
        assert any(f"paused itself ({why})" in line for line in lines)
        await set_campaign_status(client, keys, "1", "start")
        await dialer.until(lambda audit: audit.total.originates > placed)
        await LedgerMetrics(scripts, keys).collect()
        assert metrics.LEDGER.get_sample_value("streamdialer_campaigns_auto_paused") == 0
