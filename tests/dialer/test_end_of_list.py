"""The end of a campaign's list is announced once, and again when it has begun again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.config.settings import Settings
from streamdialer.ledger.records import Update
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.entities import Contact
from tests.support.dialer import run_dialer
from tests.support.eventually import eventually
from tests.support.ledger_fixture import LedgerWorld

END = "campaign:exhausted:1"


@asynccontextmanager
async def listening(client: Redis) -> AsyncIterator[list[str]]:
    """What has been published so far."""
    heard: list[str] = []
    pubsub = client.pubsub()
    await pubsub.subscribe(Keys().channel)

    async def listen() -> None:
        while True:
            message: Any = await pubsub.get_message(ignore_subscribe_messages=True, timeout=0.1)
            heard.extend([str(message["data"])] if message else [])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        try:
            yield heard
        finally:
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await pubsub.aclose()  # type: ignore[no-untyped-call]


async def tell_the_backend(world: LedgerWorld) -> None:
    for contact in await world.client.hkeys("sd:c:1:outbox"):
        update = await world.services.outbox.lease("1", str(contact), "deliverer")
        assert isinstance(update, Update)
        await world.services.outbox.acknowledge("1", str(contact), "deliverer", update.version)


async def announced(world: LedgerWorld, campaign: str) -> str:
    return await world.services.backlog.publish_exhausted(campaign, none_waits=True)


async def test_it_is_announced_once_and_again_when_contacts_have_come(world: LedgerWorld) -> None:
    announce = partial(world.services.backlog.publish_exhausted, none_waits=True)
    async with listening(world.client) as heard:
        await world.open_campaign(contacts=1, agents=1)
        assert await announce("1") == "not_over", "one is ready"
        attempt = await world.place_one()
        assert await announce("1") == "not_over", "one rings"
        await world.event("call_answered", attempt)
        assert await announce("1") == "not_over", "one talks"
        await world.event("call_completed", attempt)
        assert await announce("1") == "not_over", "the backend still shows it as pending"
        await tell_the_backend(world)
        assert (await announce("1"), await announce("1")) == ("published", "already_published")
        await world.services.campaigns.load("1", [world.row("1")], 3)
        assert await announce("1") == "already_published", (
            "a page read before shows contacts that the ledger knows"
        )
        await world.services.campaigns.load("1", [world.row("2", attempts=2)], 3)
        assert await announce("1") == "not_over"
        await world.set_agents(1)
        await world.event("call_failed", await world.place_one(), disposition="busy")
        await tell_the_backend(world)
        assert await announce("1") == "published"
        await eventually(lambda: heard == [END, END])


async def test_it_is_announced_again_after_a_callback(world: LedgerWorld) -> None:
    announce = partial(world.services.backlog.publish_exhausted, none_waits=True)
    await world.open_campaign(contacts=1, agents=1)
    await world.event("call_completed", await world.place_one())
    await tell_the_backend(world)
    assert await announce("1") == "published"
    seconds, _ = await world.client.time()
    entry = await world.write_entry()
    assert await world.services.callbacks.schedule("1", "1", seconds * 1000, entry=entry) == "applied"
    assert await announce("1") == "not_over"
    await world.event("call_completed", await world.place_one())
    await tell_the_backend(world)
    assert await announce("1") == "published"


@pytest.mark.parametrize("place", ["deferred", "reserved", "orphaned"])
async def test_contacts_still_to_come_keep_a_campaign_from_its_end(world: LedgerWorld, place: str) -> None:
    await world.open_campaign(contacts=0)
    await world.client.zadd(getattr(world.keys, place)("1"), {"9": 1})
    assert await announced(world, "1") == "not_over"


async def test_a_campaign_that_is_not_active_or_known_has_no_end(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0)
    await world.client.hset("campaign:1", "status", "paused")
    assert await announced(world, "1") == "not_over"
    await world.client.hset("campaign:2", "status", "active")
    assert await announced(world, "2") == "not_over"


async def test_a_server_that_may_have_forgotten_contacts_announces_nothing(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0)
    await world.client.hset("sd:server", "run", "another")
    assert await announced(world, "1") == "not_over"
    await world.client.hset("sd:server", "hold_until", "0")
    assert await announced(world, "1") == "not_over", "it has not been rebuilt"


async def test_two_replicas_announce_an_end_once_per_list(settings: Settings, redis: Redis) -> None:
    world = build_world(agents=3, contacts=6, speed=100, retry_delay_s=30)
    async with (
        listening(redis) as heard,
        run_dialer(settings, world, speed=100, replicas=2, centre_config=None) as dialer,
    ):
        await dialer.until_all_are_final()
        await eventually(lambda: END in heard)
        assert (await dialer.public())["status"] == "active", "its status is not ours to change"
        world.add_contacts([Contact(id=7, campaign_id=1, phone_number="+15550000007")])
        await dialer.until(lambda audit: audit.contacts.get("pending", 0) == 0)
        await dialer.until_all_are_final()
        await eventually(lambda: heard.count(END) == 2)
        await anyio.sleep(3 * settings.refill_interval_s)
        assert heard.count(END) == 2
