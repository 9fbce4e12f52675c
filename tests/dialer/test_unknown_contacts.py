"""Callbacks and requests not to be called of contacts the ledger does not know (any more)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from aiohttp import web

from streamdialer.broker.entries import BadEntry, Entry
from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.contact_rows import load_row
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.events import EventsStage
from streamdialer.consumers.services import Services
from streamdialer.consumers.updates import UpdatesStage
from streamdialer.errors import Unreachable
from streamdialer.model import Contact
from streamdialer.rules.numbers import read_number
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.servers.http import json_reply
from streamdialer.simulation.world.build import build_world
from tests.support.callbacks import HOUR_S
from tests.support.dialer import open_centre, run_dialer
from tests.support.eventually import eventually
from tests.support.ledger_fixture import LedgerWorld

# ---- the backend knows them ----


Opened = tuple[CallCentre, EventsStage, LedgerWorld]
FIELDS = {"type": "callback_requested", "campaign_id": "1", "contact_id": "1"}


async def asked_for(services: Services) -> Entry:
    """An event as it comes: contact 1 in an hour."""
    seconds, _ = await services.client.time()
    at = datetime.fromtimestamp(seconds + HOUR_S, UTC).isoformat()
    entry = await LedgerWorld(services).write_entry()
    return Entry(entry, {**FIELDS, "at": at})


@pytest.fixture
async def opened(settings: Settings, redis: object) -> AsyncIterator[Opened]:
    """A campaign that has no contacts here, three in the backend."""
    async with open_centre(settings, build_world(agents=0, contacts=3)) as (centre, services):
        world = LedgerWorld(services)
        await world.open_campaign(contacts=0)
        yield centre, EventsStage(services, WakeupScheduler(services)), world


async def test_a_contact_past_its_tombstone_is_fetched_and_called_back(opened: Opened) -> None:
    centre, stage, world = opened
    known = centre.world.contacts[1]
    known.status, known.attempts = "completed", 2
    await stage.handle(await asked_for(world.services))
    assert (await world.state_of("1"), await world.backend_status("1")) == ("deferred", "callback")
    assert (await world.record("1"))["a"] == 2
    await world.check_invariants()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"campaign_id": 2}, "callback_unknown_contact"),
        ({"status": "dialing"}, "callback_unknown_call"),
        ({"phone_number": "nobody"}, "callback_final"),
        ({"status": "do_not_call"}, "callback_final"),
        ({"status": "invalid"}, "callback_final"),
    ],
)
async def test_why_a_contact_the_backend_shows_is_not_called_back(
    opened: Opened, change: dict[str, Any], reason: str
) -> None:
    centre, stage, world = opened
    for name, value in change.items():
        setattr(centre.world.contacts[1], name, value)
    with pytest.raises(BadEntry) as refused:
        await stage.handle(await asked_for(world.services))
    assert refused.value.reason == reason
    assert await world.count("1", "deferred") == 0


async def test_a_contact_unknown_to_the_backend_too_is_a_dead_letter(opened: Opened) -> None:
    centre, stage, world = opened
    centre.backend.set_responder(lambda _: json_reply({}, 404))
    with pytest.raises(BadEntry, match="neither the ledger nor the backend knows") as refused:
        await stage.handle(await asked_for(world.services))
    assert refused.value.reason == "callback_unknown_contact"
    centre.backend.set_responder(lambda _: json_reply({}, 503))
    with pytest.raises(Unreachable):
        await stage.handle(await asked_for(world.services))


async def test_a_callback_outlives_a_backend_that_is_away_for_longer_than_deliveries_last(
    settings: Settings, redis: object
) -> None:
    world = build_world(agents=1, contacts=1, speed=60)
    async with run_dialer(settings, world, claim_min_idle_s=0.2, max_deliveries=2, start=False) as dialer:
        ledger = LedgerWorld(dialer.services)
        await ledger.open_campaign(contacts=0)
        refused = 0

        def away(request: web.Request) -> web.Response | None:
            nonlocal refused
            refused += request.path == "/api/contacts/1/"
            return json_reply({}, 503)

        dialer.centre.backend.set_responder(away)
        entry = await asked_for(dialer.services)
        fields: dict[Any, Any] = dict(entry.fields)
        await dialer.services.client.xadd("dialer:events", fields)
        await eventually(lambda: refused > 4)
        assert await dialer.dead.count() == 0
        dialer.centre.backend.set_responder(None)
        await eventually(lambda: dialer.count("deferred"))


# ---- they ask not to be called ----


DO_NOT_CALL = {"type": "do_not_call", "campaign_id": "1", "contact_id": "1", "reason": "letter"}


async def is_listed(world: LedgerWorld, number: str) -> bool:
    return (await world.services.suppression.check([read_number(number)]))[0] is not None


async def tell(world: LedgerWorld) -> None:
    """Writes contact 1 to the backend, as the stage does it."""
    await UpdatesStage(world.services).handle(Entry("1-0", {"campaign": "1", "contact": "1"}))


@pytest.mark.parametrize(
    "asked", [DO_NOT_CALL, {**DO_NOT_CALL, "type": "call_completed", "disposition": "do_not_call"}]
)
async def test_their_numbers_are_kept_from_every_campaign(opened: Opened, asked: dict[str, str]) -> None:
    centre, stage, world = opened
    centre.world.contacts[1].phones = ["300 123 4567", "300 123 4568", "12"]
    await world.open_campaign("2", contacts=0)
    await world.services.campaigns.load("1", [], 3, "CO")
    await world.services.campaigns.load("2", [load_row(Contact(id=9, phone_number="+573001234568"))], 3, "CO")
    entry = Entry(await world.write_entry(), asked)
    for _ in range(2):
        with contextlib.suppress(BadEntry):  # of the call
            await stage.handle(entry)
        await tell(world)
    assert centre.world.contacts[1].status == "do_not_call"
    assert await is_listed(world, "+573001234567")
    assert await world.state_of("9", "2") == "final"
    assert await world.services.suppression.size() == 2
    await world.check_invariants()


async def test_before_a_campaign_is_loaded_its_country_is_that_of_the_settings(opened: Opened) -> None:
    centre, stage, world = opened
    centre.world.contacts[1].phones = ["300 123 4567"]
    await stage.handle(Entry(await world.write_entry(), DO_NOT_CALL))
    settings = msgspec.structs.replace(world.services.settings, country="CO")
    services = msgspec.structs.replace(world.services, settings=settings)
    await UpdatesStage(services).handle(Entry("1-0", {"campaign": "1", "contact": "1"}))
    assert await is_listed(world, "+573001234567")


async def test_a_backend_that_shows_contacts_and_is_away_is_asked_again(opened: Opened) -> None:
    centre, stage, world = opened
    assert await world.services.backend.contact("1", "2")
    refused = 0

    def away(request: web.Request) -> web.Response | None:
        nonlocal refused
        refused += request.method == "GET"
        return json_reply({}, 503) if request.method == "GET" and refused < 3 else None

    centre.backend.set_responder(away)
    await stage.handle(Entry(await world.write_entry(), DO_NOT_CALL))
    await tell(world)
    assert refused == 3
    assert await is_listed(world, centre.world.contacts[1].phone_number)


@pytest.mark.parametrize(
    "reply",
    [
        json_reply({}, 404),
        json_reply({}, 403),
        json_reply({}, 500),
        web.Response(text="<html>"),
        json_reply({"id": 1, "campaign_id": 1, "phone_number": []}),
    ],
)
async def test_whose_number_the_backend_does_not_show_is_refused_when_they_come(
    opened: Opened, reply: web.Response, caplog: pytest.LogCaptureFixture
) -> None:
    centre, stage, world = opened
    asked = 0

    def shows_no_contact(request: web.Request) -> web.Response | None:
        nonlocal asked
        asked += request.method == "GET"
        return reply if request.method == "GET" else None

    centre.backend.set_responder(shows_no_contact)
    await stage.handle(Entry(await world.write_entry(), DO_NOT_CALL))
    await tell(world)
    assert (asked, await world.backend_status("1")) == (1, None), "one request, and the backend is updated"
    assert "other campaigns may call them" in caplog.text
    await world.services.campaigns.load("1", [world.row("1")], 3)
    assert (await world.state_of("1"), await world.backend_status("1")) == ("final", "do_not_call")
