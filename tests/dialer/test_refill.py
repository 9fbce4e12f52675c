"""The contacts that are ready, against the backend: who is loaded, looked up again, or dropped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web
from redis.asyncio import Redis

from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.pending_check import PendingCheck
from streamdialer.model import CampaignSettings
from streamdialer.simulation.servers.http import json_reply
from streamdialer.simulation.world.build import build_world
from tests.support.callbacks import ask
from tests.support.dialer import open_centre
from tests.support.ticks_stage import StageWithBackend


@asynccontextmanager
async def open_stage(settings: Settings, contacts: int, threshold: int) -> AsyncIterator[StageWithBackend]:
    """The contacts have one priority, no agent is free, and the list is read only when asked for."""
    centre_world = build_world(agents=0, contacts=contacts)
    for contact in centre_world.contacts.values():
        contact.priority = 5
    changes: dict[str, Any] = {"refill_interval_s": 600, "refill_threshold": threshold, "page_size": 2}
    async with open_centre(settings, centre_world, **changes) as (centre, services):
        await services.client.hset("campaign:1", "status", "active")
        yield StageWithBackend(centre, services)


async def add_agents(stage: StageWithBackend, number: int) -> None:
    for agent in range(1, number + 1):
        stage.centre.world.add_agent(agent, "sales")
    await stage.world.services.queues.invalidate_agents("sales")


@pytest.fixture
async def stage(settings: Settings, redis: object) -> AsyncIterator[StageWithBackend]:
    async with open_stage(settings, contacts=6, threshold=3) as stage:
        assert (await stage.dial()).ready == 6
        await add_agents(stage, 6)
        yield stage


async def test_contacts_removed_or_finished_in_the_backend_are_not_dialed(stage: StageWithBackend) -> None:
    contacts = stage.centre.world.contacts
    contacts[1].status, contacts[4].status, contacts[5].campaign_id = "completed", "do_not_call", 2
    stage.remove(2)
    await stage.world.make_stale(*"123456")
    assert (await stage.dial()).dialed == 2
    assert await stage.dialed() == ["3", "6"]
    assert [await stage.world.state_of(one) for one in "1245"] == ["final"] * 4
    assert contacts[1].status == "completed"
    assert await stage.world.services.client.hlen("sd:c:1:outbox") == 0


async def test_contacts_that_a_claim_skipped_are_looked_up_for_the_next(stage: StageWithBackend) -> None:
    await stage.world.make_stale(*"1245")
    stage.remove(4)
    assert (await stage.dial()).dialed == 2
    assert await stage.dialed() == ["3", "6"]
    assert (await stage.dial()).dialed == 3
    assert await stage.dialed() == ["3", "6", "1", "2", "5"]


async def test_a_backend_that_is_down_keeps_the_stale_from_being_dialed_and_the_tick_says_so(
    stage: StageWithBackend,
) -> None:
    await stage.world.make_stale(*"123456")
    stage.centre.backend.set_responder(
        lambda request: json_reply({}, 503) if request.path.startswith("/api/contacts/") else None
    )
    result = await stage.dial()
    assert (result.dialed, result.status, result.reason) == (0, "error", "backend_unreachable")
    assert await stage.dialed() == []
    stage.centre.backend.set_responder(None)
    assert (await stage.dial()).dialed == 6


async def test_a_backend_that_is_down_keeps_only_the_stale_from_being_dialed(stage: StageWithBackend) -> None:
    await stage.world.make_stale("1")
    stage.centre.backend.set_responder(
        lambda request: json_reply({}, 503) if request.path.startswith("/api/contacts/") else None
    )
    result = await stage.dial()
    assert (result.dialed, result.status, result.skipped) == (5, "ok", {"needs_verification": 1})
    assert await stage.world.state_of("1") == "ready"


async def test_one_contact_that_cannot_be_read_stops_no_other(stage: StageWithBackend) -> None:
    await stage.world.make_stale(*"123456")

    def broken(request: web.Request) -> web.Response | None:
        return json_reply({"id": 4}) if request.path == "/api/contacts/4/" else None

    stage.centre.backend.set_responder(broken)
    assert (await stage.dial()).dialed == 5
    assert await stage.world.state_of("4") == "ready"


async def test_stale_contacts_wait_until_the_backend_has_their_update(stage: StageWithBackend) -> None:
    await stage.world.make_stale(*"123456")
    for contact in "123456":
        await stage.world.services.client.hset("sd:c:1:outbox", contact, '{"v": 1, "s": "pending"}')
    result = await stage.dial()
    assert (result.dialed, result.reason, result.skipped) == (
        0,
        "needs_verification",
        {"needs_verification": 6},
    )
    assert await stage.world.count("1", "ready") == 6


@pytest.mark.parametrize("status", [404, 405])
async def test_a_backend_without_single_contacts_is_read_by_list(
    stage: StageWithBackend, status: int
) -> None:
    contacts = stage.centre.world.contacts
    contacts[1].status = "completed"
    stage.remove(2)
    await stage.world.make_stale(*"123456")
    stage.centre.backend.set_responder(
        lambda request: json_reply({}, status) if request.path != "/api/contacts/" else None
    )
    settings, services = CampaignSettings(queue_name="sales"), stage.world.services
    await stage.world.set_agents(6)
    asked = await stage.world.claim(level=6)
    assert len(asked.stale) == 6
    assert await PendingCheck(services).confirm("1", settings, asked.stale, asked.ledger_ms) == 6
    assert [await stage.world.state_of(one) for one in "12"] == ["final"] * 2
    assert (await stage.world.claim(level=6)).dialed == 4
    assert sorted(await stage.dialed()) == ["3", "4", "5", "6"]


async def test_what_an_agent_is_shown_survives_the_look_up(stage: StageWithBackend) -> None:
    shown = stage.centre.world.contacts[1]
    shown.custom_data = {"name": "Ada"}
    settings = CampaignSettings(queue_name="sales", dial_mode="preview")
    await PendingCheck(stage.world.services).confirm("1", settings, ["1"], 0)
    kept = await stage.world.services.client.hget("sd:c:1:contacts", "1")
    assert msgspec.json.decode(str(kept))["custom_data"] == {"name": "Ada"}


async def test_contacts_behind_waiting_callbacks_are_dialed(redis: Redis, settings: Settings) -> None:
    async with open_stage(settings, contacts=8, threshold=2) as stage:
        assert (await stage.dial()).ready == 4
        loaded = [str(one) for one in await stage.world.client.zrange("sd:c:1:ready", 0, -1)]
        for contact in loaded:
            assert await ask(stage.world, contact, -60, agent="9") == "applied"
        await add_agents(stage, 2)
        await stage.dial()
        assert (await stage.dial()).dialed == 2
        assert not set(await stage.dialed()) & set(loaded)
