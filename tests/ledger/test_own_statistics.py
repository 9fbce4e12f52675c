"""The statistics that are made of our own counts, where no Dialer API keeps them."""

from __future__ import annotations

from typing import Any

from streamdialer.consumers.statistics import own_statistics
from tests.support.ledger_fixture import LedgerWorld
from tests.support.ledger_reader import move_clock


async def statistics(world: LedgerWorld) -> dict[str, Any]:
    return own_statistics(await world.public(), await world.services.samples.history("1"))


async def test_a_campaign_without_calls_has_statistics(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=3)
    found = await statistics(world)
    assert (found["total_contacts"], found["average_duration"], found["calls_per_hour"]) == (3, 0.0, 0.0)


async def test_contacts_that_are_finished_and_forgotten_stay_counted(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=3, agents=3)
    attempt = await world.place_one()
    await world.event("call_answered", attempt)
    await world.event("call_completed", attempt)
    update = await world.lease_update("1", "worker")
    await world.services.outbox.acknowledge("1", "1", "worker", update.version)
    await world.age(601)
    assert (await world.sweep()).forgotten == 1
    assert (await statistics(world))["total_contacts"] == 3


async def test_talks_are_measured_once_from_the_answer_to_the_end(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=5, agents=5)
    long, short, unanswered, live = [await world.place_one() for _ in range(4)]
    for attempt in (long, short, live):
        await world.event("call_answered", attempt)
    await world.event("call_failed", unanswered, disposition="busy")
    await move_clock(world.client, world.keys, 20)
    for _ in range(2):
        await world.event("call_completed", short)
    await move_clock(world.client, world.keys, 80)
    await world.event("call_completed", long)
    assert 60 <= (await statistics(world))["average_duration"] < 62, "of 100 s and 20 s"


async def test_the_pace_is_that_of_the_last_half_hour(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=9, agents=9)
    await world.place_one()
    await world.services.samples.take("1", "sales")
    for _ in range(5):
        await world.place_one()
    key = world.keys.samples("1")
    raw: Any = await world.client.lindex(key, 0)
    at = int(raw[1 : raw.index(",")])
    await world.client.lset(key, 0, raw.replace(str(at), str(at - 1_800_000)))
    assert 9.9 <= (await statistics(world))["calls_per_hour"] <= 10.0
