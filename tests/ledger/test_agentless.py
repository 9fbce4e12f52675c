"""The claim of an agentless campaign: its slots decide, and no agent counts."""

from __future__ import annotations

from typing import Any

import pytest

from streamdialer.consumers.services import Services
from streamdialer.ledger.rate_limits import RateLimits
from streamdialer.ledger.types import ClaimResult
from streamdialer.model import AGENTLESS_QUEUE
from tests.support.ledger_fixture import LedgerWorld
from tests.support.ledger_reader import move_clock


async def campaign(services: Services, contacts: int = 50) -> LedgerWorld:
    world = LedgerWorld(services, f"{AGENTLESS_QUEUE}1")
    await world.open_campaign(contacts=contacts)
    return world


async def claim(world: LedgerWorld, slots: int = 10, **limits: Any) -> ClaimResult:
    return await world.claim(level=slots, slots=slots, **limits)


async def test_the_first_calls_ramp_up_over_half_a_minute(services: Services) -> None:
    world = await campaign(services)
    first = await claim(world)
    assert (first.dialed, first.limit) == (1, "ramp")
    assert first.next_ms is not None
    assert 5_000 < first.next_ms <= 6_000, "the second slot opens after a fifth of the half minute"
    await move_clock(services.client, services.keys, 15)
    half = await claim(world)
    assert (half.dialed, half.live, half.limit) == (4, 5, "ramp")
    await move_clock(services.client, services.keys, 15)
    whole = await claim(world)
    assert (whole.dialed, whole.live, whole.limit, whole.next_ms) == (5, 10, "level", None)
    await world.check_invariants()


async def open_all(world: LedgerWorld) -> None:
    """Its ramp is over, with one call up."""
    assert (await claim(world)).dialed == 1
    await move_clock(world.client, world.keys, 30)


async def test_a_connected_call_takes_its_slot_until_it_ends(services: Services) -> None:
    world = await campaign(services)
    await open_all(world)
    assert (await claim(world, 4)).dialed == 3
    calls = await world.reserved_calls()
    for call in calls:
        assert await world.mark_sent(call) in ("ok", "stale")
    connected = calls[-1]
    assert await world.event("call_answered", connected) == "applied"
    assert (await claim(world, 4)).dialed == 0
    assert await world.event("call_completed", connected) == "ended"
    assert (await claim(world, 4)).dialed == 1
    await world.check_invariants()


async def test_a_ramp_begins_anew_only_after_a_pause_without_calls(services: Services) -> None:
    world = await campaign(services)
    await open_all(world)
    assert (await claim(world, 4)).dialed == 3
    await move_clock(services.client, services.keys, 60)
    await world.open_campaign(contacts=50)  # the list shows them still
    assert (await claim(world, 8)).dialed == 4, "calls were up all the time"
    for call in await world.reserved_calls():
        await world.mark_sent(call)
        await world.event("call_failed", call, disposition="busy")
    again = await claim(world, 8)
    assert again.dialed == 8, "the last calls were placed a moment ago"
    for call in (await world.reserved_calls())[-8:]:
        await world.mark_sent(call)
        await world.event("call_failed", call, disposition="busy")
    await move_clock(services.client, services.keys, 60)
    await world.open_campaign(contacts=50)
    assert (await claim(world, 8)).dialed == 1


@pytest.mark.parametrize(
    ("limits", "dialed", "limit"),
    [
        ({"max_concurrent": 3}, 2, "concurrency"),
        ({"rate_limits": RateLimits(calls_per_second=4)}, 4, "calls_per_second"),
        ({"rate_limits": RateLimits(trunk="t", trunk_channels=6)}, 5, "trunk_channels"),
    ],
)
async def test_the_other_limits_hold(
    services: Services, limits: dict[str, Any], dialed: int, limit: str
) -> None:
    world = await campaign(services)
    await open_all(world)
    claimed = await claim(world, **limits)
    assert (claimed.dialed, claimed.limit) == (dialed, limit)


async def test_its_calls_use_no_agents_of_a_queue(services: Services) -> None:
    world, sales = await campaign(services), LedgerWorld(services)
    await sales.open_campaign("2", 10, first=100, agents=3)
    await open_all(world)
    assert (await claim(world)).dialed == 9
    assert (await sales.claim("2")).dialed == 3
    await sales.check_invariants()
