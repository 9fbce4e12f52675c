"""Each script that prevents a key or field from staying in Redis for ever."""

from __future__ import annotations

from streamdialer.broker.keys import Keys
from streamdialer.consumers.services import Services
from streamdialer.ledger.types import LoadRow
from streamdialer.model import Agent
from tests.support.ledger_fixture import LedgerWorld

KEYS = Keys()


async def test_a_cleanup_tick_after_a_cleanup_stores_nothing(services: Services) -> None:
    """The producer lists the campaigns, a replica cleans one up, then the producer adds its tick."""
    assert await services.ticks.enqueue("cleanup", ["7"], 60) == []
    assert await services.client.hlen(KEYS.tick_slots) == 0


async def test_contacts_of_a_campaign_the_ledger_does_not_know_are_not_loaded(services: Services) -> None:
    """Its list was read during its cleanup, or a retry tick came after it: the contacts would never be removed."""
    row: LoadRow = LedgerWorld.row("1")
    await services.campaigns.load("7", [row], 3)
    left = [str(key) for key in await services.client.keys("*") if str(key) != KEYS.server]
    assert left == []


async def test_agents_that_are_listed_no_more_are_forgotten(services: Services) -> None:
    for agent in (1, 2, 3):
        asked = await services.queues.begin_agent_poll("sales")
        await services.queues.replace_agents("sales", [Agent(agent, "available")], asked.ledger_ms)
    assert await services.client.hgetall(KEYS.agents) == {"3": "sales"}


async def test_the_agents_of_a_queue_that_is_not_dialed_any_more_expire(services: Services) -> None:
    world = LedgerWorld(services, queue="spring-2026")
    await world.open_campaign()
    await world.set_agents(2, busy=1)
    await services.queues.apply_agent_event(
        "spring-2026", "9", state="available", entry=await world.write_entry()
    )
    for key in (KEYS.queue_free, KEYS.queue_busy, KEYS.queue_state):
        assert 0 < await services.client.pttl(key("spring-2026")) <= 86_400_000
