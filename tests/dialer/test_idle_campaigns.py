"""The ticks of a campaign without contacts are one script call each, until anything changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic
from typing import Any

import anyio
import msgspec
import pytest
from redis.asyncio import Redis

from streamdialer.broker.entries import Entry
from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing import calling_hours, dial_tick, idle, inputs
from streamdialer.consumers.dialing.outcome import DialOutcome
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.services import Services
from streamdialer.consumers.ticks import TicksStage
from streamdialer.errors import Unreachable
from streamdialer.gateways.backend import Backend
from streamdialer.ledger.ticks import TickLedger
from streamdialer.ledger.types import ClaimResult, LoadRow
from streamdialer.ledger.zone_hours import Hours, ZoneOpening
from streamdialer.model import Agent, CampaignSettings, TickResult
from streamdialer.operations.decisions import decisions, dial_status
from streamdialer.simulation.world.build import build_world
from tests.support.dialer import open_centre
from tests.support.ledger_fixture import LedgerWorld
from tests.support.ledger_reader import move_clock
from tests.support.ticks_stage import NUMBERS, CountedTicks

IDLE = {"start_tick": 1}
ADAPTIVE: dict[str, Any] = {"dial_mode": "predictive", "pacing": "adaptive", "rule_pack": "none"}


class Ticks(CountedTicks):
    def another_replica(self) -> TicksStage:
        return TicksStage(self.services, WakeupScheduler(self.services))

    async def dial(self, campaign: str = "1", stage: TicksStage | None = None, tick: str = "") -> TickResult:
        """What is stored under the tick's id."""
        self.scripts.clear()
        tick = tick or f"{next(NUMBERS)}-0"
        await (stage or self.stage).handle(Entry(tick, {"kind": "dial", "campaign_id": campaign}))
        raw: Any = await self.services.client.get(self.services.keys.tick(tick))
        return msgspec.json.decode(raw, type=TickResult)


@pytest.fixture
async def ticks(settings: Settings, redis: Redis) -> AsyncIterator[Ticks]:
    world = build_world(agents=4, contacts=0)
    async with open_centre(settings, world, refill_interval_s=60) as (centre, services):
        await services.client.hset("campaign:1", "status", "active")
        counted = Ticks(centre, services)
        with counted.counting():
            yield counted


async def test_a_campaign_without_contacts_costs_one_script_call(ticks: Ticks) -> None:
    decided = await ticks.dial()
    assert (decided.reason, ticks.scripts["reserve_contacts"]) == ("no_contacts", 1)
    repeated = await ticks.dial()
    assert ticks.scripts == IDLE
    assert (repeated.status, repeated.reason, repeated.detail) == ("skipped", "no_contacts", decided.detail)
    assert (repeated.at or 0) >= (decided.at or 1)
    decisions = ticks.services.keys.decisions("1")
    assert await ticks.services.client.xlen(decisions) == 1, "only what was decided is a decision"


async def a_contact_comes(ticks: Ticks) -> None:
    call = '{"id": 1, "phone_number": "+573001234567", "n": ["+573001234567"]}'
    await ticks.services.campaigns.load("1", [LoadRow("1", 5, 0, call, shown="x")], 3)


async def the_settings_change(ticks: Ticks) -> None:
    (campaign,) = ticks.centre.world.campaigns.values()
    campaign.max_retries = 7
    await ticks.services.client.delete(ticks.services.keys.shared_settings("1"))
    ticks.stage._dial_tick.campaigns._campaigns.pop("1")
    await ticks.stage._dial_tick.campaigns.settings_of("1")


async def the_campaign_is_paused(ticks: Ticks) -> None:
    await ticks.services.client.hset("campaign:1", "status", "paused")


async def its_queue_changes(ticks: Ticks) -> None:
    await ticks.services.client.hset(ticks.services.keys.directory, "1", "another")


async def another_server_answers(ticks: Ticks) -> None:
    await ticks.services.client.hset(ticks.services.keys.server, "run", "0" * 40)


async def it_must_be_rebuilt(ticks: Ticks) -> None:
    await ticks.services.client.hset(ticks.services.keys.server, "rebuild_epoch", "an epoch")


async def its_list_is_due(ticks: Ticks) -> None:
    ticks.stage._refill._reads.pop("1")


@pytest.mark.parametrize(
    "change",
    [
        a_contact_comes,
        the_settings_change,
        the_campaign_is_paused,
        its_queue_changes,
        another_server_answers,
        it_must_be_rebuilt,
        its_list_is_due,
    ],
)
async def test_it_decides_anew_when(ticks: Ticks, change: Callable[[Ticks], Awaitable[None]]) -> None:
    await ticks.dial()
    await ticks.dial()
    assert ticks.scripts == IDLE
    await change(ticks)
    result = await ticks.dial()
    assert ticks.scripts["save_tick_result"] == 1
    assert result.dialed == (1 if change is a_contact_comes else 0)


@pytest.mark.parametrize("limit", ["age", "window"])
async def test_it_decides_anew_after_a_while(
    ticks: Ticks, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    if limit == "window":
        monkeypatch.setattr(inputs.DialedCampaign, "open_s", 5.0)
    await ticks.dial()
    now = monotonic()
    for late_s, decides in ((0.0, False), (4.0, False), (6.0, limit == "window"), (idle.IDLE_S + 1, True)):
        with pytest.MonkeyPatch.context() as later:
            later.setattr("streamdialer.consumers.dialing.idle.monotonic", lambda late_s=late_s: now + late_s)
            offered = ticks.stage._dial_tick.without_contacts("1", 60)
        assert (offered is None) == decides, late_s


CLAIMED = ClaimResult(dialed=0, free=2, dialing=0, live=0, ready=0, deferred=3, ledger_ms=1)


@pytest.mark.parametrize(
    ("changes", "is_idle"),
    [
        ({}, True),
        ({"limit": "no_contacts"}, True),
        ({"ready": 3}, False),
        ({"live": 1}, False),
        ({"reason": "dialer_api_down"}, False),
    ],
)
def test_a_claim_holds_for_the_next_ticks_when_no_contact_is_left(
    changes: dict[str, Any], is_idle: bool
) -> None:
    claimed = msgspec.structs.replace(CLAIMED, **changes)
    assert DialOutcome(claimed=claimed).is_idle == is_idle
    assert not DialOutcome(claimed=claimed, outdated="not_rebuilt").is_idle


@pytest.mark.parametrize("events", [[], ["call_ringing"], ["call_ringing", "call_answered"]])
async def test_it_decides_while_a_call_of_another_replica_is_live(ticks: Ticks, events: list[str]) -> None:
    await ticks.dial()
    await a_contact_comes(ticks)
    assert (await ticks.dial(stage=ticks.another_replica())).dialed == 1
    world = LedgerWorld(ticks.services)
    (attempt,) = await world.reserved_calls()
    for event in events:
        assert await world.mark_sent(attempt) in ("ok", "sent")
        await world.event(event, attempt)
    assert (await ticks.dial()).live_calls == 1


async def test_an_idle_replica_takes_back_a_call_that_another_has_placed(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaigns_have(monkeypatch, **ADAPTIVE)
    monkeypatch.setattr(inputs, "min_ring_s", lambda *_: 2.0)
    faster = {"pacing_time_scale": 1000.0, "pacing_take_back": True}
    async with open_centre(
        settings, build_world(agents=4, contacts=0), refill_interval_s=60, agents_cache_ttl_s=60, **faster
    ) as (centre, services):
        await services.client.hset("campaign:1", "status", "active")
        ticks, world = Ticks(centre, services), LedgerWorld(services)
        await ticks.dial()
        await a_contact_comes(ticks)
        await ticks.dial(stage=ticks.another_replica())
        (attempt,) = await world.reserved_calls()
        assert await world.mark_sent(attempt) == "ok"
        await world.event("call_ringing", attempt)
        await the_agents_are(ticks, "offline", "offline", "offline", "offline")
        await move_clock(services.client, services.keys, 1)
        taken_back = await ticks.dial()
    assert taken_back.adaptive
    assert taken_back.adaptive["take_back"] == 1


async def test_a_tick_that_is_redelivered_to_an_idle_replica_has_the_result_of_its_claim(
    ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ticks.dial()
    await a_contact_comes(ticks)

    async def die(*_: Any, **__: Any) -> None:
        raise ConnectionError

    tick = f"{next(NUMBERS)}-0"
    with monkeypatch.context() as dying:
        dying.setattr(TickLedger, "save_result", die)
        with pytest.raises(ConnectionError):
            await ticks.dial(stage=ticks.another_replica(), tick=tick)
    assert (await ticks.dial(tick=tick)).dialed == 1


async def test_the_recheck_of_deferred_contacts_goes_on(
    ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling_hours, "RECHECK_BATCHES", 1)
    monkeypatch.setattr(calling_hours, "RECHECK_BATCH", 2)
    client, keys = ticks.services.client, ticks.services.keys
    await ticks.dial()
    now_ms = await _server_ms(ticks.services)
    later = [LoadRow(str(number), 5, 0, _call(number), due_ms=now_ms + 600_000) for number in range(1, 5)]
    await ticks.services.campaigns.load("1", later, 3)
    closed = Hours(zones={"A": ZoneOpening(opens_ms=now_ms + 9 * 3_600_000)}, contacts={"5": "A", "6": "A"})
    outside = [LoadRow(str(number), 5, 0, _call(number), shown="x") for number in (5, 6)]
    await ticks.services.campaigns.load("1", outside, 3, "", closed)
    await client.hset(keys.totals("1"), "hours_fingerprint", "of other hours")
    ticks.stage._dial_tick._idle.forget("1")
    for _ in range(8):  # two readings of six contacts, two a tick
        await ticks.dial()
    assert await client.hget(keys.totals("1"), "recheck") is None
    assert await client.zcard(keys.reserved("1")) == 2


async def test_public_hash_and_results_are_up_to_date_while_a_campaign_is_idle(ticks: Ticks) -> None:
    await ticks.dial()
    await ticks.services.client.hset("campaign:1", "updated_at", "2020-01-01T00:00:00Z")
    await the_agents_are(ticks, "available", "offline", "busy", "offline")
    result = await ticks.dial()
    assert ticks.scripts == IDLE
    assert (result.available_agents, result.active_calls) == (1, 0)
    public: Any = await ticks.services.client.hgetall("campaign:1")
    assert (public["available_agents"], public["busy_agents"]) == ("1", "3")
    assert public["updated_at"] > "2026"
    await ticks.services.client.delete("campaign:1")
    await ticks.dial()
    assert not await ticks.services.client.exists("campaign:1"), "a campaign that is gone stays gone"


@pytest.mark.parametrize("pauses", ["this replica", "another"])
async def test_a_campaign_that_was_paused_for_a_moment_is_not_said_to_wait_for_a_decision(
    ticks: Ticks, pauses: str
) -> None:
    client, keys = ticks.services.client, ticks.services.keys
    await ticks.dial()
    await the_campaign_is_paused(ticks)
    await ticks.dial(stage=ticks.another_replica() if pauses == "another" else None)  # it was in the stream
    await client.hset("campaign:1", "status", "active")
    await ticks.dial()
    (newest,) = await decisions(client, keys, "1", 1)
    assert dial_status("1", "active", newest, newest.at or 0).reason == "no_contacts"
    await ticks.dial()
    assert ticks.scripts == IDLE


async def test_a_campaign_that_another_replica_has_registered_as_closed_opens_again(
    ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    queues, other = ticks.services.queues, ticks.another_replica()
    await ticks.dial()
    await ticks.dial(stage=other)
    await other._dial_tick.reader.unregister("1")
    assert '"is_open":false' in await queues.pacing_of("sales", "1")
    now = monotonic()
    for late_s, opens in ((inputs.REGISTERED_S - 1, False), (inputs.REGISTERED_S + 1, True)):
        await a_contact_comes(ticks)
        with monkeypatch.context() as later:
            later.setattr("streamdialer.consumers.ttl_cache.monotonic", lambda late_s=late_s: now + late_s)
            await ticks.dial()
        assert ticks.scripts["register_campaign"] == opens
        assert ('"is_open":true' in await queues.pacing_of("sales", "1")) == opens


async def test_a_shadow_of_adaptive_pacing_decides_at_each_tick(settings: Settings, redis: Redis) -> None:
    world, shadow = build_world(agents=4, contacts=0), {"pacing_shadow": "adaptive"}
    async with open_centre(settings, world, refill_interval_s=60, **shadow) as (centre, services):
        await services.client.hset("campaign:1", "status", "active")
        ticks = Ticks(centre, services)
        with ticks.counting():
            for _ in range(2):
                await ticks.dial()
                assert ticks.scripts["save_tick_result"] == 1


async def test_it_decides_after_a_tick_that_failed(ticks: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    async def is_away(_: str) -> CampaignSettings:
        raise Unreachable("the backend is away")

    await ticks.dial()
    await it_must_be_rebuilt(ticks)
    with monkeypatch.context() as failing:
        failing.setattr(ticks.stage._dial_tick.campaigns, "settings_of", is_away)
        assert (await ticks.dial()).reason == "backend_unreachable"
    await ticks.services.client.hdel(ticks.services.keys.server, "rebuild_epoch")
    assert (await ticks.dial()).reason == "no_contacts"
    assert ticks.scripts["save_tick_result"] == 1, "the newest record is no error"


async def test_a_preview_campaign_without_contacts_is_idle_too(
    ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaigns_have(monkeypatch, dial_mode="preview")
    decided = await ticks.dial()
    repeated = await ticks.dial()
    assert ticks.scripts == IDLE
    assert (repeated.status, repeated.reason) == (decided.status, decided.reason) == ("ok", None)


async def test_a_tick_that_has_more_to_do_keeps_the_earlier_timer_of_adaptive_pacing(
    ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def is_more(*_: Any) -> bool:
        return True

    campaigns_have(monkeypatch, **ADAPTIVE)
    monkeypatch.setattr(dial_tick, "recheck_deferred", is_more)
    monkeypatch.setattr(dial_tick, "next_decision_s", lambda *_: dial_tick.MIN_RETRY_S / 2)
    await ticks.dial()
    await a_contact_comes(ticks)
    await ticks.services.client.hset(ticks.services.keys.totals("1"), "hours_fingerprint", "of other hours")
    decided = await ticks.dial()
    assert decided.adaptive
    timer = ticks.stage._dial_tick._wakeups._timers["1"]
    assert timer - anyio.current_time() <= dial_tick.MIN_RETRY_S / 2


def campaigns_have(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """The backend says these settings."""
    read = Backend.campaign

    async def changed(backend: Backend, name: str) -> CampaignSettings:
        return msgspec.structs.replace(await read(backend, name), **changes)

    monkeypatch.setattr(Backend, "campaign", changed)


async def the_agents_are(ticks: Ticks, *states: str) -> None:
    queues = ticks.services.queues
    poll = await queues.begin_agent_poll("sales")
    agents = [Agent(number, state) for number, state in enumerate(states, start=1)]
    await queues.replace_agents("sales", agents, poll.ledger_ms, is_whole=True)


def _call(number: int) -> str:
    phone = f"+57300123450{number}"
    return f'{{"id": {number}, "phone_number": "{phone}", "n": ["{phone}"]}}'


async def _server_ms(services: Services) -> int:
    seconds, micros = await services.client.time()
    return seconds * 1000 + micros // 1000
