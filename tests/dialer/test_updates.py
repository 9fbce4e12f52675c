"""Updates reach the backend whatever happens to their deliverers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from streamdialer.broker.entries import BadEntry, Entry
from streamdialer.config.settings import Settings
from streamdialer.consumers.services import Services
from streamdialer.consumers.updates import UpdatesStage
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
