"""Updates reach the backend whatever happens to their deliverers."""

from __future__ import annotations

from collections.abc import AsyncIterator
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
from tests.support.dialer import open_centre
from tests.support.eventually import eventually
from tests.support.ledger_fixture import LedgerWorld

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
    assert tries == ["PATCH"] * 4
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
    empty = web.Response(status=204)
    centre.backend.set_responder(lambda request: empty if reply is None else json_reply(reply))
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


@pytest.mark.parametrize(
    ("shows_single_contacts", "status", "becomes"),
    [
        (True, "completed", "completed"),
        (True, "no_answer", "pending"),
        (False, "no_answer", "pending"),
    ],
)
async def test_a_retry_is_made_pending_unless_another_campaigns_call_has_changed_the_contact(
    settings: Settings, redis: object, shows_single_contacts: bool, status: str, becomes: str
) -> None:
    """A backend that shows no single contacts does not say; nothing would bring back a contact that is left out."""
    async with open_centre(settings, build_world(agents=1, contacts=1)) as (centre, services):
        world, contact = LedgerWorld(services), centre.world.contacts[1]
        await world.open_campaign(contacts=1, agents=1)
        await world.event("call_failed", await world.place_one(), disposition="no_answer")
        await UpdatesStage(services).handle(ENTRY)
        await services.client.hdel(services.keys.persons_up("1"), "retry 1")  # as the other call does
        if status == "completed":
            contact.status, contact.last_attempt = status, datetime.now(UTC).isoformat()
        await world.age(301)
        assert (await world.sweep()).promoted == 1

        def without_single_contacts(request: web.Request) -> web.StreamResponse | None:
            is_single = request.method == "GET" and request.path == "/api/contacts/1/"
            return json_reply({}, 405) if is_single and not shows_single_contacts else None

        centre.backend.set_responder(without_single_contacts)
        await UpdatesStage(services).handle(ENTRY)
        assert (contact.status, contact.attempts) == (becomes, 1)
        assert await world.state_of("1") == ("final" if becomes == "completed" else "ready")
        assert (await world.claim()).dialed == (becomes == "pending")
