"""Pools of caller ids, from the backend to the one who places the call."""

from __future__ import annotations

from collections import Counter

import pytest
from redis.asyncio import Redis

from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.ticks import TicksStage
from streamdialer.model import Tick
from streamdialer.operations.decisions import explain
from streamdialer.simulation.world.build import build_world
from tests.dialer.test_ring_timeout import placed
from tests.support.dialer import open_centre

pytestmark = pytest.mark.usefixtures("redis")
BOGOTA, CALI, MEDELLIN = "+576015550100", "+576025550100", "+576045550100"


NUMBERS = [
    "+576012345601",
    "+576012345602",
    "+576012345603",
    "+576022345604",
    *("+573001234567", "+573001234568"),
]


async def test_each_call_shows_one_of_the_pool_and_a_contact_its_own(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = build_world(agents=20, contacts=8, mode="progressive")
    campaign = world.campaigns[1]
    campaign.caller_ids, campaign.caller_id_choice = [BOGOTA, CALI, MEDELLIN], "area_code"
    campaign.caller_id_daily_cap = 2
    for contact in world.contacts.values():
        contact.priority = 10 - contact.id
        contact.phone_number = NUMBERS[contact.id - 1] if contact.id <= len(NUMBERS) else contact.phone_number
    world.contacts[7].caller_id, world.contacts[7].priority = "own", 10
    async with open_centre(settings, world) as (_, services):
        await redis.hset("campaign:1", "status", "active")
        ticks = TicksStage(services, WakeupScheduler(services))
        results = [await ticks.run(Tick("1-0", "dial", "1"))]
        shown = {each.phone_number: each.caller_id for each in await placed(services, monkeypatch)}
        await redis.xtrim(services.keys.stream("calls"), maxlen=0)
        results.append(await ticks.run(Tick("2-0", "dial", "1")))
        shown |= {each.phone_number: each.caller_id for each in await placed(services, monkeypatch)}
        results.append(await ticks.run(Tick("3-0", "dial", "1")))
        lines = list(explain("1", "active", results[::-1], results[-1].at or 0))
    assert [(each.dialed, each.limit) for each in results] == [
        (6, "caller_ids"),
        (1, "caller_ids"),
        (0, "caller_ids"),
    ]
    assert shown.pop("+15550000007") == "own"
    assert [shown[NUMBERS[0]], shown[NUMBERS[1]], shown[NUMBERS[3]]] == [BOGOTA, BOGOTA, CALI]
    assert Counter(shown.values()) == {BOGOTA: 2, CALI: 2, MEDELLIN: 2}
    assert "each of its caller ids has made its calls of the day" in lines[0]
