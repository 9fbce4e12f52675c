"""Every cause of a call not being placed: brought about on a real server through the real stages, then explained."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from redis.asyncio import Redis

from streamdialer.broker.connection import server_ms
from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.reasons import LIMITS
from streamdialer.operations.decisions import decisions, dial_status
from streamdialer.simulation.servers.http import json_reply
from streamdialer.simulation.world.engine import World
from tests.support.dialer import Dialer, run_dialer
from tests.support.eventually import eventually
from tests.support.reason_scenarios import Scenario, abandon_one, api_says, campaign_of, start, world


async def pause(dialer: Dialer) -> None:
    await start(dialer)
    await dialer.centre.pause_campaign(1)


async def nothing(dialer: Dialer) -> None:
    return


async def forget(dialer: Dialer) -> None:
    """The server becomes one the ledger has not met, as after a restart."""
    await start(dialer)
    await dialer.services.client.hset(dialer.services.keys.server, "run", "0" * 40)


async def allow(client: Redis, what: str) -> None:
    anyone: Any = client
    await anyone.execute_command("ACL", "SETUSER", "default", what)


async def hide_info(dialer: Dialer) -> None:
    await allow(dialer.services.client, "-info")
    await start(dialer)


def backend_says(status: int) -> Callable[[Dialer], Awaitable[None]]:
    async def act(dialer: Dialer) -> None:
        dialer.centre.backend.set_responder(lambda request: json_reply({}, status))
        await start(dialer)

    return act


async def show_them_unreadably(dialer: Dialer) -> None:
    """The backend's list no longer shows the ready contacts, and what it shows of each cannot be read."""
    await start(dialer)
    await eventually(lambda: dialer.count("ready"))

    def script(request: web.Request) -> web.StreamResponse | None:
        if request.path == "/api/contacts/":
            return web.json_response([])
        if re.fullmatch(r"/api/contacts/\d+/", request.path) and request.method == "GET":
            return web.json_response({"id": {"not": "an id"}})
        return None

    dialer.centre.backend.set_responder(script)


async def ask_long_ago(dialer: Dialer) -> None:
    asked = datetime(2026, 1, 1, tzinfo=UTC)
    await dialer.services.suppression.record_query("rne", int(asked.timestamp()), 7)
    await start(dialer)


def two_queues() -> World:
    """One agent in the queues of both campaigns."""
    made = world(agents=0, campaigns=2, queue_per_campaign=True)
    made.add_agent(1001, "sales-1", also_in=["sales-2"])
    return made


async def start_second_first(dialer: Dialer) -> None:
    await dialer.centre.start_campaign(2)
    await eventually(lambda: dialer.count("dialing", "2"))
    await dialer.centre.start_campaign(1)


BY_ASTERISK: dict[str, Any] = {"originate": "asterisk", "asterisk_ami_url": "ami://u:s@127.0.0.1:1"}
REASON_SCENES = [
    Scenario("unknown_campaign", "it has no status in Redis", act=nothing),
    Scenario("not_active", "its status is 'paused', not 'active'", act=pause),
    Scenario("no_decisions", "no tick has decided about it yet", running={"producers": 0, "replicas": 0}),
    Scenario(
        "window_closed",
        "its calling hours are over; they open ",
        lambda: campaign_of(world(), days_of_week=[(datetime.now(UTC).weekday() + 3) % 7]),
    ),
    Scenario(
        "window_closed",
        "its calling hours are over; they do not open again",
        lambda: campaign_of(world(), end_time="2020-01-01T00:00:00Z"),
    ),
    Scenario("no_agents", "no agent of the queue is free", lambda: world(agents=0)),
    Scenario(
        "registry_outdated",
        "the registry rne is asked at least every 5 days; it was last asked at 2026-01-01",
        lambda: campaign_of(world(), rule_pack="co"),
        ask_long_ago,
    ),
    Scenario(
        "agents_elsewhere", "the free agents stand in other queues, too", two_queues, start_second_first
    ),
    Scenario("no_contacts", "no contact is ready to be dialed", lambda: world(contacts=0)),
    Scenario(
        "contacts_in_calls",
        "all contacts that can be called now are being called",
        lambda: world(contacts=1, agents=3),
    ),
    Scenario("data_loss", "calls that it may have forgotten get time to end; ", act=forget),
    Scenario("server_unknown", "Redis refuses the INFO command", act=hide_info),
    Scenario(
        "rate_limited", "the Dialer API asked this campaign to wait", act=api_says(429, {"Retry-After": "30"})
    ),
    Scenario("dialer_api_down", "the Dialer API takes no calls", act=api_says(503)),
    Scenario("dialer_api_credentials", "the Dialer API refuses our credentials", act=api_says(401)),
    Scenario(
        "asterisk_down",
        "after each pause one call tries it (127.0.0.1:1: Asterisk cannot be reached",
        running=BY_ASTERISK,
    ),
    Scenario(
        "invalid_campaign",
        "trunk is 'a/b', takes the name of an endpoint",
        lambda: campaign_of(world(), trunk="a/b"),
        running=BY_ASTERISK,
    ),
    Scenario(
        "no_call_events",
        "calls were sent and no call event has come since",
        running={"distort": lambda happenings, add: None, "ring_timeout_s": 0.5, "uncertain_margin_s": 0.3},
    ),
    Scenario(
        "needs_verification",
        "the backend has not listed the ready contacts as pending lately",
        lambda: world(contacts=9),
        act=show_them_unreadably,
        running={"pending_check_after_s": 0.5, "ring_timeout_s": 3.0, "uncertain_margin_s": 60.0},
    ),
    Scenario("invalid_campaign", "pacing_ratio is 9", lambda: world(mode="predictive", pacing_ratio=9.0)),
    Scenario("backend_unreachable", "502", act=backend_says(502)),
    Scenario("backend_credentials", "BACKEND", act=backend_says(401)),
]
LIMIT_SCENES = [
    Scenario("preview", "is in preview mode: an agent requests each call", lambda: world(mode="preview")),
    Scenario("agents", LIMITS["agents"].text),
    Scenario("agents_shared", LIMITS["agents_shared"].text, lambda: world(agents=1, campaigns=2)),
    Scenario("concurrency", LIMITS["concurrency"].text, lambda: world(max_concurrent_calls=1)),
    Scenario(
        "calls_per_second",
        LIMITS["calls_per_second"].text,
        lambda: campaign_of(world(), calls_per_second=0.1),
    ),
    Scenario("trunk_channels", LIMITS["trunk_channels"].text, running={"trunk_channels": 1}),
    Scenario(
        "cap_reached",
        LIMITS["cap_reached"].text,
        lambda: world(mode="predictive", pacing="adaptive", agents=1, contacts=20),
        act=abandon_one,
    ),
    Scenario(
        "risk",
        LIMITS["risk"].text,
        lambda: world(mode="predictive", pacing="adaptive", agents=1, contacts=20),
    ),
]


@pytest.mark.parametrize("scene", REASON_SCENES, ids=lambda scene: f"{scene.code}: {scene.says[:20]}")
async def test_why_a_campaign_is_not_dialed(settings: Settings, redis: Redis, scene: Scenario) -> None:
    try:
        async with run_dialer(settings, scene.world(), speed=4, start=False, **scene.running) as dialer:
            await scene.act(dialer)
            await eventually(lambda: stands(dialer, scene.code, scene.says), what=scene.says)
    finally:
        await allow(redis, "+info")


@pytest.mark.parametrize("scene", LIMIT_SCENES, ids=lambda scene: scene.code)
async def test_why_a_dialed_campaign_places_no_more(
    settings: Settings, redis: Redis, scene: Scenario
) -> None:
    async with run_dialer(settings, scene.world(), speed=4, start=False, **scene.running) as dialer:
        await scene.act(dialer)
        await eventually(lambda: stands(dialer, None, scene.says), what=scene.says)


async def test_a_decision_record_tells_what_went_in_and_each_limits_before_and_after(
    settings: Settings, redis: Redis
) -> None:
    made = world(agents=4, contacts=9, mode="power", pacing_ratio=3.0, max_concurrent_calls=7)
    async with run_dialer(settings, made, speed=4, producers=0, start=False, trunk_channels=5) as dialer:
        await redis.hset("campaign:1", "status", "active")
        await dialer.tick()
        *_, first = await decisions(redis, dialer.services.keys, "1", 10)
    assert (first.mode, first.pacing_ratio, first.max_concurrent_calls) == ("power", 3.0, 7)
    assert (first.available_agents, first.share, first.wanted, first.level) == (4, 3, 7, 9)
    assert first.steps == [("agents", 9, 9), ("concurrency", 9, 7), ("trunk_channels", 7, 5), ("batch", 5, 5)]
    assert (first.limit, first.dialed) == ("trunk_channels", 5)


async def stands(dialer: Dialer, code: str | None, says: str) -> bool:
    """Whether the first line of `explain` for any of the campaigns says so now."""
    client, keys = dialer.services.client, dialer.services.keys
    for campaign in map(str, dialer.centre.world.campaigns):
        status: Any = await client.hget(keys.campaign(campaign), "status")
        newest = next(iter(await decisions(client, keys, campaign, 1)), None)
        found = dial_status(campaign, status, newest, await server_ms(client))
        if found.reason == code and says in found.sentence:
            return True
    return False
