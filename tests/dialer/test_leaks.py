"""What is left in Redis when the work is done: only keys of the table in `bench/key_leaks.py`, with their expiry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from bench.key_leaks import allowed_after_cleanup, allowed_for_campaigns, find_leaks, find_unread
from streamdialer.broker.keys import GROUP, STAGES, Keys
from streamdialer.config.settings import Settings
from streamdialer.model import TICK_KINDS
from streamdialer.simulation.world.build import build_world
from tests.support.dialer import Dialer, run_dialer
from tests.support.eventually import eventually

KEYS = Keys()
CAMPAIGNS = ["1", "2"]
RESULT_TTL_S = 120.0
READ = [KEYS.stream(stream) for stream in STAGES]
AFTER_CLEANUP = allowed_after_cleanup(RESULT_TTL_S)
DRAINED = [*AFTER_CLEANUP, *allowed_for_campaigns(CAMPAIGNS)]
BROKEN_EVENTS: list[dict[Any, Any]] = [
    {"type": "call_exploded", "campaign_id": "1"},
    {"type": "call_answered", "data": "{"},
    {"type": "call_answered", "campaign_id": "77", "contact_id": "1"},
    {"type": "call_answered", "campaign_id": "1", "contact_id": "999"},
    {"type": "do_not_call", "contact_id": "1"},
]
BROKEN_TICKS: list[dict[Any, Any]] = [{"kind": "lunch", "campaign_id": "1"}, {"kind": "dial"}]


@asynccontextmanager
async def dialed_to_the_end(settings: Settings, **changes: Any) -> AsyncIterator[Dialer]:
    """Two campaigns after retries, every kind of tick and all sorts of rubbish; completed, nothing under way."""
    world = build_world(agents=6, contacts=24, campaigns=2, mode="progressive", speed=100, retry_delay_s=30)
    async with run_dialer(
        settings, world, speed=100, replicas=2, producers=2, result_ttl_s=RESULT_TTL_S, **changes
    ) as dialer:
        client = dialer.services.client
        await dialer.until(lambda audit: audit.total.originates > 0)
        for event in BROKEN_EVENTS:
            await client.xadd(KEYS.stream("events"), event)
        for tick in BROKEN_TICKS:
            await client.xadd(KEYS.stream("ticks"), tick)
        for kind in TICK_KINDS:
            for campaign in [*CAMPAIGNS, "77"]:
                await dialer.tick(kind, campaign)
        audit = await dialer.until_all_are_final()
        assert sum(calls - 1 for calls in world.auditor.per_contact.values()) > 0, (
            "a contact was called again"
        )
        assert (audit.double_dials, audit.dialed_after_final) == (0, 0)
        for campaign in CAMPAIGNS:
            await client.hset(KEYS.campaign(campaign), "status", "completed")
        await eventually(lambda: nothing_under_way(dialer), what="streams and outboxes empty, agents idle")
        assert await dialer.dead.count() == len(BROKEN_EVENTS) + len(BROKEN_TICKS)
        yield dialer


async def nothing_under_way(dialer: Dialer) -> bool:
    client = dialer.services.client
    if dialer.centre.world.next_at() is not None or dialer.centre.summary().events_waiting:
        return False
    waiting = [await client.xlen(stream) for stream in READ]
    waiting += [await client.hlen(KEYS.outbox(campaign)) for campaign in CAMPAIGNS]
    return not any(waiting)


async def test_when_all_campaigns_are_cleaned_up_only_what_the_table_lists_is_left(
    redis: Redis, settings: Settings
) -> None:
    async with dialed_to_the_end(settings) as dialer:
        for campaign in CAMPAIGNS:
            assert (await dialer.tick("cleanup", campaign)).status == "ok"
    assert await find_unread(redis, READ) == []
    assert await find_leaks(redis, AFTER_CLEANUP) == []


async def test_drained_campaigns_leave_only_what_the_table_lists(redis: Redis, settings: Settings) -> None:
    async with dialed_to_the_end(settings):
        pass
    assert await find_unread(redis, READ) == []
    assert await find_leaks(redis, DRAINED) == []
    assert set(await redis.hkeys(KEYS.directory)) == set(CAMPAIGNS)
    assert set(await redis.zrange(KEYS.sweep_schedule, 0, -1)) <= set(CAMPAIGNS)
    assert await redis.hlen(KEYS.waiting_ticks) == 0
    slots = {str(field) for field in await redis.hkeys(KEYS.tick_slots)}
    assert slots <= {f"{kind}:{campaign}" for kind in TICK_KINDS for campaign in CAMPAIGNS}
    for campaign in CAMPAIGNS:
        tombstones: Any = await redis.zrange(KEYS.final(campaign), 0, -1, withscores=True)
        assert len(tombstones) == 12
        assert all(until < float("inf") for _, until in tombstones), "each has an end: the backend knows"


async def test_final_contacts_and_their_data_are_forgotten(redis: Redis, settings: Settings) -> None:
    async with dialed_to_the_end(settings, final_ttl_s=0.5):
        tombstones = [KEYS.final(campaign) for campaign in CAMPAIGNS]
        await eventually(lambda: gone(redis, *tombstones, KEYS.sweep_schedule), what="no tombstone is left")
    hashes = [name(campaign) for name in (KEYS.records, KEYS.contacts) for campaign in CAMPAIGNS]
    assert await gone(redis, *hashes)
    assert await find_leaks(redis, DRAINED) == []


async def test_a_dead_consumer_is_forgotten_after_a_takeover(redis: Redis, settings: Settings) -> None:
    events = KEYS.stream("events")
    await redis.xgroup_create(events, GROUP, id="0", mkstream=True)
    await redis.xadd(events, {"type": "nonsense"})
    await redis.xreadgroup(GROUP, "died", {events: ">"})
    world = build_world(agents=1, contacts=1, mode="preview", speed=60)
    async with run_dialer(settings, world, start=False, idle_consumer_ttl_s=0.5, replicas=2) as dialer:
        await eventually(lambda: dialer.dead.count(), what="its entry was taken over")
        await eventually(lambda: is_no_consumer(redis, events, "died"))
    assert await find_unread(redis, READ) == []


async def gone(client: Redis, *keys: str) -> bool:
    return not await client.exists(*keys)


async def is_no_consumer(client: Redis, stream: str, name: str) -> bool:
    consumers: Any = await client.xinfo_consumers(stream, GROUP)
    return name not in [one["name"] for one in consumers]


@pytest.mark.leaves("sd:c:1:ready", "campaign:1", "sd:tick:1-1", "sd:server")
@pytest.mark.parametrize(
    ("key", "expires_s", "told"),
    [
        ("sd:c:1:ready", None, "not in the table"),
        ("campaign:1", 60, "not in the table"),
        ("sd:tick:1-1", None, "never expires"),
        ("sd:tick:1-1", 2 * RESULT_TTL_S, "should within 120 s"),
        ("sd:server", 60, "should not expire"),
    ],
)
async def test_find_leaks_names_each_leak(redis: Redis, key: str, expires_s: float | None, told: str) -> None:
    await redis.set(key, "x")
    if expires_s is not None:
        await redis.pexpire(key, round(expires_s * 1000))
    (complaint,) = await find_leaks(redis, AFTER_CLEANUP)
    assert key in complaint
    assert told in complaint
