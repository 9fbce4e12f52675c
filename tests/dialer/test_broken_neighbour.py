"""A campaign whose settings cannot be read any more keeps no agents from the others of its queue."""

from __future__ import annotations

import pytest

from streamdialer.config.settings import Settings
from streamdialer.simulation.world.build import build_world
from tests.support.dialer import run_dialer
from tests.support.eventually import eventually

pytestmark = pytest.mark.usefixtures("redis")


async def test_a_campaign_the_backend_has_forgotten_does_not_starve_its_neighbour(settings: Settings) -> None:
    world = build_world(agents=1, contacts=40, campaigns=2, mode="progressive", speed=60)
    async with run_dialer(settings, world, campaign_cache_ttl_s=0.2) as dialer:
        await eventually(
            lambda: {1, 2} <= world.auditor.campaigns.keys(), what="both are dialed", within_s=30
        )
        del world.campaigns[2]
        result = await dialer.tick("dial", "2")
        await eventually(lambda: not dialer.centre.live_calls(), within_s=30)
        if result.reason != "invalid_campaign":
            result = await dialer.tick("dial", "2")
        assert result.reason == "invalid_campaign"
        placed = world.auditor.campaigns[1].originates
        await eventually(lambda: world.auditor.campaigns[1].originates > placed + 3, within_s=30)
