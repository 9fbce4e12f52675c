"""What a contact list brings when parts of it fail, are closed or cannot be called, and what is said of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web
from redis.asyncio import Redis

from streamdialer.config.settings import Settings
from streamdialer.model import TickResult, wire_id
from streamdialer.operations.decisions import explain
from streamdialer.simulation.servers.http import json_reply
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.engine import World
from streamdialer.simulation.world.entities import Contact
from tests.support.callbacks import ask
from tests.support.dialer import open_centre
from tests.support.ticks_stage import StageWithBackend
from tests.support.zones import zone_at

HUGE = 1_890_123_456_789_012_345


@asynccontextmanager
async def open_stage(settings: Settings, world: World, **changes: Any) -> AsyncIterator[StageWithBackend]:
    few = {"refill_interval_s": 600, "refill_threshold": 4, "page_size": 2, "refill_max_pages": 3}
    async with open_centre(settings, world, **few | changes) as (centre, services):
        await services.client.hset("campaign:1", "status", "active")
        yield StageWithBackend(centre, services)


def asleep() -> str:
    """A zone in which it is three o'clock at night, give or take."""
    return zone_at(3)


def awake() -> str:
    """A zone in which it is noon, give or take."""
    return zone_at(12)


def said(result: TickResult) -> str:
    return "\n".join(explain("1", "active", [result], result.at or 0))


async def was_exhausted(stage: StageWithBackend) -> bool:
    return bool(await stage.world.client.hexists(stage.world.keys.totals("1"), "exhausted"))


async def test_a_list_that_begins_with_closed_contacts_is_read_to_the_open_ones(
    settings: Settings, redis: Redis
) -> None:
    world = build_world(agents=2, contacts=32)
    for number, contact in world.contacts.items():
        contact.priority, contact.timezone = 5, awake() if number > 28 else asleep()
    world.campaigns[1].rule_pack = "us-regf"
    async with open_stage(settings, world) as stage:
        results = [await stage.dial()]
        while not results[-1].dialed and len(results) < 10:
            results.append(await stage.dial())
        assert results[-1].dialed == 2
        assert len(results) == 5, "three pages a read, and the head anew each time"
        assert "is read on" in said(results[0])
        assert set(await stage.dialed()) <= {"29", "30", "31", "32"}
        assert await stage.world.count("1", "deferred") == 6, "those of the first read, and no further ones"
        assert not await was_exhausted(stage)


async def test_a_list_without_an_open_contact_is_read_once_and_then_rests(
    settings: Settings, redis: Redis
) -> None:
    world = build_world(agents=2, contacts=14)
    for contact in world.contacts.values():
        contact.priority, contact.timezone = 5, asleep()
    world.campaigns[1].rule_pack = "us-regf"
    async with open_stage(settings, world) as stage:
        read = [(await stage.dial()).refilled is not None for _ in range(6)]
        assert read == [True, True, True, False, False, False]
        assert not await was_exhausted(stage), "they wait for their hours"


async def test_a_page_that_fails_is_named_and_the_others_are_dialed(settings: Settings, redis: Redis) -> None:
    world = build_world(agents=6, contacts=6)
    for contact in world.contacts.values():
        contact.priority = 5

    def broken(request: web.Request) -> web.Response | None:
        return json_reply({}, 500) if request.query.get("offset") == "2" else None

    async with open_stage(settings, world) as stage:
        stage.centre.backend.set_responder(broken)
        result = await stage.dial()
        assert await stage.dialed() == ["1", "2", "5", "6"]
        assert "HTTP 500" in (result.notices or {})["contacts_incomplete"]
        assert "a page of the contact list is missing" in said(result)
        stage.centre.backend.set_responder(None)
        await stage.dial()
        assert sorted(await stage.dialed()) == ["1", "2", "3", "4", "5", "6"]
        assert "missing" not in said(await stage.dial())


async def test_a_list_that_fails_leaves_the_contacts_that_are_ready(settings: Settings, redis: Redis) -> None:
    world = build_world(agents=3, contacts=5)
    async with open_stage(settings, world, refill_threshold=100) as stage:
        assert (await stage.dial()).dialed == 3
        world.add_agent(7, "sales")
        await stage.world.services.queues.invalidate_agents("sales")
        stage.centre.backend.set_responder(
            lambda request: json_reply({}, 500) if request.path == "/api/contacts/" else None
        )
        result = await stage.refill()
        assert (result.status, result.dialed) == ("ok", 1)
        assert "HTTP 500" in (result.notices or {})["contacts_incomplete"]


async def test_contacts_that_cannot_be_called_are_counted_as_long_as_they_are_listed(
    settings: Settings, redis: Redis
) -> None:
    world = build_world(agents=2, contacts=4)
    world.campaigns[1].max_retries = 0
    async with open_stage(settings, world) as stage:
        for refilled in (True, False, True):
            result = await (stage.refill() if refilled else stage.dial())
            assert (result.reason, result.skipped) == ("contacts_passed_over", {"max_attempts": 4})
            assert "add contacts" not in said(result)
        assert not await was_exhausted(stage)


async def test_one_row_that_cannot_be_read_is_named_and_keeps_the_list_from_its_end(
    settings: Settings, redis: Redis
) -> None:
    world = build_world(agents=2, contacts=0)
    row = {"id": {"a": 1}, "status": "pending", "phone_number": "+15550000001"}
    async with open_stage(settings, world) as stage:
        stage.centre.backend.set_responder(
            lambda request: json_reply([row]) if request.path == "/api/contacts/" else None
        )
        result = await stage.dial()
        assert (result.reason, result.skipped) == ("contacts_passed_over", {"unreadable": 1})
        assert not await was_exhausted(stage)


async def test_a_backend_that_ignores_our_filter_is_named_and_its_list_has_no_end(
    settings: Settings, redis: Redis
) -> None:
    world = build_world(agents=2, contacts=0)
    rows = [{"id": 1, "status": "completed"}, {"id": 2, "campaign_id": 2, "status": "pending"}]
    async with open_stage(settings, world) as stage:
        stage.centre.backend.set_responder(
            lambda request: json_reply(rows) if request.path == "/api/contacts/" else None
        )
        result = await stage.dial()
        assert (result.reason, result.skipped) == ("contacts_passed_over", {"not_asked": 2})
        assert not await was_exhausted(stage)


async def test_a_backend_that_asks_for_a_pause_is_named(settings: Settings, redis: Redis) -> None:
    async with open_stage(settings, build_world(agents=2, contacts=4)) as stage:
        answer = web.Response(status=429, headers={"Retry-After": "20"})
        stage.centre.backend.set_responder(lambda _: answer)
        await stage.dial()
        result = await stage.dial()
        assert (result.status, result.reason) == ("error", "backend_throttled")
        assert "gets none for 20 s" in said(result)


async def test_a_callback_of_a_contact_with_a_long_id_stops_no_campaign(
    settings: Settings, redis: Redis
) -> None:
    world = build_world(agents=2, contacts=3)
    for contact in world.contacts.values():
        contact.timezone, contact.phone_number = awake(), "+15550000001"
    world.add_contacts(
        [Contact(id=HUGE, campaign_id=1, phone_number="+15550000101", priority=10, timezone=awake())]
    )
    async with open_stage(settings, world) as stage:
        await stage.dial()
        await stage.dial()
        attempt = (await stage.world.reserved_calls())[0]
        assert attempt.contact == str(HUGE)
        assert await stage.world.mark_sent(attempt) == "ok"
        assert await ask(stage.world, str(HUGE), -60, number="+15550000199") == "applied"
        await stage.world.event("call_completed", attempt)
        world.campaigns[1].rule_pack = "us-regf"  # no contact has a zone set yet
        result = await stage.refill()
        assert (result.status, result.reason) in (("ok", None), ("skipped", "no_agents")), result
        kept: Any = await stage.world.client.hget("sd:c:1:contacts", str(HUGE))
        assert msgspec.json.decode(kept)["id"] == wire_id(str(HUGE)) == HUGE


@pytest.mark.parametrize("number", [10**12, 10**15, 2**53 + 1, 10**18, 2**63, 10**30, 10**300])
@pytest.mark.parametrize(
    "field",
    [
        "max_concurrent_calls",
        "max_retries",
        "retry_delay",
        "weight",
        "calls_per_second",
        "pacing_ratio",
        "contact: attempts",
        "contact: priority",
    ],
)
async def test_no_number_of_the_backend_is_too_long_for_the_scripts(
    settings: Settings, redis: Redis, field: str, number: int
) -> None:
    async with open_stage(settings, build_world(agents=2, contacts=4)) as stage:

        def spoiled(request: web.Request) -> web.Response | None:
            if request.path == "/api/campaigns/1/":
                odd = {} if field.startswith("contact") else {field: number}
                return json_reply({"id": 1, "queue_name": "sales", "max_retries": 3, **odd})
            if request.path == "/api/contacts/":
                rows = [
                    {"id": one, "phone_number": f"+1555000000{one}", "status": "pending"} for one in (1, 2)
                ]
                if field.startswith("contact"):
                    rows[0][field.removeprefix("contact: ")] = number
                return json_reply(rows)
            return None

        stage.centre.backend.set_responder(spoiled)
        stage.world.max_attempts = 10**6
        for _ in range(2):
            result = await stage.dial()
            assert result.reason != "contacts_passed_over" or "attempts" in field
            if result.reason == "invalid_campaign":
                assert field in (result.detail or "")
                return
        for attempt in await stage.world.reserved_calls():
            assert await stage.world.mark_sent(attempt) == "ok"
            await stage.world.event("call_failed", attempt, disposition="busy")
        await stage.world.services.campaigns.sweep("1", 100)
        assert (await stage.dial()).status in ("ok", "skipped")
        for contact in ("1", "2"):
            await stage.world.record(contact)
        await stage.world.check_invariants()
