"""Caps, calling hours, trunks and several numbers, kept by a running dialer."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from aiohttp import web
from redis.asyncio import Redis

from streamdialer.config.settings import Settings
from streamdialer.consumers.services import Services
from streamdialer.operations.contact_detail import contact_detail
from streamdialer.operations.decisions import decisions
from streamdialer.operations.eligibility import fetch_calling_hours
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.config import WorldConfig
from streamdialer.simulation.world.engine import World
from streamdialer.simulation.world.entities import Call
from tests.support.dialer import run_dialer
from tests.support.eventually import eventually
from tests.support.faketime import calls_noted
from tests.support.zones import zone_where

NUMBERS = ("+15550000001", "+15550000002", "+15550000003")


async def is_capped(services: Services) -> bool:
    ask_hours = partial(fetch_calling_hours, services.settings, "1")
    details = [
        await contact_detail(services.client, services.keys, "1", str(n), ask_hours) for n in range(1, 9)
    ]
    return {one.reason for one in details} == {"cap_attempts"}


def silent_world() -> World:
    """No one answers, so that no event causes a dial tick while phones ring."""
    config = WorldConfig(human=0, machine=0, busy=0, failed=0)
    return build_world(agents=12, contacts=12, queue_per_campaign=True, answer_rate=0, speed=4, config=config)


def most_at_once(calls: list[Call]) -> int:
    ends = [(call.ended_at or float("inf"), -1) for call in calls]
    at_once = most = 0
    for _, change in sorted([(call.placed_at, 1) for call in calls] + ends):
        at_once += change
        most = max(most, at_once)
    return most


async def test_the_dialer_calls_no_contact_more_often_than_the_cap(settings: Settings, redis: Redis) -> None:
    config = WorldConfig(human=0, machine=0, busy=0.9, failed=0.05)
    sim = build_world(
        agents=6, contacts=8, speed=200, retry_delay_s=20, max_retries=9, config=config, answer_rate=0
    )
    next(iter(sim.campaigns.values())).attempt_caps = [{"count": 2, "window_h": 24, "scope": "number"}]
    async with run_dialer(settings, sim, speed=200) as dialer:

        async def all_wait() -> bool:
            return await dialer.count("deferred") == 8 and dialer.centre.summary().total.originates == 16

        await eventually(all_wait, what="everybody was called twice")
        await eventually(lambda: is_capped(dialer.services), what="the reason is noted")
        result = await dialer.tick()
        assert (result.dialed, result.reason) == (0, "no_contacts")
        assert set(sim.auditor.per_contact.values()) == {2}


async def test_each_of_a_contacts_phones_rings_in_its_turn(settings: Settings, redis: object) -> None:
    no_answers = WorldConfig(human=0, machine=0, busy=0, failed=0)
    world = build_world(agents=1, contacts=1, answer_rate=0, speed=100, retry_delay_s=20, config=no_answers)
    world.contacts[1].phones = list(NUMBERS)
    rang: list[str] = []

    async def note(request: web.Request) -> None:
        if request.path == "/calls/originate":
            rang.append(msgspec.json.decode(await request.read())["phone_number"])

    async with run_dialer(settings, world, speed=100) as dialer:
        dialer.centre.dialer_api.set_responder(note)
        await dialer.until_all_are_final()
        assert rang == list(NUMBERS)
        assert world.contacts[1].status == "no_answer"


@pytest.mark.usefixtures("redis")
async def test_one_tick_is_enough_to_keep_the_pace(settings: Settings) -> None:
    world = silent_world()
    next(iter(world.campaigns.values())).calls_per_second = 4.0
    calls = calls_noted(world)
    async with run_dialer(settings, world, speed=4, producers=0, start=False) as dialer:
        await dialer.services.client.hset("campaign:1", "status", "active")
        result = await dialer.tick()
        assert (result.dialed, result.limit) == (4, "calls_per_second")
        await eventually(
            lambda: len(calls) == 12, within_s=6, what="everybody is called before a phone stops ringing"
        )
        placed = [call.placed_at / 4 for call in calls]
    assert all(call.ended_at is None for call in calls[:1]), "no event has caused a tick"
    assert 1.5 < placed[-1] - placed[0] < 5
    for at in placed:
        assert len([one for one in placed if at <= one < at + 1]) <= 8, (
            "a second's worth, and that of the second"
        )


@pytest.mark.usefixtures("redis")
async def test_two_replicas_keep_within_the_channels_of_a_shared_trunk(settings: Settings) -> None:
    world = build_world(agents=12, contacts=36, campaigns=3, queue_per_campaign=True, speed=100)
    calls = calls_noted(world)
    async with run_dialer(settings, world, speed=100, replicas=2, trunk_channels=4) as dialer:
        await dialer.until_all_are_final(within_s=60)
        told = await decisions(dialer.services.client, dialer.services.keys, "1", 200)
        assert "trunk_channels" in {one.limit for one in told}
    assert most_at_once(calls) <= 4


@pytest.mark.usefixtures("redis")
async def test_the_dialer_calls_only_those_whose_day_it_is(settings: Settings) -> None:
    day, night = zone_where(10, 18), zone_where(0, 6)
    sim = build_world(agents=4, contacts=9, mode="progressive", speed=100, retry_delay_s=30)
    for number, contact in enumerate(sim.contacts.values()):
        contact.timezone = (day, night, "UTC-5")[number % 3]
    async with run_dialer(settings, sim, speed=100, rule_pack="us-regf", timezone=day) as dialer:
        await dialer.until(lambda audit: audit.contacts.get("pending", 0) <= 3, what="those of the day")
        await dialer.until(lambda audit: not audit.live_calls and not audit.contacts.get("dialing"))
        assert await dialer.count("deferred") >= 3
        due: Any = await dialer.services.client.zrange(
            dialer.services.keys.deferred("1"), 0, -1, withscores=True
        )
        here = datetime.now(ZoneInfo(night)).replace(hour=8, minute=0, second=0, microsecond=0)
        opens_ms = here.timestamp() * 1000
        for contact in sim.contacts.values():
            if contact.timezone == night:
                assert contact.status == "pending"
                assert abs(dict(due)[str(contact.id)] - opens_ms) < 2000
            elif contact.timezone == "UTC-5":
                assert (contact.status, contact.attempts) == ("invalid", 0)
        result = await dialer.tick()
        assert result.reason != "invalid_campaign"


@pytest.mark.usefixtures("redis")
@pytest.mark.parametrize(
    ("pack", "said"),
    [("us-xx", "rule pack 'us-xx' is unknown: takes one of au"), ("co", "never legal in America/Bogota")],
)
async def test_a_campaign_whose_law_cannot_be_kept_is_not_dialed_and_says_so(
    settings: Settings, pack: str, said: str
) -> None:
    sim = build_world(agents=4, contacts=3, mode="progressive", speed=100)
    campaign = next(iter(sim.campaigns.values()))
    campaign.rule_pack, campaign.timezone, campaign.days_of_week = pack, "America/Bogota", [6]
    async with run_dialer(settings, sim, speed=100, start=False) as dialer:
        await dialer.services.client.hset("campaign:1", "status", "active")
        result = await dialer.tick()
        assert (result.status, result.reason) == ("error", "invalid_campaign")
        assert said in (result.detail or "")
        assert dialer.centre.summary().total.originates == 0


@pytest.mark.usefixtures("redis")
@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (None, "2020-02-01T00:00:00", "its calling hours are over; they do not open again"),
        ("2999-01-31T09:00:00", None, "they open 2999-01-31T09:00:00-05:00 (America/Bogota)"),
    ],
)
async def test_a_campaign_outside_its_own_hours_says_when_they_open(
    settings: Settings, start: str | None, end: str | None, said: str
) -> None:
    sim = build_world(agents=1, contacts=1, timezone="America/Bogota")
    campaign = next(iter(sim.campaigns.values()))
    campaign.start_time, campaign.end_time = start, end
    async with run_dialer(settings, sim, start=False) as dialer:
        await dialer.services.client.hset("campaign:1", "status", "active")
        result = await dialer.tick()
        assert result.reason == "window_closed"
        assert said in (result.detail or "")
