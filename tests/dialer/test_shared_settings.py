"""All replicas together ask the backend for a campaign's settings once, as long as they are fresh."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
from redis.asyncio import Redis

from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.campaign_cache import CampaignCache
from streamdialer.consumers.services import Services
from streamdialer.model import CampaignSettings
from streamdialer.simulation.world.build import build_world
from tests.support.dialer import open_centre

TTL_S = 5.0


@pytest.fixture
async def services(settings: Settings, redis: Redis) -> AsyncIterator[Services]:
    world = build_world(agents=1, contacts=1)
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
