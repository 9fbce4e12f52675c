"""Agentless campaigns through the whole dialer."""

from __future__ import annotations

import msgspec
import pytest
from redis.asyncio import Redis

from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.ticks import TicksStage
from streamdialer.model import Tick
from streamdialer.operations.decisions import explain
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.config import WorldConfig
from streamdialer.simulation.world.engine import World
from tests.support.dialer import open_centre, run_dialer
from tests.support.ledger_reader import move_clock

pytestmark = pytest.mark.usefixtures("redis")
SLOTS = 6


def world_of(*, contacts: int, agents: int = 0) -> World:
    """Campaign 1 is agentless, and names a queue that has agents."""
    life = WorldConfig(talk_mean_s=30, talk_cv=0.2, wrap_up_mean_s=5)
    world = build_world(
        agents=agents, contacts=contacts, speed=100, max_retries=1, answer_rate=0.6, config=life
    )
    world.campaigns[1] = msgspec.structs.replace(world.campaigns[1], dial_mode="agentless", slots=SLOTS)
    return world


async def test_it_is_dialed_to_its_end_within_its_slots_and_takes_no_agent_from_a_progressive_campaign(
    settings: Settings,
) -> None:
    world = world_of(contacts=30, agents=4)
    world.add_campaign(msgspec.structs.replace(world.campaigns[1], id=2, dial_mode="progressive", slots=None))
    for contact in list(world.contacts.values())[::2]:
        world.contacts_of(1).remove(contact)
        contact.campaign_id = 2
        world.contacts_of(2).append(contact)
    for contact in world.contacts_of(1):
        contact.custom_data = {"message": "bill-12", "amount": 12.5}
    async with run_dialer(settings, world, speed=100, start=False) as dialer:
        keys, client = dialer.services.keys, dialer.services.client
        await client.hset(keys.totals("1"), "ramp", f"0 {10**15}")  # over
        for campaign in world.campaigns:
            await dialer.centre.start_campaign(campaign)
        audit = await dialer.until_all_are_final()
        sent = [each for each in dialer.centre.dialer_api.requests if each.path == "/calls/originate"]
        of_its_queue = [key async for key in client.scan_iter("sd:q:agentless*")]
    assert world.campaigns[1].queue_name == world.campaigns[2].queue_name
    assert (audit.double_dials, audit.dialed_after_final, audit.over_max_retries) == (0, 0, 0)
    assert (audit.calls_without_agent, audit.campaigns[2].abandoned) == (0, 0)
    agentless = audit.campaigns[1]
    assert agentless.completed == agentless.answered_by_person > 0
    assert 1 < audit.max_live_calls[1] <= SLOTS
    first = next(each for each in sent if each.json()["campaign_id"] == 1)
    body, key = first.json(), first.headers["Idempotency-Key"]
    assert body["variables"] == {"message": "bill-12", "amount": "12.5", "ATTEMPT_ID": key}
    assert (body["caller_id"], body["trunk"]) == ("+15550000000", "simulated")
    assert {name.rpartition(":")[2] for name in of_its_queue} == {"campaigns", "pacing"}, "it has no agents"


async def test_explain_says_how_its_slots_limit_it(settings: Settings, redis: Redis) -> None:
    async with open_centre(settings, world_of(contacts=5, agents=2)) as (_, services):
        await redis.hset("campaign:1", "status", "active")
        ticks = TicksStage(services, WakeupScheduler(services))
        first = await ticks.run(Tick("1-0", "dial", "1"))
        await move_clock(redis, services.keys, 30)
        second = await ticks.run(Tick("2-0", "dial", "1"))
        third = await ticks.run(Tick("3-0", "dial", "1"))
        lines = list(explain("1", "active", [third, second, first], third.at or 0))
    assert (first.dialed, first.limit, first.level) == (1, "ramp", SLOTS)
    assert (second.dialed, second.limit) == (4, "no_contacts")
    assert (third.reason, third.available_agents) == ("contacts_in_calls", 0)
    assert "1 live call, 1 unanswered call (agentless); the first calls are few" in lines[-1]
