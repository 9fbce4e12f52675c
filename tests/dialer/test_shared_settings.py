"""All replicas together ask the backend for a campaign's settings once, as long as they are fresh."""

from __future__ import annotations

from collections.abc import AsyncIterator
from time import monotonic

import anyio
import msgspec
import pytest
from redis.asyncio import Redis

from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.campaign_cache import CampaignCache
from streamdialer.consumers.services import Services
from streamdialer.model import CampaignSettings
from streamdialer.simulation.world.build import build_world
from tests.support.dialer import open_centre
from tests.support.ledger_reader import move_clock

TTL_S = 5.0


@pytest.fixture
async def services(settings: Settings, redis: Redis) -> AsyncIterator[Services]:
    world = build_world(agents=1, contacts=2, campaigns=2)
    async with open_centre(settings, world, campaign_cache_ttl_s=TTL_S) as (_, opened):
        yield opened


@pytest.fixture
def asked(services: Services, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The campaigns that the backend was asked for."""
    names, read = list[str](), services.backend.campaign

    async def count(campaign: str) -> CampaignSettings:
        names.append(campaign)
        return await read(campaign)

    monkeypatch.setattr(services.backend, "campaign", count)
    return names


async def test_a_second_replica_takes_over_what_the_first_has_read(
    services: Services, asked: list[str]
) -> None:
    first = await CampaignCache(services).settings_of("1")
    second = CampaignCache(services)
    assert await second.settings_of("1") == first
    assert asked == ["1"]
    assert 0 < second.age_s("1") < TTL_S


@pytest.mark.parametrize("age_s", [TTL_S - 1, TTL_S + 0.1])
async def test_settings_are_as_old_as_when_they_were_asked_for(
    services: Services, asked: list[str], age_s: float
) -> None:
    await CampaignCache(services).settings_of("1")
    key = services.keys.shared_settings("1")
    written_ms, _, document = str(await services.client.get(key)).partition(" ")
    await services.client.set(key, f"{int(written_ms) - round(age_s * 1000)} {document}", px=60_000)
    second = CampaignCache(services)
    await second.settings_of("1")
    is_fresh = age_s <= TTL_S
    assert asked == ["1"] if is_fresh else ["1", "1"]
    assert (second.age_s("1") >= TTL_S - 1) == is_fresh


async def test_what_cannot_be_read_is_asked_for(services: Services, asked: list[str]) -> None:
    kept = msgspec.json.encode({"queue_name": 7}).decode()
    await services.client.set(services.keys.shared_settings("1"), f"99999999999999 {kept}")
    assert (await CampaignCache(services).settings_of("1")).queue_name == "sales"
    assert asked == ["1"]


async def test_they_are_kept_for_no_longer_than_they_are_fresh(services: Services) -> None:
    await CampaignCache(services).settings_of("1")
    assert 0 < await services.client.pttl(services.keys.shared_settings("1")) <= 1000 * TTL_S


async def test_settings_with_other_fields_are_of_another_version(services: Services) -> None:
    await CampaignCache(services).settings_of("1")
    key = services.keys.shared_settings("1")
    asked_ms, _, document = str(await services.client.get(key)).partition(" ")
    fields = msgspec.json.decode(document, type=dict[str, object])
    assert await services.shared_settings.newest("1") is not None
    older = {name: value for name, value in fields.items() if name != "days_of_week"}
    for other in (older, fields | {"of_a_newer_version": 1}):
        await services.client.set(key, f"{asked_ms} {msgspec.json.encode(other).decode()}", px=5000)
        assert await services.shared_settings.newest("1") is None


async def test_settings_age_while_the_clock_of_redis_was_set_back(
    services: Services, asked: list[str]
) -> None:
    await CampaignCache(services).settings_of("1")
    await services.client.pexpire(
        services.keys.shared_settings("1"), 3_600_000
    )  # as after an hour's step back
    await move_clock(services.client, services.keys, 6)
    await CampaignCache(services).settings_of("1")
    assert asked == ["1", "1"]
    assert await services.client.pttl(services.keys.shared_settings("1")) <= 1000 * TTL_S


async def test_settings_of_a_time_to_come_are_not_taken(services: Services, asked: list[str]) -> None:
    await CampaignCache(services).settings_of("1")
    key = services.keys.shared_settings("1")
    asked_ms, _, document = str(await services.client.get(key)).partition(" ")
    await services.client.set(key, f"{int(asked_ms) + 3_600_000} {document}", px=5000)
    await CampaignCache(services).settings_of("1")
    assert asked == ["1", "1"]
    kept = await services.shared_settings.newest("1")
    assert kept is not None
    assert kept[1] < TTL_S


async def test_a_slow_answer_does_not_replace_a_newer_one(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (CampaignSettings(queue_name="sales", max_retries=number) for number in (9, 1))
    is_asked, may_answer = anyio.Event(), anyio.Event()

    async def answer_late(_: str) -> CampaignSettings:
        is_asked.set()
        await may_answer.wait()
        return old

    async def answer(_: str) -> CampaignSettings:
        return new

    slow = CampaignCache(services)
    async with anyio.create_task_group() as group:
        monkeypatch.setattr(services.backend, "campaign", answer_late)
        group.start_soon(slow.settings_of, "1")
        await is_asked.wait()
        await anyio.sleep(0.002)  # ages are counted in ms
        monkeypatch.setattr(services.backend, "campaign", answer)
        await CampaignCache(services).settings_of("1")
        may_answer.set()
    kept = await services.shared_settings.newest("1")
    assert kept is not None
    assert kept[0].max_retries == 1
    assert (await slow.settings_of("1")).max_retries == 1


async def test_settings_are_kept_here_for_as_long_as_ticks_may_use_them(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = msgspec.structs.replace(services.settings, campaign_cache_ttl_s=300.0)
    cache = CampaignCache(msgspec.structs.replace(services, settings=long))
    await cache.settings_of("1")
    now = monotonic()
    monkeypatch.setattr("streamdialer.consumers.ttl_cache.monotonic", lambda: now + 200)
    await cache.settings_of("2")
    assert cache.known("1") is not None
    await services.client.delete(*map(services.keys.shared_settings, "12"))  # they would outlast the test
