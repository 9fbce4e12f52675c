"""What the dialer relies on, of the simulated backend and of our own, on both databases: one suite, over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, get_args
from urllib.parse import urlsplit

import httpx
import pytest
from anyio.to_thread import run_sync

from streamdialer.errors import CampaignError, Unreachable
from streamdialer.gateways.backend import Backend, ContactPatch
from streamdialer.model import ContactStatus
from streamdialer.simulation.servers.backend import Backend as SimulatedService
from streamdialer.simulation.world.config import CentreConfig
from streamdialer.simulation.world.engine import World
from tests.support.contract_sides import OwnSide, Side, SimulatedSide, bearer

queues = (f"queue-{number}" for number in count(1))


@pytest.fixture(params=["simulated", "own_server", "own_server_on_postgresql"])
async def side(request: pytest.FixtureRequest) -> AsyncIterator[Side]:
    if request.param != "simulated":
        yield await run_sync(OwnSide, request.getfixturevalue(request.param))
        return
    world = World()
    config = CentreConfig(backend_token="a token of the simulated backend", backend_username="dialer")
    service = SimulatedService(world, config, lambda: 0.0)
    await service.start()
    try:
        yield SimulatedSide(world, service)
    finally:
        await service.stop()


@pytest.fixture
async def backend(side: Side) -> AsyncIterator[Backend]:
    async with Backend(side.settings) as client:
        yield client


@pytest.fixture
async def http(side: Side) -> AsyncIterator[httpx.Client]:
    with await run_sync(bearer, side.settings) as client:
        yield client


async def get(http: httpx.Client, path: str) -> Any:
    reply = await run_sync(http.get, path)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def in_side(work: Any, *args: Any, **fields: Any) -> Any:
    """In a thread: our own side sends HTTP requests."""
    return await run_sync(lambda: work(*args, **fields))


async def test_a_campaign_is_read_with_its_settings_and_an_unknown_one_is_a_campaign_error(
    side: Side, backend: Backend
) -> None:
    queue = next(queues)
    settings = {"dial_mode": "predictive", "pacing_ratio": 1.8, "max_concurrent_calls": 7, "retry_delay": 60}
    hours = {
        "start_time": "09:00",
        "end_time": "18:00",
        "days_of_week": [0, 1, 4],
        "timezone": "America/Bogota",
    }
    calls = {"trunk": "t1", "caller_id": "+571", "amd": True, "on_machine": "message"}
    campaign = await in_side(side.add_campaign, queue, **settings, **hours, **calls)
    read = await backend.campaign(str(campaign))
    assert (read.dial_mode, read.pacing_ratio, read.max_concurrent_calls) == ("predictive", 1.8, 7)
    assert (read.queue_name, read.retry_delay, read.trunk, read.caller_id) == (queue, 60, "t1", "+571")
    assert read.machine_action == "message"
    assert (read.start_time, read.end_time, read.days_of_week) == ("09:00", "18:00", (0, 1, 4))
    with pytest.raises(CampaignError):
        await backend.campaign("999999")


async def test_a_campaign_that_names_nothing_has_the_defaults_of_the_contract(
    side: Side, backend: Backend
) -> None:
    read = await backend.campaign(str(await in_side(side.add_campaign, next(queues))))
    assert (read.dial_mode, read.pacing_ratio, read.max_concurrent_calls) == ("progressive", 1.2, 50)
    assert (read.max_retries, read.retry_delay, read.weight, read.abandon_cap) == (3, 300, 1, 0.03)
    assert (read.trunk, read.caller_id, read.start_time, read.timezone, read.pacing) == (None,) * 5
    assert read.machine_action is None


async def test_agents_of_a_queue_are_an_array_and_available_means_free(side: Side, backend: Backend) -> None:
    queue = next(queues)
    for name, status in (("1001", "available"), ("PJSIP/1002", "busy"), ("1003", "offline")):
        await in_side(side.add_agent, queue, f"{queue}-{name}", status)
    agents = await backend.agents(queue)
    assert {str(agent.id): agent.is_free for agent in agents.agents} == {
        f"{queue}-1001": True,
        f"{queue}-PJSIP/1002": False,
        f"{queue}-1003": False,
    }
    with pytest.raises(Unreachable):
        await backend.agents("no-such-queue")


async def test_pending_contacts_come_the_most_urgent_and_oldest_first(side: Side, backend: Backend) -> None:
    campaign = await in_side(side.add_campaign, next(queues))
    added = [
        (await in_side(side.add_contact, campaign, priority=priority), priority)
        for priority in (5, 9, 5, 1, 9)
    ]
    pages = [page async for page in backend.pending(str(campaign), 2)]
    read = [contact.id for page in pages for contact in page.contacts]
    assert read == [contact for contact, _ in sorted(added, key=lambda each: -each[1])]
    assert not [line for page in pages for line in page.unreadable]
    assert len(pages) == 3


async def test_no_pending_contact_is_left_out_while_others_leave_the_list(
    side: Side, backend: Backend
) -> None:
    campaign = await in_side(side.add_campaign, next(queues))
    added = {await in_side(side.add_contact, campaign, priority=1 + number % 3) for number in range(12)}
    read: list[int | str] = []
    async for page in backend.pending(str(campaign), 4):
        read += [contact.id for contact in page.contacts]
        for contact in page.contacts:
            await backend.patch_contact(str(contact.id), ContactPatch(status="dialing", attempts=1))
    if isinstance(side, OwnSide):
        assert set(read) == added
        assert len(read) == len(added)
    else:  # pages by offset, as the platform's: the dialer reads the list again
        while rest := [c.id async for page in backend.pending(str(campaign), 4) for c in page.contacts]:
            read += rest
            for left in rest:
                await backend.patch_contact(str(left), ContactPatch(status="dialing", attempts=1))
        assert set(read) == added


async def test_a_page_is_a_page_of_django_rest_framework(side: Side, http: httpx.Client) -> None:
    campaign = await in_side(side.add_campaign, next(queues))
    for _ in range(3):
        await in_side(side.add_contact, campaign)
    first = await get(http, f"/api/contacts/?campaign_id={campaign}&status=pending&limit=2&offset=0")
    assert set(first) == {"count", "next", "previous", "results"}
    assert (first["count"], len(first["results"]), first["previous"]) == (3, 2, None)
    following = urlsplit(first["next"])
    last = await get(http, f"{following.path}?{following.query}")
    assert (len(last["results"]), last["next"]) == (1, None)
    skipped = await get(http, f"/api/contacts/?campaign_id={campaign}&limit=2&offset=2")
    assert len(skipped["results"]) == 1
    row = first["results"][0]
    assert {"id", "campaign_id", "phone_number", "status", "priority", "attempts"} <= set(row)
    assert {"last_attempt", "timezone", "custom_data"} <= set(row)


async def test_filters_by_status_attempts_and_last_attempt(side: Side, backend: Backend) -> None:
    campaign = await in_side(side.add_campaign, next(queues))
    contacts = [await in_side(side.add_contact, campaign) for _ in range(4)]
    now = datetime.now(UTC)
    states = [("no_answer", 1, 2), ("busy", 3, 2), ("no_answer", 1, 0), ("failed", 1, 2)]
    for contact, (status, attempts, hours) in zip(contacts, states, strict=True):
        at = (now - timedelta(hours=hours)).isoformat().replace("+00:00", "Z")
        patch = ContactPatch(status=status, attempts=attempts, last_attempt=at)  # type: ignore[arg-type]  # words of the contract
        await backend.patch_contact(str(contact), patch)
    pages = [page async for page in backend.due_for_retry(str(campaign), now - timedelta(hours=1), 3, 100)]
    assert [contact.id for page in pages for contact in page.contacts] == contacts[:1]


async def test_what_is_written_to_a_contact_is_shown(side: Side, backend: Backend) -> None:
    campaign = await in_side(side.add_campaign, next(queues))
    contact = await in_side(
        side.add_contact, campaign, custom_data={"debt": 5, "name": "Ana"}, timezone="America/Bogota"
    )
    at = "2026-03-01T10:00:00.250000Z"
    await backend.patch_contact(str(contact), ContactPatch(status="dialing", attempts=1, last_attempt=at))
    shown = await backend.contact(str(campaign), str(contact))
    assert shown is not None
    assert (shown.status, shown.attempts, shown.custom_data) == ("dialing", 1, {"debt": 5, "name": "Ana"})
    assert (shown.timezone, shown.numbers[0]) == ("America/Bogota", shown.phone_number)
    assert datetime.fromisoformat(str(shown.last_attempt)) == datetime.fromisoformat(at)
    assert await backend.contact(str(campaign), "987654321") is None


@pytest.mark.parametrize(
    "status",
    get_args(ContactStatus),
)
async def test_every_status_of_the_contract_is_taken(side: Side, backend: Backend, status: Any) -> None:
    campaign = await in_side(side.add_campaign, next(queues))
    contact = await in_side(side.add_contact, campaign)
    await backend.patch_contact(str(contact), ContactPatch(status=status))
    shown = await backend.contact(str(campaign), str(contact))
    assert shown is not None
    assert shown.status == status


async def test_statistics_are_taken_and_kept(side: Side, backend: Backend) -> None:
    campaign = await in_side(side.add_campaign, next(queues))
    await backend.post_statistics(str(campaign), {"total_calls": 3, "answer_rate": 0.5})
    assert await in_side(side.statistics, campaign) == {"total_calls": 3, "answer_rate": 0.5}


async def test_health_says_that_the_credentials_can_list_contacts(backend: Backend) -> None:
    assert "lists contacts" in await backend.health()


async def test_without_a_token_everything_is_refused(side: Side) -> None:
    async with httpx.AsyncClient(base_url=side.settings.backend_url) as anonymous:
        for path in ("/api/contacts/", "/api/campaigns/1/", "/api/queues/sales/agents/"):
            assert (await anonymous.get(path)).status_code == 401


async def test_a_wrong_password_gives_no_token(side: Side) -> None:
    async with httpx.AsyncClient(base_url=side.settings.backend_url) as anonymous:
        reply = await anonymous.post("/api/token/", json={"username": "dialer", "password": "wrong"})
        assert reply.status_code == 401
