"""A call that rings and is not wanted any more is hung up, and is no attempt; a conversation goes on."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from streamdialer.broker.hangups import HangupRequests
from streamdialer.broker.keys import Keys
from streamdialer.config.settings import Settings
from streamdialer.ledger import campaigns
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.operations.campaigns import hang_up_ringing, set_campaign_status
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.config import WorldConfig
from streamdialer.simulation.world.engine import World
from streamdialer.simulation.world.entities import Call
from tests.dialer.test_asterisk_producer import Events, watching
from tests.support.ami_asterisk import ScriptedAsterisk
from tests.support.ami_server import text_of
from tests.support.dialer import Dialer, run_dialer
from tests.support.eventually import eventually
from tests.support.ledger_fixture import LedgerWorld
from tests.support.ledger_reader import move_clock

pytestmark = [pytest.mark.anyio, pytest.mark.leaves("dialer:events"), pytest.mark.leaves("dialer:hangups")]
KEYS = Keys()
TALK, RING = "sd-1:1:0:k.", "sd-1:2:0:k."


async def asked(client: Redis) -> list[tuple[str, str]]:
    rows: Any = await client.xrange(KEYS.hangups)
    return [(fields["attempt_id"], fields["reason"]) for _, fields in rows]


# ---- which calls the ledger asks for ----


@pytest.mark.parametrize("batch", [1, 2, 500])
async def test_all_ringing_calls_of_a_campaign_are_asked_for(
    world: LedgerWorld, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(campaigns, "HANGUPS_BATCH", batch)
    await world.open_campaign("1", contacts=5, agents=5)
    attempts = [await world.place_one() for _ in range(5)]
    await world.event("call_answered", attempts[0])
    assert await hang_up_ringing(world.client, KEYS, world.services.settings, "1") == 4
    assert sorted(await asked(world.client)) == sorted((each.id, "campaign_paused") for each in attempts[1:])
    assert await hang_up_ringing(world.client, KEYS, world.services.settings, "unheard-of") == 0


async def test_pacing_asks_for_calls_that_have_rung_longest_and_long_enough(world: LedgerWorld) -> None:
    await world.open_campaign("1", contacts=5, agents=5)
    first, second, late, silent, answered = [await world.place_one() for _ in range(5)]
    for attempt in (first, second, answered):
        await world.event("call_ringing", attempt)
        await move_clock(world.client, world.keys, 1)
    await world.event("call_answered", answered)
    await move_clock(world.client, world.keys, 20)
    await world.event("call_ringing", late)
    campaign = world.services.campaigns
    assert await campaign.take_back_calls("1", 1, 15.0) == 1
    assert await campaign.take_back_calls("1", 5, 15.0) == 2, "the first is asked for again until it ends"
    assert await campaign.take_back_calls("1", 5, 60.0) == 0
    assert [attempt for attempt, _ in await asked(world.client)] == [first.id, first.id, second.id]
    assert {reason for _, reason in await asked(world.client)} == {"no_agent_coming"}
    assert silent.id not in {attempt for attempt, _ in await asked(world.client)}, (
        "nobody knows that it rings"
    )


# ---- the readers of the requests ----


async def test_a_reader_gets_each_request_once_and_survives_the_last_possible_id(redis: Redis) -> None:
    await redis.xadd(KEYS.hangups, {"attempt_id": "early"})
    requests = HangupRequests(redis, KEYS)
    assert await requests.read(100) == ["early"]
    assert await requests.read(10) == []
    await redis.xadd(KEYS.hangups, {"junk": "1"})
    await redis.xadd(KEYS.hangups, {"attempt_id": "last"}, id=f"{2**64 - 1}-{2**64 - 1}")
    assert await requests.read(100) == ["last"]
    assert await requests.read(10) == [], "it is not read for ever"
    await redis.delete(KEYS.hangups)
    await redis.xadd(KEYS.hangups, {"attempt_id": "after"})
    assert [*await requests.read(10), *await requests.read(100)] == ["after"]


async def test_the_producer_hangs_up_what_rings_and_nothing_else(redis: Redis) -> None:
    asterisk, written = ScriptedAsterisk(), Events(redis)
    asterisk.answers["Hangup"] = lambda fields: text_of(Response="Success", ActionID=fields["ActionID"])
    asterisk.channels = {TALK: "Up", RING: "Ringing"}
    async with asterisk.running(), watching(asterisk, redis):
        await written.until(1, "source_live")
        for attempt in ("1:1:0:k", "1:2:0:k", "1:3:0:k", "1:9:0:k"):
            await redis.xadd(KEYS.hangups, {"attempt_id": attempt, "reason": "do_not_call"})
        await eventually(lambda: asterisk.actions("Hangup"))
        await asterisk.call_event(
            "Newstate", "sd-1:3:0:k.", ChannelStateDesc="Ringing"
        )  # asked for before it was there
        await eventually(lambda: len(asterisk.actions("Hangup")) == 2)
        await anyio.sleep(0.3)
    assert [(each["Channel"], each["Cause"]) for each in asterisk.actions("Hangup")] == [
        (RING, "16"),
        ("sd-1:3:0:k.", "16"),
    ]


# ---- in a running dialer ----


@pytest.fixture
def ringing() -> World:
    """Every call rings until its time-out."""
    config = WorldConfig(machine=0.0, busy=0.0, failed=0.0)
    return build_world(
        agents=3, contacts=6, mode="progressive", answer_rate=0, speed=10, retry_delay_s=6000, config=config
    )


async def until_ringing(dialer: Dialer, count: int) -> list[Call]:
    def calls() -> list[Call] | None:
        found = [call for call in dialer.centre.live_calls() if call.state == "ringing"]
        return found if len(found) == count else None

    await mark_server_trusted(dialer.services.client, dialer.services.keys)
    await dialer.centre.start_campaign(1)
    found: list[Call] = await eventually(calls, within_s=25)
    return found


async def test_do_not_call_ends_the_ringing(settings: Settings, ringing: World) -> None:
    async with run_dialer(settings, ringing, speed=10, ring_timeout_s=60.0, start=False) as dialer:
        first, *_ = await until_ringing(dialer, 3)
        await dialer.producer.event("do_not_call", phone_number=first.phone_number)
        await eventually(lambda: first.disposition == "cancelled", within_s=15)
        await dialer.until(lambda audit: audit.contacts.get("do_not_call") == 1)
        contact = ringing.contacts[int(first.contact_id)]
        await eventually(lambda: contact.attempts == 0, within_s=15)


async def test_a_pause_that_hangs_up_costs_nobody_an_attempt(settings: Settings, ringing: World) -> None:
    async with run_dialer(settings, ringing, speed=10, ring_timeout_s=60.0, start=False) as dialer:
        calls = await until_ringing(dialer, 3)
        client, keys = dialer.services.client, dialer.services.keys
        await set_campaign_status(client, keys, "1", "pause")
        assert await hang_up_ringing(client, keys, dialer.services.settings, "1") == 3
        await eventually(lambda: {call.disposition for call in calls} == {"cancelled"}, within_s=15)
        await eventually(lambda: not dialer.centre.live_calls())
        await dialer.until(lambda audit: not audit.contacts.get("dialing"))
        assert [ringing.contacts[int(call.contact_id)].attempts for call in calls] == [0, 0, 0]


@pytest.mark.parametrize(("rule_pack", "are_ended"), [("uk", True), ("none", False)])
async def test_calls_whose_agents_have_left_are_taken_back_where_the_least_ring_time_is_known(
    settings: Settings, rule_pack: str, are_ended: bool
) -> None:
    """Least ring time: half a second of the clock on the wall."""
    config = WorldConfig(machine=0.0, busy=0.0, failed=0.0)
    world = build_world(
        agents=3, contacts=30, mode="predictive", pacing="adaptive", answer_rate=0, config=config
    )
    world.campaigns[1].rule_pack = rule_pack
    async with run_dialer(
        settings,
        world,
        speed=30,
        ring_timeout_s=60.0,
        pacing_time_scale=30.0,
        pacing_take_back=True,
        start=False,
    ) as dialer:
        calls = await until_ringing(dialer, 3)
        for agent in list(world.agents):
            world.log_out(dialer.centre.now, agent)
        if not are_ended:
            await anyio.sleep(1.5)
            assert {call.disposition for call in calls} == {None}
            return
        await eventually(lambda: {call.disposition for call in calls} == {"cancelled"}, within_s=15)
        await dialer.until(lambda audit: not audit.contacts.get("dialing"))
        assert [world.contacts[int(call.contact_id)].attempts for call in calls] == [0, 0, 0]
        assert all((call.ended_at or 0) - call.placed_at >= 15 for call in calls)
