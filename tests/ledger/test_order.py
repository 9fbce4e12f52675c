"""Whom a campaign calls first, and who is looked up in the backend before they are called."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
from aiohttp import web

from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.contact_rows import load_row
from streamdialer.consumers.dialing.pending_check import PendingCheck
from streamdialer.consumers.services import Services, open_services
from streamdialer.model import CampaignSettings, Contact
from streamdialer.rules.numbers import read_number
from streamdialer.simulation import CallCentre, build_world
from streamdialer.simulation.servers.http import json_reply
from tests.support.ledger_fixture import LedgerWorld
from tests.support.ticks_stage import Hall

pytestmark = pytest.mark.anyio


@pytest.fixture
def world(services: Services) -> LedgerWorld:
    return LedgerWorld(services)


async def ready_order(world: LedgerWorld) -> list[str]:
    client, keys = world.services.client, world.services.keys
    return [str(contact) for contact in await client.zrange(keys.ready("1"), 0, -1)]


async def make_stale(world: LedgerWorld, *contacts: str) -> None:
    """The backend was last heard of them a day ago."""
    for contact in contacts:
        record = await world.record(contact)
        record["sn"] -= 86_400_000
        await world.services.client.hset(
            world.services.keys.records("1"), contact, msgspec.json.encode(record).decode()
        )


# ---- order ----


async def test_a_contact_whose_priority_changes_moves_and_keeps_its_age(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=4)
    load = world.services.campaigns.load
    await load("1", [world.row("4", 9), world.row("2", 1)], 3)
    assert await ready_order(world) == ["4", "1", "3", "2"]
    await load("1", [world.row("4"), world.row("2")], 3)
    assert await ready_order(world) == ["1", "2", "3", "4"], "as if nothing had happened"
    await world.check_invariants()


async def test_a_number_corrected_in_the_backend_is_the_one_that_is_called(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0)
    await world.set_agents(2)
    load = world.services.campaigns.load
    wrong, right = (
        load_row(Contact(id=1, phone_number=number)) for number in ("+573001234567", "+573001234568")
    )
    await load("1", [wrong], 3)
    await load("1", [right], 3)
    client, keys = world.services.client, world.services.keys
    assert await client.zrange(keys.contacts_by_number, 0, -1) == ["573001234568 1:1"]
    await world.claim(level=1)
    [(_, attempt)] = await world.reserved_calls()
    assert attempt.contact == "1"
    assert "+573001234568" in str(await client.xrange(keys.stream("calls")))
    await load("1", [wrong], 3)
    assert await client.zrange(keys.contacts_by_number, 0, -1) == ["573001234568 1:1"], (
        "nobody who is being called changes"
    )


async def test_a_number_corrected_to_one_that_must_not_be_called_leaves_the_line(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0)
    await world.services.suppression.suppress([read_number("+573001234568")], "by hand")
    load = world.services.campaigns.load
    await load("1", [load_row(Contact(id=1, phone_number="+573001234567"))], 3)
    await load("1", [load_row(Contact(id=2, phone_number="+573001234567"))], 3)
    await load("1", [load_row(Contact(id=1, phone_number="+573001234568"))], 3)
    await load("1", [load_row(Contact(id=2, phone_number="unknown"))], 3)
    assert await ready_order(world) == []
    assert (await world.backend_doc("1") or {})["s"] == "do_not_call"
    assert (await world.backend_doc("2") or {})["s"] == "invalid"


async def test_whoever_waits_takes_the_new_priority_when_due(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1)
    await world.set_agents(1)
    await world.event("call_failed", await world.place_one(), disposition="busy")
    await world.services.campaigns.load("1", [world.row("1", 8), world.row("2", 7), world.row("3", 9)], 3)
    assert await world.state_of("1") == "deferred"
    await world.age(301)
    await world.sweep()
    assert await ready_order(world) == ["3", "1", "2"]


async def test_of_one_priority_whoever_is_due_comes_after_whoever_is_older(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2)
    await world.set_agents(1)
    await world.event("call_failed", await world.place_one(), disposition="busy")
    await world.age(301)
    await world.sweep()
    assert set(await ready_order(world)) == {"1", "2"}
    assert (await world.record("1"))["o"] < (await world.record("2"))["o"], "it was due before 2 was loaded"


# ---- staleness, in the ledger ----


async def test_a_stale_contact_is_passed_over_and_named_and_the_next_is_dialed(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=3)
    await world.set_agents(1)
    await make_stale(world, "1")
    claimed = await world.claim()
    assert (claimed.dialed, claimed.stale, claimed.skipped) == (1, ["1"], {"needs_verification": 1})
    assert [attempt.contact for _, attempt in await world.reserved_calls()] == ["2"]
    assert await world.state_of("1") == "ready"
    await world.check_invariants()


async def test_whom_the_backend_shows_again_is_dialed(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1)
    await world.set_agents(1)
    await make_stale(world, "1")
    assert (await world.claim()).dialed == 0
    due_for_retry = msgspec.structs.replace(world.row("1"), reset=True)
    await world.services.campaigns.load("1", [due_for_retry], 3)
    assert (await world.claim()).dialed == 0, "it was not shown as pending"
    await world.services.campaigns.load("1", [world.row("1")], 3)
    assert (await world.claim()).dialed == 1


async def test_whoever_has_gone_leaves_the_line_and_the_backend_is_told_nothing(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2)
    await make_stale(world, "1", "2")
    claimed = await world.claim(level=0)
    drop = world.services.lists.remove_missing
    assert await drop("1", claimed.ledger_ms, ["1"]) == 1
    assert await drop("1", claimed.ledger_ms, ["1"]) == 1, "a lost reply is asked for again"
    assert (await world.state_of("1"), await world.state_of("2")) == ("final", "ready")
    assert await world.backend_doc("1") is None
    assert await world.services.outbox.acknowledge("1", "1", "late deliverer", 1) == "lost"
    assert await world.backend_doc("1") is None, "what the backend shows is its own"
    await world.services.campaigns.load("1", [world.row("1")], 3)
    assert await world.state_of("1") == "final", "a page read before"
    await world.age(601)
    assert (await world.sweep()).forgotten == 1
    await world.check_invariants()


async def test_whoever_was_seen_or_has_news_since_is_not_judged(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2)
    await world.set_agents(2)
    asked = (await world.claim(level=0)).ledger_ms
    await world.services.campaigns.load("1", [world.row("2")], 3)
    assert await world.services.lists.remove_missing("1", asked, ["2"]) == 0
    await world.settle(await world.place_one(), "not_placed")
    await make_stale(world, "1")
    claimed = await world.claim(level=2)
    assert (claimed.stale, claimed.skipped) == ([], {"needs_verification": 1}), (
        "the backend's view is old, not ours"
    )
    assert await world.services.lists.remove_missing("1", claimed.ledger_ms, ["1"]) == 0
    assert await world.state_of("1") == "ready"


async def test_a_put_back_contact_has_not_been_seen_again(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1)
    await world.set_agents(1)
    before = (await world.record("1"))["sn"]
    await world.claim()
    (_, attempt) = (await world.reserved_calls())[0]
    await world.services.client.hset("campaign:1", "status", "paused")
    assert await world.services.campaigns.mark_sent(attempt, "run", "") == "not_active"
    assert (await world.record("1"))["sn"] == before


# ---- staleness, with a backend ----


@pytest.fixture
async def hall(settings: Settings, redis: object) -> AsyncIterator[Hall]:
    """Six contacts of one priority are ready, no agent is free, and the list is read only when asked for."""
    centre_world = build_world(agents=0, contacts=6)
    for contact in centre_world.contacts.values():
        contact.priority = 5
    async with CallCentre(centre_world, settings.redis_url) as centre:
        here = msgspec.structs.replace(
            settings, backend_url=centre.backend_url, refill_interval_s=600, refill_threshold=3, page_size=2
        )
        async with open_services(here) as services:
            await services.client.hset("campaign:1", "status", "active")
            hall = Hall(centre, services)
            assert (await hall.dial()).ready == 6
            for agent in range(1, 7):
                centre.world.add_agent(agent, "sales")
            await services.queues.invalidate_agents("sales")
            yield hall


async def test_contacts_removed_or_finished_in_the_backend_are_not_dialed(hall: Hall) -> None:
    contacts = hall.centre.world.contacts
    contacts[1].status, contacts[4].status, contacts[5].campaign_id = "completed", "do_not_call", 2
    hall.remove(2)
    await make_stale(hall.world, *"123456")
    assert (await hall.dial()).dialed == 2
    assert await hall.dialed() == ["3", "6"]
    assert [await hall.world.state_of(one) for one in "1245"] == ["final"] * 4
    assert contacts[1].status == "completed"
    assert await hall.world.services.client.hlen("sd:c:1:outbox") == 0


async def test_whom_a_claim_passed_over_is_looked_up_for_the_next(hall: Hall) -> None:
    await make_stale(hall.world, *"1245")
    hall.remove(4)
    assert (await hall.dial()).dialed == 2
    assert await hall.dialed() == ["3", "6"]
    assert (await hall.dial()).dialed == 3
    assert await hall.dialed() == ["3", "6", "1", "2", "5"]


async def test_a_backend_that_is_down_keeps_the_stale_from_being_dialed_and_the_tick_says_so(
    hall: Hall,
) -> None:
    await make_stale(hall.world, *"123456")
    hall.centre.backend.set_responder(
        lambda request: json_reply({}, 503) if request.path.startswith("/api/contacts/") else None
    )
    result = await hall.dial()
    assert (result.dialed, result.status, result.reason) == (0, "error", "backend_unreachable")
    assert await hall.dialed() == []
    hall.centre.backend.set_responder(None)
    assert (await hall.dial()).dialed == 6


async def test_a_backend_that_is_down_keeps_only_the_stale_from_being_dialed(hall: Hall) -> None:
    await make_stale(hall.world, "1")
    hall.centre.backend.set_responder(
        lambda request: json_reply({}, 503) if request.path.startswith("/api/contacts/") else None
    )
    result = await hall.dial()
    assert (result.dialed, result.status, result.skipped) == (5, "ok", {"needs_verification": 1})
    assert await hall.world.state_of("1") == "ready"


async def test_one_contact_that_cannot_be_read_keeps_nobody_else(hall: Hall) -> None:
    await make_stale(hall.world, *"123456")

    def broken(request: web.Request) -> web.Response | None:
        return json_reply({"id": 4}) if request.path == "/api/contacts/4/" else None

    hall.centre.backend.set_responder(broken)
    assert (await hall.dial()).dialed == 5
    assert await hall.world.state_of("4") == "ready"


async def test_stale_contacts_the_backend_has_not_heard_the_newest_of_wait_for_it(hall: Hall) -> None:
    await make_stale(hall.world, *"123456")
    for contact in "123456":
        await hall.world.services.client.hset("sd:c:1:outbox", contact, '{"v": 1, "s": "pending"}')
    result = await hall.dial()
    assert (result.dialed, result.reason, result.skipped) == (
        0,
        "needs_verification",
        {"needs_verification": 6},
    )
    assert await hall.world.count("1", "ready") == 6


@pytest.mark.parametrize("status", [404, 405])
async def test_a_backend_that_shows_no_single_contacts_is_asked_for_its_list(hall: Hall, status: int) -> None:
    contacts = hall.centre.world.contacts
    contacts[1].status = "completed"
    hall.remove(2)
    await make_stale(hall.world, *"123456")
    hall.centre.backend.set_responder(
        lambda request: json_reply({}, status) if request.path != "/api/contacts/" else None
    )
    settings, services = CampaignSettings(queue_name="sales"), hall.world.services
    await hall.world.set_agents(6)
    asked = await hall.world.claim(level=6)
    assert len(asked.stale) == 6
    assert await PendingCheck(services).confirm("1", settings, asked.stale, asked.ledger_ms) == 6
    assert [await hall.world.state_of(one) for one in "12"] == ["final"] * 2
    assert (await hall.world.claim(level=6)).dialed == 4
    assert sorted(await hall.dialed()) == ["3", "4", "5", "6"]


async def test_what_an_agent_is_shown_survives_the_look_up(hall: Hall) -> None:
    shown = hall.centre.world.contacts[1]
    shown.custom_data = {"name": "Ada"}
    settings = CampaignSettings(queue_name="sales", dial_mode="preview")
    await PendingCheck(hall.world.services).confirm("1", settings, ["1"], 0)
    kept = await hall.world.services.client.hget("sd:c:1:contacts", "1")
    assert msgspec.json.decode(str(kept))["custom_data"] == {"name": "Ada"}
