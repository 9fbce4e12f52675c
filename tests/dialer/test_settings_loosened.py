"""When a campaign's caps or hours are loosened, the contacts that they deferred are checked again at once."""

from __future__ import annotations

import msgspec
import pytest
from redis.asyncio import Redis

from streamdialer.config.settings import Settings
from streamdialer.consumers.services import Services
from streamdialer.ledger.types import LoadRow
from streamdialer.ledger.zone_hours import Hours, ZoneOpening
from streamdialer.simulation.world.build import build_world
from tests.support.caps_fixture import HOUR_S, CapsWorld
from tests.support.dialer import run_dialer


@pytest.fixture
async def world(services: Services) -> CapsWorld:
    world = CapsWorld(services)
    await world.set_agents(9)
    return world


async def look(world: CapsWorld, hours: Hours | None = None, most: int = 500) -> list[int]:
    """How many became ready with each look, until there is no more to look at."""
    brought, is_more = [], True
    while is_more:
        ready, is_more = await world.services.campaigns.recheck_deferred("1", hours, most)
        brought.append(ready)
    return brought


async def capped(world: CapsWorld, hours: int) -> None:
    """A contact who was called a moment ago and may not be called again for so many hours."""
    world.cap(min_gap={"hours": hours, "scope": "contact"})
    await world.know("1", "1", "+573001234567")
    await world.missed()
    assert await world.refused() == {"min_gap": 1}


async def test_a_contact_whose_cap_was_lifted_is_called_at_once(world: CapsWorld) -> None:
    await capped(world, 2)
    assert not (await world.claim()).recheck
    world.cap()
    assert (await world.claim()).recheck
    assert sum(await look(world)) == 1
    claimed = await world.claim()
    assert (claimed.dialed, claimed.recheck) == (1, False)
    await world.check_invariants("1")


async def test_a_contact_waits_no_longer_than_a_shortened_cap_says(world: CapsWorld) -> None:
    await capped(world, 6)
    world.cap(min_gap={"hours": 3, "scope": "contact"})
    assert (await world.claim()).recheck
    assert sum(await look(world)) == 0
    assert await world.due_in_s("1") <= 3 * HOUR_S
    assert (await world.record("1"))["w"]["y"] == "min_gap"
    assert not (await world.claim()).recheck


async def test_a_bounded_part_is_looked_at_each_time_and_no_contact_is_forgotten(world: CapsWorld) -> None:
    await world.open_campaign(contacts=0)
    now = (await world.claim(level=0)).server_ms
    closed = Hours(zones={"A": ZoneOpening(opens_ms=now + 9 * HOUR_S * 1000)})
    numbers = [str(number) for number in range(1, 1301)]
    rows = [
        LoadRow(one, 5, 0, msgspec.json.encode({"id": int(one), "phone_number": one}).decode())
        for one in numbers
    ]
    closed = msgspec.structs.replace(closed, contacts=dict.fromkeys(numbers, "A"))
    await world.services.campaigns.load("1", rows, 3, "", closed)
    assert await world.count("1", "deferred") == 1300
    opened = Hours(zones={"A": ZoneOpening(until_ms=now + 9 * HOUR_S * 1000)})
    await world.claim(level=0, hours=closed, hours_fingerprint="closed")
    assert (await world.claim(level=0, hours=opened, hours_fingerprint="open")).recheck
    brought = await look(world, opened, 200)
    assert max(brought) == 200
    assert sum(brought) == 1300
    await world.check_invariants("1")


async def test_hours_that_are_still_closed_or_not_known_here(world: CapsWorld) -> None:
    await world.open_campaign(contacts=2)
    now = (await world.claim(level=0)).server_ms
    later = {
        zone: ZoneOpening(opens_ms=now + 9 * HOUR_S * 1000, rule="closed until nine") for zone in ("A", "B")
    }
    closed = Hours(zones=later, contacts={"1": "A", "2": "B"})
    assert (await world.claim(hours=closed, hours_fingerprint="1")).skipped == {"window_closed": 2}
    sooner = Hours(zones={"A": ZoneOpening(opens_ms=now + HOUR_S * 1000, rule="closed until one")})
    assert (await world.claim(level=0, hours=sooner, hours_fingerprint="2")).recheck
    assert sum(await look(world, sooner)) == 1
    assert await world.due_in_s("1") <= HOUR_S
    assert (await world.record("1"))["w"]["s"] == "closed until one"
    missing = (await world.claim(hours=sooner, hours_fingerprint="2")).missing
    assert missing is not None
    assert missing.zones == {"B": True}, "the claim names the zone whose hours were not passed"
    await world.check_invariants("1")


async def test_a_campaign_whose_cap_is_lifted_goes_on_calling(redis: Redis, settings: Settings) -> None:
    world = build_world(agents=3, contacts=6, mode="progressive", speed=100, answer_rate=0.0, retry_delay_s=1)
    campaign = next(iter(world.campaigns.values()))
    campaign.attempt_caps = [{"count": 1, "window_h": 24, "scope": "contact"}]
    async with run_dialer(settings, world, speed=100, campaign_cache_ttl_s=0.1) as dialer:
        await dialer.until(lambda audit: audit.total.originates >= 6 and not audit.live_calls)
        await dialer.until(lambda audit: audit.total.originates == 6)
        campaign.attempt_caps = None
        await dialer.until(lambda audit: audit.total.originates >= 12, what="they are tried again")
