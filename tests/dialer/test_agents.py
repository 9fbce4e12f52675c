"""One agent, one call, in a running dialer: nobody who answers finds no agent in progressive mode."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from streamdialer.config.settings import Settings
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.config import CentreConfig, WorldConfig
from streamdialer.simulation.world.engine import World
from tests.support.dialer import run_dialer
from tests.support.eventually import eventually

pytestmark = pytest.mark.anyio
SPEED = 20
EVERYBODY = WorldConfig(
    human=1, machine=0, busy=0, failed=0, answer_mean_s=6, talk_mean_s=20, wrap_up_mean_s=10, patience_s=0.1
)


def everybody_answers(contacts: int) -> World:
    return build_world(
        agents=0,
        contacts=contacts,
        campaigns=2,
        queue_per_campaign=True,
        answer_rate=1,
        speed=SPEED,
        config=EVERYBODY,
    )


async def test_four_agents_in_two_queues_get_no_more_calls_than_four(
    settings: Settings, redis: Redis
) -> None:
    world = everybody_answers(60)
    for number in range(4):
        world.add_agent(1001 + number, "sales-1", also_in=["sales-2"])
    async with run_dialer(settings, world, speed=SPEED) as dialer:
        audit = await dialer.until(lambda seen: seen.contacts.get("completed", 0) >= 20, within_s=60)
        assert audit.total.abandoned == 0
        by_campaign = {
            campaign: sum(contact.status != "pending" for contact in world.contacts_of(campaign))
            for campaign in (1, 2)
        }
        assert min(by_campaign.values()) >= 5, "no campaign goes without agents"


@pytest.mark.parametrize("lag_s", [3, 0.5])
async def test_a_list_that_lags_makes_nobody_wait(settings: Settings, redis: Redis, lag_s: float) -> None:
    world = everybody_answers(60)
    for number in range(6):
        world.add_agent(1001 + number, f"sales-{1 + number % 2}")
    config = CentreConfig(agent_list_lag_s=lag_s * SPEED)
    changes: dict[str, Any] = {"agents_cache_ttl_s": 0.1}
    async with run_dialer(settings, world, speed=SPEED, centre_config=config, **changes) as dialer:
        audit = await dialer.until(lambda seen: seen.contacts.get("completed", 0) >= 24, within_s=60)
        assert audit.total.abandoned == 0


async def test_a_new_agent_counts_as_soon_as_the_list_names_them(settings: Settings, redis: Redis) -> None:
    """The list is read again because of the agent's event, although it would be new enough for a minute."""
    world = everybody_answers(10)
    async with run_dialer(settings, world, speed=SPEED, agents_cache_ttl_s=60) as dialer:
        await eventually(lambda: redis.hget("sd:q:sales-1:state", "polled"), what="the list has been read")
        ghost = {"agent_id": 999, "queue": "sales-1"}
        await dialer.producer.event("agent_available", **ghost)
        world.add_agent(1001, "sales-1")
        await dialer.producer.event("agent_available", agent_id=1001, queue="sales-1")
        await dialer.until(lambda seen: seen.contacts.get("completed", 0) >= 1)
        assert await redis.hkeys("sd:agent_records") == ["1001"], "no list names the other"
