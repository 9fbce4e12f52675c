"""Registers of numbers that must not be called: a campaign is dialed only while its newest query is young enough."""

from __future__ import annotations

import pytest

from streamdialer.broker.connection import server_ms
from streamdialer.consumers.services import Services
from streamdialer.ledger.suppression import RegistryQuery
from streamdialer.model import CampaignSettings
from streamdialer.operations.registries import check_registries
from streamdialer.rules.caps import caps_of
from streamdialer.rules.rule_pack import load_pack
from streamdialer.rules.zone_clock import DAY_MS
from tests.support.caps_fixture import CapsWorld

HERS = "+573001234567"


@pytest.fixture
async def world(services: Services) -> CapsWorld:
    """A campaign with one contact, under a pack whose registry may have been asked 5 days ago."""
    world = CapsWorld(services)
    await world.set_agents(9)
    await world.know("1", "1", HERS)
    world.caps = caps_of(load_pack("co"), CampaignSettings(queue_name=world.queue))
    return world


async def ask(world: CapsWorld, days_ago: float, registry: str = "rne") -> None:
    asked_ms = await server_ms(world.client) - days_ago * DAY_MS
    await world.services.suppression.record_query(registry, int(asked_ms / 1000), 7)


async def stops(world: CapsWorld) -> str:
    """Why a claim dials nothing."""
    claimed = await world.claim("1")
    assert (claimed.dialed, claimed.reason, claimed.ready) == (0, "registry_outdated", 1)
    return claimed.detail


async def test_a_registry_that_was_never_asked_is_named_by_doctor_and_stops_nothing(world: CapsWorld) -> None:
    await world.place_one()
    [finding] = [each async for each in check_registries(world.client, world.keys, ["1"])]
    assert (finding.check, finding.level) == ("registry rne", "warn")
    assert finding.text == "no query is recorded, and the rules of campaign 1 name it"
    await ask(world, 1)
    [finding] = [each async for each in check_registries(world.client, world.keys, ["1"])]
    assert finding.level == "ok"


async def test_dialing_stops_when_the_newest_query_is_too_old(world: CapsWorld) -> None:
    await ask(world, 5.01)
    detail = await stops(world)
    assert "rule pack co 2026.1 (Ley 2300 de 2023" in detail
    assert "not verified): the registry rne is asked at least every 5 days; it was last asked at 20" in detail
    await ask(world, 4.99)
    await ask(world, 30)
    await world.place_one()


async def test_the_query_of_another_registry_does_not_count(world: CapsWorld) -> None:
    await ask(world, 6)
    await ask(world, 0, "dnc")
    await stops(world)


async def test_a_reserved_call_is_not_sent_when_the_query_has_become_too_old(world: CapsWorld) -> None:
    await ask(world, 4.9999)
    attempt = await world.reserve()
    await world.client.hset(world.keys.server, "registry:rne", "1 1 1")
    assert await world.mark_sent(attempt) == "registry_outdated"
    assert await world.state_of("1") == "ready"


async def test_queries_are_kept_with_their_dates(world: CapsWorld) -> None:
    now_s = await server_ms(world.client) // 1000
    await ask(world, 2)
    [query] = await world.services.suppression.queries()
    assert abs(query.imported_s - now_s) < 60
    assert query == RegistryQuery("rne", query.asked_s, query.imported_s, 7)
    assert abs(query.asked_s - (now_s - 2 * 86_400)) < 60


@pytest.mark.parametrize(
    ("days_ago", "level", "words"),
    [(1, "ok", "asked 1 days ago, 7 numbers"), (3, "warn", "co stop"), (9, "warn", "now")],
)
async def test_doctor_warns_before_the_dialing_stops(
    world: CapsWorld, days_ago: float, level: str, words: str
) -> None:
    await ask(world, days_ago)
    [finding] = [each async for each in check_registries(world.client, world.keys, [])]
    assert (finding.check, finding.level) == ("registry rne", level)
    assert words in finding.text
