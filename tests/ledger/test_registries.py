"""Registers of numbers that must not be called: a campaign is dialed only while its newest query is young enough."""

from __future__ import annotations

import pytest

from streamdialer.broker.connection import server_ms
from streamdialer.consumers.services import Services
from streamdialer.ledger.suppression import RegistryQuery
from streamdialer.model import CampaignSettings
from streamdialer.operations.overview.alerts import ALARMING
from streamdialer.operations.overview.collect import overview
from streamdialer.operations.registries import check_registries
from streamdialer.operations.registry_ages import registry_warnings_of
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


@pytest.mark.parametrize(
    ("days_ago", "words"),
    [
        (1.9, None),
        (2.1, "was last asked 2 days ago: in 2 days no call will be placed until"),
        (4.9, "was last asked 4 days ago: in 2 hours no call will be placed until"),
        (9, "was last asked 9 days ago: no call is placed until"),
    ],
)
async def test_the_supervisor_sees_a_registrys_age_before_and_after_it_stops_the_calls(
    world: CapsWorld, days_ago: float, words: str | None
) -> None:
    await ask(world, days_ago)
    await world.claim("1")
    services, now_ms = world.services, await server_ms(world.client)
    found = await registry_warnings_of(services.client, services.keys, "1", now_ms)
    alerts = (await overview(services.scripts, services.keys)).alerts
    shown = [alert for alert in alerts if alert.code == "registry_age"]
    assert len(found) == len(shown) == (words is not None)
    if words:
        assert words in found[0]
        assert "`streamdialer dnc import FILE --source rne --asked DATE`" in found[0]
        assert words in shown[0].text
        assert (shown[0].level, shown[0].campaign_id) == ("warning", 1)


def test_a_campaign_that_a_registry_has_stopped_is_an_alarm() -> None:
    assert "registry_outdated" in ALARMING
