"""Wake-ups: a freed agent costs a tick of the campaign whose turn it is, not one of every campaign of the queue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from streamdialer.broker.background_duty import running
from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.services import Services
from streamdialer.consumers.ticks import TicksStage
from streamdialer.model import Agent, Tick
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.world.build import build_world
from tests.support.dialer import open_centre
from tests.support.eventually import eventually

CAMPAIGNS = [str(number) for number in range(1, 7)]


class Queue:
    """Six campaigns of ten contacts on one queue; their ticks run when the test says so."""

    def __init__(self, centre: CallCentre, services: Services) -> None:
        self.centre, self.services = centre, services
        self.wakeups = WakeupScheduler(services)
        self._stage = TicksStage(services, self.wakeups)

    async def lists(self, free: int, busy: int = 0) -> None:
        rows = [
            Agent(number, "available" if number <= free else "busy") for number in range(1, free + busy + 1)
        ]
        asked = await self.services.queues.begin_agent_poll("sales")
        await self.services.queues.replace_agents("sales", rows, asked.ledger_ms)

    async def run(self, campaign: str) -> int:
        return (await self._stage.run(Tick(f"{campaign}-0", "dial", campaign))).dialed or 0

    async def woken(self) -> list[str]:
        """The campaigns with a tick in the stream, which is then emptied."""
        client, keys = self.services.client, self.services.keys
        await eventually(lambda: client.xlen(keys.stream("ticks")), what="a tick has been added")
        entries: Any = await client.xrange(keys.stream("ticks"))
        await client.delete(keys.stream("ticks"), keys.waiting_ticks)
        return [fields["campaign_id"] for _, fields in entries]


@pytest.fixture
async def queue(settings: Settings, redis: Redis) -> AsyncIterator[Queue]:
    """Every campaign has been served once, the first the longest ago; no agent is free."""
    world = build_world(agents=0, contacts=60, campaigns=6)
    changes = {"agents_cache_ttl_s": 60, "refill_interval_s": 60}
    async with open_centre(settings, world, **changes) as (centre, services):
        queue = Queue(centre, services)
        for campaign in CAMPAIGNS:
            await services.client.hset(f"campaign:{campaign}", "status", "active")
            await queue.run(campaign)
            await services.client.zadd(services.keys.queue_campaigns("sales"), {campaign: int(campaign)})
        async with running(queue.wakeups):
            yield queue


@pytest.mark.parametrize("free", [1, 3])
async def test_as_many_campaigns_get_a_tick_as_agents_are_free(queue: Queue, free: int) -> None:
    await queue.lists(free=free, busy=9)
    queue.wakeups.queue("sales")
    woken = await queue.woken()
    assert woken == CAMPAIGNS[:free], "those that got calls longest ago"
    assert [await queue.run(campaign) for campaign in woken] == [1] * free


async def test_a_campaign_whose_contacts_may_not_be_called_leaves_the_agent_to_the_next(queue: Queue) -> None:
    await queue.lists(free=1)
    numbers = [contact.phone_number.removeprefix("+") for contact in queue.centre.world.contacts_of(1)]
    listed: Any = dict.fromkeys(numbers, "on the list, while the contacts are still in the line")
    await queue.services.client.hset(queue.services.keys.dnc, mapping=listed)
    assert await queue.run("1") == 0
    assert (await queue.woken())[0] == "2"
    assert await queue.run("2") == 1


async def test_an_agent_too_many_gives_campaigns_without_contacts_a_tick_once_a_second(queue: Queue) -> None:
    keys = queue.services.keys
    for campaign in CAMPAIGNS[1:]:
        await queue.services.client.delete(keys.ready(campaign))
    await queue.lists(free=20)
    queue.wakeups.queue("sales")
    assert sorted(await queue.woken()) == CAMPAIGNS, "their lists may hold new contacts"
    queue.wakeups.queue("sales")
    assert await queue.woken() == ["1"]


def fail_once(monkeypatch: pytest.MonkeyPatch, target: object, method: str) -> list[str]:
    """The next call fails as when Redis is away; the list then holds the method's name."""
    failed: list[str] = []
    works = getattr(target, method)

    async def call(*arguments: Any, **options: Any) -> Any:
        if failed:
            return await works(*arguments, **options)
        failed.append(method)
        raise RedisConnectionError("Redis is away")

    monkeypatch.setattr(target, method, call)
    return failed


async def test_a_wakeup_whose_queue_cannot_be_read_is_tried_again_and_holds_up_no_timer(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queue.lists(free=1)
    failed = fail_once(monkeypatch, queue.services.queues, "campaigns")
    queue.wakeups.campaign_within("5", 0)
    queue.wakeups.queue("sales")
    assert (await queue.woken(), failed) == (["5"], ["campaigns"])
    assert await queue.woken() == ["1"]


async def test_ticks_that_cannot_be_added_are_added_later(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queue.lists(free=1)
    failed = fail_once(monkeypatch, queue.services.ticks, "enqueue")
    queue.wakeups.campaign_within("5", 0)
    queue.wakeups.queue("sales")
    assert (sorted(await queue.woken()), failed) == (["1", "5"], ["enqueue"])


@pytest.mark.parametrize("step", ["invalidate_agents", "campaigns"])
async def test_an_agent_list_that_cannot_be_marked_as_old_is_read_later(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    failed = fail_once(monkeypatch, queue.services.queues, step)
    queue.wakeups.reread_agents("sales")
    assert (await queue.woken(), failed) == (CAMPAIGNS, [step]), (
        "every campaign may read it, though none can dial"
    )
