"""Updates reach the backend whatever happens to their deliverers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from streamdialer.broker.entries import BadEntry, Entry
from streamdialer.config.settings import Settings
from streamdialer.consumers.services import Services
from streamdialer.consumers.updates import UpdatesStage
from streamdialer.operations.refused_updates import refused_updates_of
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.servers.http import json_reply
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.entities import Contact
from tests.support.callbacks import ask, pass_by
from tests.support.dialer import open_centre
from tests.support.eventually import eventually
from tests.support.ledger_fixture import LedgerWorld
from tests.support.ledger_reader import move_clock

Opened = tuple[CallCentre, Services]
ENTRY = Entry("1-0", {"campaign": "1", "contact": "1"})


@pytest.fixture
async def opened(settings: Settings, redis: object) -> AsyncIterator[Opened]:
    """Contact 1 has completed and the backend does not know."""
    async with open_centre(settings, build_world(agents=1, contacts=1)) as (centre, services):
        world = LedgerWorld(services)
        await world.open_campaign(contacts=1, agents=1)
        attempt = await world.place_one()
        await world.event("call_answered", attempt)
        await world.event("call_completed", attempt)
        yield centre, services


async def test_an_update_whose_deliverer_died_is_delivered_when_its_lease_is_over(opened: Opened) -> None:
    centre, services = opened
    await services.outbox.lease("1", "1", "dead")
    await UpdatesStage(services).handle(ENTRY)
    assert (centre.world.contacts[1].status, centre.world.contacts[1].attempts) == ("completed", 1)
    assert await services.client.hlen("sd:c:1:outbox") == 0


async def test_an_update_the_backend_refuses_for_good_is_buried_with_its_answer(opened: Opened) -> None:
    centre, services = opened
    centre.backend.set_responder(lambda request: json_reply({"detail": "no such contact"}, 404))
    with pytest.raises(BadEntry, match="no such contact") as refused:
        await UpdatesStage(services).handle(ENTRY)
    assert refused.value.reason == "refused_by_backend"
    assert await services.client.hlen("sd:c:1:outbox") == 0


async def test_an_outage_is_waited_for(opened: Opened) -> None:
    centre, services = opened
    tries: list[str] = []

    def away_at_first(request: web.Request) -> web.StreamResponse | None:
        tries.append(request.method)
        return json_reply({}, 503) if len(tries) < 4 else None

    centre.backend.set_responder(away_at_first)
    await UpdatesStage(services).handle(ENTRY)
    assert tries == ["GET", "PATCH"] * 2, "whether it shows single contacts is not known yet"
    assert centre.world.contacts[1].status == "completed"


async def test_news_whose_deliverer_lost_its_lease_to_one_that_died_go_out_again(opened: Opened) -> None:
    centre, services = opened
    patches: list[str] = []

    async def is_taken_over() -> bool:
        return await services.outbox.lease("1", "1", "dies") != "busy"

    async def takes_longer_than_the_lease(request: web.Request) -> None:
        patches.append(request.method)
        if len(patches) == 1:
            await eventually(is_taken_over)

    centre.backend.set_responder(takes_longer_than_the_lease)
    await UpdatesStage(services).handle(ENTRY)
    assert len(patches) > 1
    assert await services.client.hlen("sd:c:1:outbox") == 0


@pytest.mark.parametrize(
    ("reply", "is_refused"),
    [
        ({"status": "pending", "id": 1}, True),
        ({"status": "Completed"}, False),
        ({"id": 1}, False),
        (["completed"], False),
        (None, False),
    ],
)
async def test_a_reply_that_shows_another_status_is_a_refusal(
    opened: Opened, reply: object, is_refused: bool
) -> None:
    centre, services = opened
    centre.backend.set_responder(
        lambda request: web.Response(status=204) if reply is None else json_reply(reply)
    )
    if is_refused:
        with pytest.raises(BadEntry, match="'completed', the reply to PATCH shows 'pending'"):
            await UpdatesStage(services).handle(ENTRY)
    else:
        await UpdatesStage(services).handle(ENTRY)
    notice = await refused_updates_of(services.client, services.keys, "1", 0)
    assert (notice is not None) is is_refused


@pytest.mark.parametrize("shows_single_contacts", [True, False])
@pytest.mark.parametrize(
    ("status", "is_overwritten"), [("completed", False), ("answered", True), ("pending", True)]
)
async def test_after_a_data_loss_no_newer_state_is_overwritten(
    settings: Settings, redis: object, shows_single_contacts: bool, status: str, is_overwritten: bool
) -> None:
    """The ledger believes that the call failed, because the event of its end was lost."""
    async with open_centre(settings, build_world(agents=1, contacts=1)) as (centre, services):
        world = LedgerWorld(services)
        world.max_attempts = 1
        await world.open_campaign(contacts=1, agents=1)
        attempt = await world.place_one()
        sent_ms = (await world.record("1"))["h"][0]["sm"]
        await services.client.hset(services.keys.server, "run", "another")
        await world.claim(level=0)
        await world.event("call_failed", attempt, disposition="no_answer")
        contact = centre.world.contacts[1]
        contact.status, contact.attempts = status, 1
        sent = datetime.fromtimestamp(sent_ms / 1000, UTC)
        contact.last_attempt = (sent + timedelta(seconds=30 if status == "completed" else 0)).isoformat()
        if status == "pending":
            contact.attempts, contact.last_attempt = 0, None

        def without_single_contacts(request: web.Request) -> web.StreamResponse | None:
            is_single = request.method == "GET" and request.path == "/api/contacts/1/"
            return json_reply({}, 405) if is_single and not shows_single_contacts else None

        centre.backend.set_responder(without_single_contacts)
        await UpdatesStage(services).handle(ENTRY)
        assert contact.status == ("no_answer" if is_overwritten else status)
        assert await services.client.hlen("sd:c:1:outbox") == 0


def hide_single_contacts(request: web.Request) -> web.StreamResponse | None:
    """A backend that serves only what the contract names."""
    is_single = request.method == "GET" and request.path.rstrip("/") != "/api/contacts"
    return json_reply({}, 405) if is_single and request.path.startswith("/api/contacts/") else None


def finish(contact: Contact, word: str) -> None:
    """What a supervisor does with the contact in the backend."""
    match word:
        case "moved":
            contact.campaign_id = 2
        case "flagged":
            contact.do_not_call = True
        case "called":  # by another campaign that has the same contact
            contact.attempts += 1
            contact.last_attempt = datetime.now(UTC).isoformat()
        case _:
            contact.status = word


WORDS = ("completed", "failed", "invalid", "do_not_call", "inactive", "moved", "flagged", "called", "pending")


@asynccontextmanager
async def waiting_contact(
    settings: Settings, how: str, *, shows_single_contacts: bool = True
) -> AsyncIterator[tuple[LedgerWorld, Contact, UpdatesStage]]:
    """Contact 1 waits for a retry or a callback, and the backend knows."""
    async with open_centre(settings, build_world(agents=1, contacts=1)) as (centre, services):
        if not shows_single_contacts:
            centre.backend.set_responder(hide_single_contacts)
        world, stage = LedgerWorld(services), UpdatesStage(services)
        await world.open_campaign(contacts=1, agents=1)
        attempt = await world.place_one()
        if how == "callback":
            await world.event("call_answered", attempt)
            await world.event("call_completed", attempt)
            await stage.handle(ENTRY)
            await ask(world, "1", 200)
        else:
            await world.event("call_failed", attempt, disposition=how)
        await stage.handle(ENTRY)
        assert centre.world.contacts[1].status == how
        yield world, centre.world.contacts[1], stage


async def fall_due(world: LedgerWorld, how: str) -> None:
    await move_clock(world.client, world.keys, 301)
    if how == "callback":
        await pass_by(world, "1")
    else:
        await world.sweep()
    await world.set_agents(1)
    assert await world.state_of("1") == "ready"


@pytest.mark.parametrize("shows_single_contacts", [True, False])
@pytest.mark.parametrize("how", ["no_answer", "busy", "failed", "callback"])
@pytest.mark.parametrize("word", WORDS)
async def test_a_contact_that_the_backend_finished_while_it_waited_is_not_put_back_in_the_line(
    settings: Settings, redis: object, word: str, how: str, shows_single_contacts: bool
) -> None:
    async with waiting_contact(settings, how, shows_single_contacts=shows_single_contacts) as opened:
        world, contact, stage = opened
        if word == how or (word == "called" and how == "callback"):
            return
        finish(contact, word)
        was = (contact.status, contact.attempts)
        await fall_due(world, how)
        assert (await world.claim()).dialed == 0, "the backend may have changed its mind"
        await stage.handle(ENTRY)
        is_called = (
            word == "pending" and shows_single_contacts
        )  # else the list of pending contacts brings it back
        assert (contact.status, contact.attempts) == was
        assert await world.state_of("1") == ("ready" if is_called else "final")
        assert (await world.claim()).dialed == is_called


@pytest.mark.parametrize("shows_single_contacts", [True, False])
@pytest.mark.parametrize("how", ["no_answer", "busy", "failed", "callback"])
async def test_a_retry_is_put_back_when_nothing_has_changed(
    settings: Settings, redis: object, how: str, shows_single_contacts: bool
) -> None:
    async with waiting_contact(settings, how, shows_single_contacts=shows_single_contacts) as opened:
        world, contact, stage = opened
        await fall_due(world, how)
        await stage.handle(ENTRY)
        assert (contact.status, contact.attempts) == ("pending", 1)
        assert (await world.claim()).dialed == 1


@pytest.mark.parametrize("word", ["completed", "do_not_call", "inactive", "invalid"])
@pytest.mark.parametrize("when", ["before the call", "while it rings", "while they talk"])
async def test_a_call_that_is_up_overwrites_no_end_that_the_backend_gave_the_contact(
    settings: Settings, redis: object, word: str, when: str
) -> None:
    async with open_centre(settings, build_world(agents=1, contacts=1)) as (centre, services):
        world, stage, contact = LedgerWorld(services), UpdatesStage(services), centre.world.contacts[1]
        await world.open_campaign(contacts=1, agents=1)

        async def reach(point: str) -> None:
            if point == when:
                contact.status = word
            await stage.handle(ENTRY)

        attempt = await world.place_one()
        await reach("before the call")
        await world.event("call_ringing", attempt)
        await reach("while it rings")
        await world.event("call_answered", attempt)
        await reach("while they talk")
        await world.event("call_failed", attempt, disposition="machine")
        await stage.handle(ENTRY)
        assert contact.status == word


async def test_a_call_that_was_not_placed_is_put_back_though_the_backend_shows_its_attempt(
    settings: Settings, redis: object
) -> None:
    async with open_centre(settings, build_world(agents=1, contacts=1)) as (centre, services):
        world, stage = LedgerWorld(services), UpdatesStage(services)
        await world.open_campaign(contacts=1, agents=1)
        attempt = await world.place_one()
        await stage.handle(ENTRY)
        assert (centre.world.contacts[1].status, centre.world.contacts[1].attempts) == ("dialing", 1)
        await world.settle(attempt, "not_placed")
        await stage.handle(ENTRY)
        assert (centre.world.contacts[1].status, centre.world.contacts[1].attempts) == ("pending", 0)
        assert (await world.claim()).dialed == 1


async def test_a_backend_that_refuses_all_updates_has_its_retries(settings: Settings, redis: object) -> None:
    async with open_centre(settings, build_world(agents=1, contacts=1)) as (centre, services):
        centre.backend.refuses_updates_of = frozenset({1})
        world, stage = LedgerWorld(services), UpdatesStage(services)
        await world.open_campaign(contacts=1, agents=1)
        await world.event("call_failed", await world.place_one(), disposition="no_answer")
        with pytest.raises(BadEntry):
            await stage.handle(ENTRY)
        await move_clock(world.client, world.keys, 301)
        await world.sweep()
        with pytest.raises(BadEntry):
            await stage.handle(ENTRY)
        assert (await world.claim()).dialed == 1
