"""After a data loss: contacts that wait for a retry wait again, and call events need the backend's word."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from streamdialer.broker.entries import BadEntry, Entry
from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.events import EventsStage
from streamdialer.consumers.services import Services
from streamdialer.consumers.updates import UpdatesStage
from streamdialer.errors import Unreachable
from streamdialer.observability import metrics
from streamdialer.simulation.servers.http import json_reply
from streamdialer.simulation.world.build import build_world
from tests.support.callbacks import ask, pass_by
from tests.support.dialer import open_centre
from tests.support.ticks_stage import StageWithBackend


@pytest.fixture
async def stage(settings: Settings, redis: object) -> AsyncIterator[StageWithBackend]:
    """Six contacts in the backend; the server is one the ledger has not met, its wait is over."""
    async with open_centre(settings, build_world(agents=0, contacts=6)) as (centre, services):
        await services.client.hset("campaign:1", "status", "active")
        await services.client.hset("sd:server", "run", "another")
        await notice_loss(services)
        yield StageWithBackend(centre, services)


async def notice_loss(services: Services) -> None:
    """The loss is noticed, and its wait is over."""
    await services.campaigns.due_campaigns(1)
    await services.client.hset("sd:server", "hold_until", "0")


async def tried(
    stage: StageWithBackend, contact: int, status: str, seconds_ago: float, attempts: int = 1
) -> None:
    now_s, _ = await stage.world.client.time()
    shown = stage.centre.world.contacts[contact]
    shown.status, shown.attempts = status, attempts
    shown.last_attempt = datetime.fromtimestamp(now_s - seconds_ago, UTC).isoformat().replace("+00:00", "Z")


async def test_contacts_that_wait_for_a_retry_wait_again_at_once(stage: StageWithBackend) -> None:
    world, client = stage.world, stage.world.client
    await tried(stage, 1, "no_answer", 100)
    await tried(stage, 2, "busy", 400)
    await tried(stage, 3, "failed", 0)
    await tried(stage, 4, "no_answer", 400, attempts=3)
    stage.centre.world.contacts[5].status = "completed"
    result = await stage.dial()
    assert (result.ready, result.deferred) == (1, 3), "6 is pending; 4 and 5 are finished"
    ledger_ms = (await world.services.queues.begin_agent_poll("sales")).ledger_ms
    due: Any = await client.zrange("sd:c:1:deferred", 0, -1, withscores=True)
    assert {one: round((at - ledger_ms) / 1000, -1) for one, at in due} == {
        "1": 200,
        "2": -100,
        "3": 300,
    }
    assert await client.hlen("sd:c:1:outbox") == 0, "the backend shows them as they are"
    await world.check_invariants()
    assert (await world.sweep()).promoted == 1
    assert ((await world.backend_doc("2") or {})["s"], (await world.record("2"))["a"]) == ("pending", 1)


async def test_another_loss_reads_them_again(stage: StageWithBackend) -> None:
    await tried(stage, 1, "no_answer", 100)
    await tried(stage, 3, "failed", 0)
    await stage.dial()
    client = stage.world.client
    await client.hset("sd:server", "run", "a third one")
    await notice_loss(stage.world.services)
    stage.centre.world.contacts[1].status = stage.centre.world.contacts[3].status = "completed"
    await stage.dial()
    assert await client.zrange("sd:c:1:deferred", 0, -1) == []


async def test_the_list_has_no_end_while_one_waits_only_in_the_backend(stage: StageWithBackend) -> None:
    world, client = stage.world, stage.world.client
    for contact in range(1, 7):
        stage.centre.world.contacts[contact].status = "completed"
    await stage.dial()
    await client.hdel("sd:c:1:totals", "exhausted")
    await tried(stage, 1, "busy", 10)
    await stage.refill()
    assert not await client.hexists("sd:c:1:totals", "exhausted")
    await tried(stage, 1, "busy", 10, attempts=3)
    await stage.refill()
    assert await client.hexists("sd:c:1:totals", "exhausted")
    assert await world.count("1", "deferred") == 0


async def test_a_backend_that_does_not_say_who_waits_stops_nothing(stage: StageWithBackend) -> None:
    refused = 0

    def refuse(request: web.Request) -> web.Response | None:
        nonlocal refused
        if "no_answer" not in request.query.get("status", ""):
            return None
        refused += 1
        return json_reply({}, 400)

    stage.centre.backend.set_responder(refuse)
    assert (await stage.dial()).ready == 6
    assert refused == 1
    for contact in stage.centre.world.contacts.values():
        contact.status = "completed"
    client = stage.world.client
    await client.delete("sd:c:1:ready", "sd:c:1:records", "sd:c:1:contacts")
    await stage.refill()
    assert refused == 2
    assert not await client.hexists("sd:c:1:totals", "exhausted")


def event(kind: str, campaign: str, contact: str, **more: str) -> dict[str, str]:
    return {"type": kind, "campaign_id": campaign, "contact_id": contact, **more}


async def handle(stage: StageWithBackend, fields: dict[str, str]) -> str:
    """The dead letter's reason; '' when the event took effect."""
    services = stage.world.services
    events = EventsStage(services, WakeupScheduler(services))
    try:
        await events.handle(Entry(await stage.world.write_entry(), fields))
    except BadEntry as error:
        return error.reason
    return ""


@pytest.mark.parametrize("status", ["do_not_call", "completed", "invalid", "machine", "abandoned"])
@pytest.mark.parametrize("campaign", ["1", "ghost"])
async def test_no_state_of_a_final_contact_or_of_an_unknown_campaign_is_invented(
    stage: StageWithBackend, status: str, campaign: str
) -> None:
    stage.centre.world.contacts[4].status = status
    told = await handle(stage, event("call_ringing", campaign, "4"))
    assert told == ("final_contact" if campaign == "1" else "unknown_campaign")
    client = stage.world.client
    assert [key for key in await client.keys("sd:c:*") if "decisions" not in key] == []
    assert not await client.exists("sd:campaigns")
    assert stage.centre.world.contacts[4].status == status


@pytest.mark.parametrize("alias", ["04", "0004", "4_0", "99"])
async def test_a_contact_the_backend_does_not_show_by_that_id_has_no_call(
    stage: StageWithBackend, alias: str
) -> None:
    row = {"id": 4, "campaign_id": 1, "phone_number": "+15550004", "status": "pending"}
    is_alias = alias != "99"
    stage.centre.backend.set_responder(
        lambda request: json_reply(row) if is_alias and request.path == f"/api/contacts/{alias}/" else None
    )
    assert await handle(stage, event("call_ringing", "1", alias)) == "unknown_contact"
    now_s, _ = await stage.world.client.time()
    in_an_hour = datetime.fromtimestamp(now_s + 3600, UTC).isoformat()
    await stage.world.open_campaign(contacts=0)
    told = await handle(stage, event("callback_requested", "1", alias, at=in_an_hour))
    assert told == "callback_unknown_contact"
    assert await stage.world.client.keys("sd:c:1:records") == []


async def test_a_lost_call_is_remembered_with_what_the_backend_says(stage: StageWithBackend) -> None:
    await tried(stage, 4, "dialing", 5, attempts=2)
    assert await handle(stage, event("call_answered", "1", "4", call_id="c")) == ""
    record = await stage.world.record("4")
    assert (record["p"], record["a"], record["e"]) == (
        "connected",
        2,
        [stage.centre.world.contacts[4].phone_number],
    )
    assert await handle(stage, event("call_completed", "1", "4", call_id="c")) == ""
    assert await stage.world.state_of("4") == "final"


@pytest.mark.parametrize(("status", "reason"), [("dialing", ""), ("pending", "unknown_contact")])
async def test_a_backend_that_shows_no_single_contacts_lists_those_in_a_call(
    stage: StageWithBackend, status: str, reason: str
) -> None:
    await tried(stage, 4, status, 5)
    asked = 0

    def lists_only(request: web.Request) -> web.Response | None:
        nonlocal asked
        asked += request.query.get("status") == "dialing,answered"
        return json_reply({}, 404) if request.path.startswith("/api/contacts/4") else None

    stage.centre.backend.set_responder(lists_only)
    assert await handle(stage, event("call_ringing", "1", "4")) == reason
    assert asked == 1


async def test_an_event_of_a_known_contact_asks_the_backend_nothing(stage: StageWithBackend) -> None:
    await stage.dial()
    asked = 0

    def count(request: web.Request) -> web.Response | None:
        nonlocal asked
        asked += 1
        return None

    stage.centre.backend.set_responder(count)
    assert await handle(stage, event("call_ringing", "1", "4")) == ""
    assert await stage.world.state_of("4") == "dialing"
    assert asked == 0


async def test_an_event_waits_for_a_backend_that_is_away(stage: StageWithBackend) -> None:
    stage.centre.backend.set_responder(lambda _: json_reply({}, 503))
    with pytest.raises(Unreachable):
        await handle(stage, event("call_ringing", "1", "4"))


async def test_what_is_said_on_the_phone_of_a_lost_call_counts(stage: StageWithBackend) -> None:
    said = event("call_completed", "1", "4", disposition="do_not_call")
    assert await handle(stage, said) == "unknown_contact"
    assert await stage.world.client.hexists("sd:c:1:pending_dnc", "4")
    assert await stage.world.client.hlen("sd:c:1:records") == 0


async def test_a_row_in_a_call_that_cannot_be_read_stops_nothing(stage: StageWithBackend) -> None:
    rows = stage.centre.world.contacts
    rows[1].status = rows[2].status = "dialing"
    rows[1].id, rows[2].phone_number = True, "see note 3"
    result = await stage.dial()
    assert (result.status, result.reason, result.ready) == ("skipped", "no_agents", 4)
    assert result.orphaned == 1, "a call to the one whose number cannot be read may be up"
    assert await stage.world.state_of("2") == "orphaned"
    await stage.world.check_invariants()


async def test_what_of_a_page_cannot_be_read_is_counted(stage: StageWithBackend) -> None:
    rows: Any = stage.centre.world.contacts
    rows[1].id, rows[2].timezone, rows[3].last_attempt = True, ["Bogota"], {"at": 5}

    def counted() -> list[float]:
        read = metrics.PROCESS.get_sample_value
        fields = [
            read("streamdialer_contact_fields_unread_total", {"field": name})
            for name in ("timezone", "last_attempt")
        ]
        return [count or 0 for count in (read("streamdialer_contacts_unread_total"), *fields)]

    before = counted()
    await stage.dial()
    assert all(after > count for after, count in zip(counted(), before, strict=True))


@pytest.mark.parametrize("is_due", [False, True])
async def test_a_callback_that_waits_or_is_due_in_a_restart_is_called(
    stage: StageWithBackend, is_due: bool
) -> None:
    world, updates = stage.world, UpdatesStage(stage.world.services)

    async def deliver() -> None:
        await updates.handle(Entry("1-0", {"campaign": "1", "contact": "1"}))

    await stage.dial()
    await world.client.hset("sd:server", "lost", "0")  # the fixture's loss was long ago
    assert await ask(world, "1", 60) == "applied"
    await deliver()
    assert stage.centre.world.contacts[1].status == "callback"
    if is_due:
        await pass_by(world, "1")
    await world.client.hset("sd:server", "run", "a third")
    await notice_loss(world.services)
    await deliver()
    await stage.refill()
    if not is_due:
        await pass_by(world, "1")
    await deliver()
    assert stage.centre.world.contacts[1].status == "pending"
    await world.set_agents(1)
    await stage.refill()
    assert await stage.dialed() == ["1"]
    await world.check_invariants()
