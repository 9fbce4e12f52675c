"""Agents that stay free for incoming calls, through the whole dialer."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.ticks import TicksStage
from streamdialer.model import Tick
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.config import WorldConfig
from tests.support.dialer import open_centre, run_dialer

pytestmark = pytest.mark.usefixtures("redis")


async def test_a_campaign_uses_the_agents_beyond_those_and_no_other(settings: Settings) -> None:
    life = WorldConfig(talk_mean_s=30, talk_cv=0.2, wrap_up_mean_s=5)
    world = build_world(agents=4, contacts=16, speed=100, max_retries=1, answer_rate=0.7, config=life)
    world.campaigns[1].reserve_agents = 2
    async with run_dialer(settings, world, speed=100) as dialer:
        audit = await dialer.until(lambda audit: audit.total.originates >= 6, within_s=40)
    assert audit.max_live_calls[1] == 2


async def test_explain_says_that_they_are_kept(settings: Settings, redis: Redis) -> None:
    world = build_world(agents=2, contacts=3)
    world.campaigns[1].reserve_agents = 2
    async with open_centre(settings, world) as (_, services):
        await redis.hset("campaign:1", "status", "active")
        result = await TicksStage(services, WakeupScheduler(services)).run(Tick("1-0", "dial", "1"))
    assert (result.dialed, result.reason, result.available_agents) == (0, "agents_reserved", 2)
    assert result.detail == "the free agents of the queue are kept for incoming calls"
