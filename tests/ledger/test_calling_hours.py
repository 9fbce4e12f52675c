"""Calling hours in the ledger: at load, in the claim, and before the request leaves."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from streamdialer.consumers.dialing.contact_rows import load_row
from streamdialer.ledger.recovery import InFlightRow
from streamdialer.ledger.types import ClaimResult
from streamdialer.ledger.zone_hours import Hours, ZoneOpening
from streamdialer.model import Block, CampaignSettings, Contact
from streamdialer.rules.calling_hours import calling_hours
from tests.support.claims import claim_within_hours
from tests.support.ledger_fixture import LedgerWorld
from tests.support.zones import zone_where

HOUR_MS = 3_600_000
NUMBERS = {
    "Pacific/Honolulu": "+18085551234",
    "America/Bogota": "+573001234567",
    "Europe/Athens": "+302101234567",
    "Asia/Tokyo": "+81312345678",
}
"""A number in each of some zones: at any time it is day in one and night in another."""


async def server_ms(world: LedgerWorld) -> int:
    seconds, micros = await world.client.time()
    return int(seconds) * 1000 + int(micros) // 1000


async def load(world: LedgerWorld, hours: Hours | None, *contacts: str) -> Any:
    return await world.services.campaigns.load("1", [world.row(name) for name in contacts], 3, hours=hours)


async def due_of(world: LedgerWorld, contact: str) -> float:
    score: Any = await world.client.zscore(world.keys.deferred("1"), contact)
    return float(score)


async def test_a_contact_outside_its_hours_waits_for_them_from_the_start(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0)
    now = await server_ms(world)
    hours = Hours(
        zones={
            "A": ZoneOpening(until_ms=now + HOUR_MS),
            "B": ZoneOpening(opens_ms=now + HOUR_MS, rule="law 1"),
        },
        contacts={"1": "A", "2": "B", "3": "?"},
    )
    loaded = await load(world, hours, "1", "2", "3")
    assert (loaded.added, loaded.refused) == (1, {"window_closed": 1, "zone_unknown": 1})
    assert loaded.blocked == [
        Block("window_closed", 1, "law 1", ["2"]),
        Block("zone_unknown", 1, "", ["3"]),
    ]
    assert await world.state_of("1") == "ready"
    record = await world.record("2")
    assert (record["p"], record["z"], record["w"]) == ("deferred", "B", {"y": "window_closed", "s": "law 1"})
    assert abs(await due_of(world, "2") - (now + HOUR_MS)) < 1000
    assert await world.backend_status("2") is None, "the backend shows it as pending, and that is what it is"
    record = await world.record("3")
    assert (record["p"], record["why"]) == ("final", "zone_unknown")
    assert await world.backend_status("3") == "invalid"
    await world.check_invariants()


async def test_a_claim_passes_over_who_is_outside_their_hours(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0)
    now = await server_ms(world)
    of_contacts = {"1": "A", "2": "B", "3": "A"}
    await load(world, Hours(zones={}, contacts=of_contacts), "1", "2", "3")
    await world.set_agents(5)
    claimed = await world.claim(
        open_until_ms=now + 9 * HOUR_MS,
        hours=Hours(
            zones={
                "A": ZoneOpening(until_ms=now + HOUR_MS),
                "B": ZoneOpening(opens_ms=now + HOUR_MS, rule="law 1"),
            }
        ),
    )
    assert (claimed.dialed, claimed.skipped, claimed.missing) == (2, {"window_closed": 1}, None)
    assert claimed.why == {"window_closed": "law 1"}
    assert claimed.blocked == [Block("window_closed", 1, "law 1", ["2"])]
    assert [attempt.contact for attempt in await world.reserved_calls()] == ["1", "3"]
    entries: Any = await world.client.xrange(world.keys.stream("calls"))
    assert {fields["until"] for _, fields in entries} == {str(now + HOUR_MS)}, "the narrower end"
    assert (await world.record("2"))["w"] == {"y": "window_closed", "s": "law 1"}
    await world.check_invariants()


async def test_a_claim_names_the_first_blocked_contacts_and_counts_all_by_rule(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0)
    now = await server_ms(world)
    names = [str(at) for at in range(1, 91)]
    of_contacts = {name: "AB"[int(name) % 2] for name in names}
    await load(world, Hours(zones={}, contacts=of_contacts), *names)
    await world.set_agents(5)
    zones = {each: ZoneOpening(opens_ms=now + HOUR_MS, rule=f"law {each}") for each in "AB"}
    claimed = await world.claim(hours=Hours(zones=zones), batch=100)
    assert claimed.skipped == {"window_closed": 90}
    assert {(block.rule, block.count) for block in claimed.blocked} == {("law A", 45), ("law B", 45)}
    assert [name for block in claimed.blocked for name in block.contacts] == [
        name for rest in (1, 0) for name in names[:50] if int(name) % 2 == rest
    ]


@pytest.mark.parametrize("campaigns_end", [None, 1000])
async def test_a_call_may_be_placed_until_the_first_end(
    world: LedgerWorld, campaigns_end: int | None
) -> None:
    await world.open_campaign(contacts=0)
    now = await server_ms(world)
    await load(world, Hours(zones={}, contacts={"1": "A"}), "1")
    await world.set_agents(1)
    until = None if campaigns_end is None else now + HOUR_MS
    opening = ZoneOpening() if campaigns_end else ZoneOpening(until_ms=now + 2 * HOUR_MS)
    await world.claim(open_until_ms=until, hours=Hours(zones={"A": opening}))
    entries: Any = await world.client.xrange(world.keys.stream("calls"))
    assert entries[0][1]["until"] == str(now + (1 if campaigns_end else 2) * HOUR_MS)


async def test_a_request_does_not_leave_after_the_contacts_hours(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    attempt = await world.reserve()
    now = await server_ms(world)
    assert (await world.services.campaigns.mark_sent(attempt, "run", str(now - 1))).status == "window_closed"
    assert await world.state_of("1") == "ready"


async def test_a_contact_whose_zone_the_claim_lacks_stays_first_and_is_named(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0)
    await load(world, Hours(zones={}, contacts={"1": "A", "2": "B", "3": "A"}), "1", "2", "3")
    await load(world, None, "4")
    await world.set_agents(5)
    claimed = await world.claim(hours=Hours(zones={"A": ZoneOpening()}))
    assert (claimed.dialed, claimed.limit) == (1, "hours")
    assert claimed.missing is not None
    assert claimed.missing.zones == {"B": True}
    assert set(claimed.missing.contacts) == {"4"}
    assert [await world.state_of(name) for name in "1234"] == ["reserved", "ready", "ready", "ready"]


async def test_an_opening_that_has_ended_since_it_was_reckoned_is_asked_for_again(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0)
    now = await server_ms(world)
    await load(world, Hours(zones={}, contacts={"1": "A"}), "1")
    await world.set_agents(5)
    for stale in (ZoneOpening(until_ms=now - 1), ZoneOpening(opens_ms=now - 1)):
        claimed = await world.claim(hours=Hours(zones={"A": stale}))
        assert claimed.dialed == 0
        assert claimed.missing is not None
        assert claimed.missing.zones == {"A": True}


async def test_who_was_loaded_without_a_law_is_given_its_zone_when_there_is_one(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0)
    day, night = zone_where(10, 18), zone_where(0, 6)
    contacts = [
        Contact(id=1, phone_number="5550001", timezone=night),
        Contact(id=2, phone_number="5550002", timezone=day),
        Contact(id=3, phone_number="5550003", timezone="UTC-5"),
        Contact(id=4, phone_number="5550004"),
    ]
    await world.services.campaigns.load("1", [load_row(one) for one in contacts], 3)
    await world.set_agents(5)
    now = await server_ms(world)
    hours = calling_hours(CampaignSettings(queue_name="q", rule_pack="us", timezone=day), "UTC", now)
    wanted = world.claim_request("t", 5, 5)
    claimed = await claim_within_hours(world.services, "1", world.queue, wanted, hours, now)
    assert (claimed.dialed, claimed.skipped) == (2, {"window_closed": 1, "zone_unknown": 1})
    assert (claimed.why or {})["window_closed"].startswith("rule pack us ")
    assert [await world.state_of(name) for name in "1234"] == ["deferred", "reserved", "final", "reserved"]
    assert [(await world.record(name))["z"] for name in "1234"] == [night, day, "?", ""]
    again = await claim_within_hours(world.services, "1", world.queue, wanted, hours, now)
    assert again.dialed == 2, "the same tick again gives the same answer"
    assert len(await world.reserved_calls()) == 2


async def test_a_callback_on_another_number_waits_for_the_hours_of_both(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0)
    day = next(name for name in NUMBERS if 9 <= datetime.now(ZoneInfo(name)).hour < 20)
    night = next(name for name in NUMBERS if not 8 <= datetime.now(ZoneInfo(name)).hour < 21)
    await world.services.campaigns.load("1", [load_row(Contact(id=1, phone_number=NUMBERS[day]))], 3)
    await world.set_agents(1)
    now = await server_ms(world)
    hours = calling_hours(CampaignSettings(queue_name="q", rule_pack="us", timezone=day), "UTC", now)

    async def claim() -> ClaimResult:
        wanted = world.claim_request(await world.write_entry(), 1, 1)
        return await claim_within_hours(world.services, "1", world.queue, wanted, hours, now)

    async def ask(number: str) -> str:
        return await world.services.callbacks.schedule(
            "1", "1", now - 1, entry=await world.write_entry(), phone_number=number, compared=number
        )

    assert await ask(NUMBERS[night]) == "applied"
    claimed = await claim()
    assert (claimed.dialed, claimed.skipped) == (0, {"window_closed": 1})
    assert set((await world.record("1"))["z"].split(",")) >= {day, night}
    assert await ask("") == "applied"
    assert (await claim()).dialed == 1, "on its own number, where it is day"


async def test_when_its_hours_open_it_is_ready_in_its_old_place(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0)
    now = await server_ms(world)
    closed = Hours(
        zones={"B": ZoneOpening(opens_ms=now + HOUR_MS, rule="law")}, contacts={"9": "B", "1": "B"}
    )
    await load(world, closed, "9", "1")
    await world.age(3601)
    swept = await world.sweep()
    assert (swept.promoted, swept.wake) == (2, True)
    assert await world.client.zrange(world.keys.ready("1"), 0, -1) == ["9", "1"]
    assert await world.backend_status("9") is None
    await world.check_invariants()


async def test_a_retry_that_falls_outside_the_hours_waits_on(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0)
    now = await server_ms(world)
    await load(world, Hours(zones={}, contacts={"1": "A"}), "1")
    await world.set_agents(1)
    await world.claim(hours=Hours(zones={"A": ZoneOpening()}))
    attempt = (await world.reserved_calls())[0]
    assert await world.mark_sent(attempt) == "ok"
    await world.event("call_failed", attempt, disposition="no_answer")
    assert (await world.record("1"))["w"]["y"] == "retry"
    await world.age(301)
    await world.sweep()
    night = Hours(zones={"A": ZoneOpening(opens_ms=now + 9 * HOUR_MS, rule="law 1")})
    claimed = await world.claim(hours=night)
    assert (claimed.dialed, claimed.skipped) == (0, {"window_closed": 1})
    assert (await world.record("1"))["w"] == {"y": "window_closed", "s": "law 1"}
    assert abs(await due_of(world, "1") - (now + 9 * HOUR_MS)) < 1000


async def test_after_a_data_loss_the_backend_says_who_waits_for_hours(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0)
    now = await server_ms(world)
    closed = Hours(zones={"B": ZoneOpening(opens_ms=now + HOUR_MS)}, contacts={"1": "B", "2": "B"})
    await load(world, closed, "1")
    await world.client.hset(world.keys.server, "run", "another")
    await world.claim(level=0)  # notices
    memory = world.services.memory
    await memory.drop_reloadable("1")
    assert await world.count("1", "deferred") == 0
    await load(world, closed, "2")
    assert await memory.hold_in_flight("1", [InFlightRow(world.row("2"), False, None)], world.retry) == 0
    assert await world.backend_status("2") == "pending", "and not failed: it was never called"
