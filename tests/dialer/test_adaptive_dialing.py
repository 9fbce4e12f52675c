"""Adaptive pacing in production: what the ledger tells it, what it has learnt, and that it dials by it."""

from __future__ import annotations

from typing import Any

import anyio
import msgspec
import pytest
from redis.asyncio import Redis

from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.adaptive import adapt
from streamdialer.consumers.dialing.queue_pacing import campaign_pacing
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.ticks import TicksStage
from streamdialer.ledger.queues import QueueState
from streamdialer.ledger.types import ledger_limits
from streamdialer.model import Agent, CampaignSettings, Tick, TickResult
from streamdialer.pacing.learning import QueueLearning
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.config import WorldConfig
from tests.support.dialer import Dialer, open_centre, run_dialer
from tests.support.eventually import eventually
from tests.support.ledger_fixture import LedgerWorld
from tests.support.ledger_reader import move_clock

pytestmark = pytest.mark.usefixtures("redis")
DEADLINE_MS = 45_000


async def state_of(world: LedgerWorld, *campaigns: str) -> QueueState:
    state = await world.services.queues.snapshot("sales", campaigns, windows_h={}, deadline_ms=DEADLINE_MS)
    assert state is not None
    return state


async def learn_from_now_on(world: LedgerWorld) -> None:
    assert await world.services.queues.save_learning("sales", await state_of(world, "1"), b"{}")


async def agent(world: LedgerWorld, name: str, state: Any) -> str:
    return await world.agent_event(name, state)


# ---- its inputs ----


async def test_ringing_calls_have_their_age_and_reserved_ones_are_new(world: LedgerWorld) -> None:
    await world.open_campaign(agents=5)
    await world.place_one()
    await move_clock(world.client, world.keys, 1)
    await world.claim(level=2)
    state = await state_of(world, "1")
    ages = sorted(state.ledger_ms - at for at in state.campaigns[0].ringing)
    assert ages[0] == 0
    assert 990 <= ages[1] < 5_000  # the two moments are rounded, each by itself


async def test_every_outcome_is_observed_once_however_often_its_events_come(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=9, agents=9)
    await learn_from_now_on(world)
    answered, machine, busy, silent, late = [await world.place_one() for _ in range(5)]
    for _ in range(2):
        await world.event("call_answered", answered, answered_by="human")
        await world.event("call_answered", machine, answered_by="machine")
        await world.event("call_failed", busy, disposition="busy")
        await world.event("call_failed", silent, disposition="no_answer")
        await world.event("call_ringing", late)
        await world.event("call_abandoned", late)
        await world.event("call_completed", answered)
    state = await state_of(world, "1")
    assert [what for what, _, _, _ in state.observations] == [
        "human",
        "machine",
        "busy",
        "no_answer",
        "human",
        "abandoned",
    ]
    assert {campaign for _, _, _, campaign in state.observations} == {"1"}
    assert (state.campaigns[0].answered_by_person, state.campaigns[0].abandoned) == (2, 1)


async def test_nothing_is_kept_for_learning_where_no_campaign_is_adaptive(world: LedgerWorld) -> None:
    await world.open_campaign(agents=5)
    await world.event("call_answered", await world.place_one())
    assert not await world.client.exists(world.keys.queue_observations("sales"))


async def test_a_machine_that_was_taken_for_a_person_leaves_the_abandon_rate(world: LedgerWorld) -> None:
    await world.open_campaign(agents=5)
    attempt = await world.place_one()
    await world.event("call_answered", attempt)
    assert (await state_of(world, "1")).campaigns[0].answered_by_person == 1
    await world.event("call_answered", attempt, answered_by="machine")
    assert (await state_of(world, "1")).campaigns[0].answered_by_person == 0


async def test_calls_before_the_window_do_not_count_in_the_abandon_rate(world: LedgerWorld) -> None:
    await world.open_campaign(agents=5)
    await world.event("call_abandoned", await world.place_one())
    totals = world.keys.totals("1")
    fields: Any = await world.client.hgetall(totals)
    moved = {name: int(value) for name, value in fields.items() if name[0] in "pb" and name[1:].isdigit()}
    assert len(moved) == 2
    for name, value in moved.items():
        hour, count = divmod(value, 1_000_000)
        field = f"{name[0]}{(hour - 24) % 744}"
        await world.client.hdel(totals, name)
        await world.client.hset(totals, field, str((hour - 24) * 1_000_000 + count))
    campaign = (await state_of(world, "1")).campaigns[0]
    assert (campaign.answered_by_person, campaign.abandoned) == (0, 0)
    state = await world.services.queues.snapshot(
        "sales", ["1"], windows_h={"1": 720}, deadline_ms=DEADLINE_MS
    )
    assert state is not None
    assert (state.campaigns[0].answered_by_person, state.campaigns[0].abandoned) == (1, 1)


async def test_agents_work_is_observed_with_its_beginning_and_its_length_when_it_is_over(
    world: LedgerWorld,
) -> None:
    await world.open_campaign(agents=2)
    await learn_from_now_on(world)
    assert await agent(world, "1", "busy") == "applied"
    state = await state_of(world, "1")
    assert (len(state.talking), len(state.wrapping)) == (1, 0)
    await move_clock(world.client, world.keys, 1)
    await agent(world, "1", "wrapup")
    state = await state_of(world, "1")
    assert (len(state.talking), len(state.wrapping)) == (0, 1)
    assert await agent(world, "1", "available") == "freed"
    state = await state_of(world, "1")
    assert (state.talking, state.wrapping) == ([], [])
    (talk, wrapup) = state.observations
    assert (talk[0], wrapup[0]) == ("talk", "wrapup")
    assert 200 <= talk[2] < 5_000


async def test_the_backends_list_says_who_talks_and_who_is_away(world: LedgerWorld) -> None:
    await world.open_campaign()
    asked = await world.services.queues.begin_agent_poll("sales")
    rows = [Agent(1, "on-call"), Agent(2, "wrap_up"), Agent(3, "paused"), Agent(4, "idle")]
    await world.services.queues.replace_agents("sales", rows, asked.ledger_ms)
    state = await state_of(world, "1")
    assert (state.free, state.busy, len(state.talking), len(state.wrapping)) == (1, 3, 1, 1)


async def test_a_person_without_an_agent_waits_until_an_agent_talks_or_the_call_ends(
    world: LedgerWorld,
) -> None:
    await world.open_campaign(agents=3)
    first, second, third = [await world.place_one() for _ in range(3)]
    await world.set_agents(0, busy=3)
    for attempt in (first, second, third):
        await world.event("call_answered", attempt, answered_by="human")
    assert (await state_of(world, "1")).waiting == 3
    await agent(world, "1", "offline")
    await agent(world, "1", "busy")
    assert (await state_of(world, "1")).waiting == 2
    await world.event("call_abandoned", second)
    assert (await state_of(world, "1")).waiting == 1


async def test_of_two_replicas_that_learnt_from_the_same_state_one_is_kept(world: LedgerWorld) -> None:
    await world.open_campaign()
    state = await state_of(world, "1")
    assert await world.services.queues.save_learning("sales", state, b'{"a":1}')
    assert await world.services.queues.save_learning("sales", state, b'{"a":1}'), "the reply was lost"
    assert not await world.services.queues.save_learning("sales", state, b'{"a":2}')
    assert (await state_of(world, "1")).learning == '{"a":1}'


async def test_learning_of_another_version_begins_anew(world: LedgerWorld) -> None:
    await world.open_campaign(agents=3)
    assert await world.services.queues.save_learning("sales", await state_of(world, "1"), b'{"talk":[1,2]}')
    shared = campaign_pacing(
        CampaignSettings(queue_name="sales", dial_mode="predictive", pacing="adaptive"),
        ledger_limits(world.services.settings),
        is_open=True,
    )
    adapted = adapt(await state_of(world, "1"), "1", {"1": shared}, 1.0)
    assert adapted is not None
    assert adapted.decision.place == 3, "as many as are without risk"


async def test_decisions_of_a_campaign_keep_a_quarter_of_a_second_between_them(world: LedgerWorld) -> None:
    await world.open_campaign()
    shared = campaign_pacing(
        CampaignSettings(queue_name="sales", dial_mode="predictive", pacing="adaptive"),
        ledger_limits(world.services.settings),
        is_open=True,
    )
    state = await state_of(world, "1")
    first = adapt(state, "1", {"1": shared}, 1.0)
    assert first is not None
    assert await world.services.queues.save_learning("sales", state, first.learning)
    assert adapt(await state_of(world, "1"), "1", {"1": shared}, 1.0) is None
    await move_clock(world.client, world.keys, 1)
    assert adapt(await state_of(world, "1"), "1", {"1": shared}, 1.0) is not None


# ---- that it dials by it ----


async def decisions_of(dialer: Dialer) -> list[TickResult]:
    records: Any = await dialer.services.client.xrange(dialer.services.keys.decisions("1"))
    return [msgspec.json.decode(fields["record"], type=TickResult) for _, fields in records]


async def test_an_adaptive_campaign_learns_and_is_dialed_to_its_end(settings: Settings, redis: Redis) -> None:
    config = WorldConfig(talk_mean_s=60, wrap_up_mean_s=10)
    world = build_world(
        agents=12, contacts=250, mode="predictive", pacing="adaptive", speed=30, max_retries=1, config=config
    )
    async with run_dialer(settings, world, speed=30, replicas=2, pacing_time_scale=30.0) as dialer:
        audit = await dialer.until_all_are_final(within_s=90)
        assert (audit.double_dials, audit.dialed_after_final, audit.repeated_keys) == (0, 0, {})
        decisions = await decisions_of(dialer)
        adaptive = [one.adaptive for one in decisions if one.adaptive]
        assert adaptive
        assert {one["limit"] for one in adaptive} <= {"risk", "cap_reached", "trunk_channels", "contacts"}
        kept: Any = await redis.hget(dialer.services.keys.queue_learning("sales"), "learning")
        learning = msgspec.json.decode(kept, type=QueueLearning)
        assert 0.1 < learning.campaigns["1"].rate.p < 0.6
        assert audit.max_unanswered["sales"] > 12, "calls are placed for agents who still talk"
        assert len(kept) < 20_000


async def test_a_shadow_records_what_adaptive_pacing_would_place(settings: Settings) -> None:
    world = build_world(agents=6, contacts=60, mode="progressive", speed=60)
    async with run_dialer(settings, world, pacing_shadow="adaptive", pacing_time_scale=60.0) as dialer:
        audit = await dialer.until(lambda audit: audit.total.originates > 40, within_s=40)
        assert audit.max_unanswered["sales"] <= 6, "progressive is what dials"
        shadows = [one.shadow for one in await decisions_of(dialer) if one.shadow]
        assert shadows
        assert all(one.adaptive is None for one in await decisions_of(dialer))
        assert all(shadow["place"] >= 0 for shadow in shadows)


async def test_the_setting_makes_predictive_campaigns_without_a_pacing_adaptive(settings: Settings) -> None:
    world = build_world(agents=4, contacts=40, mode="predictive", speed=60)
    async with run_dialer(settings, world, pacing="adaptive", pacing_time_scale=60.0) as dialer:
        await dialer.until(lambda audit: audit.total.originates > 10, within_s=30)
        assert any(one.adaptive for one in await decisions_of(dialer))


async def test_a_campaign_without_contacts_sets_no_timer(settings: Settings, redis: Redis) -> None:
    world = build_world(agents=4, contacts=1, mode="predictive", pacing="adaptive", speed=60, max_retries=1)
    async with run_dialer(settings, world, pacing_time_scale=60.0) as dialer:
        await dialer.until_all_are_final()
        version = await redis.hget(dialer.services.keys.queue_learning("sales"), "version")

        async def finds_no_contact() -> bool:
            return (await dialer.tick()).reason == "no_contacts"

        await eventually(finds_no_contact)
        await anyio.sleep(0.5)
        assert await redis.hget(dialer.services.keys.queue_learning("sales"), "version") == version


async def test_campaigns_of_one_queue_that_tick_at_once_all_decide(settings: Settings) -> None:
    world = build_world(agents=40, contacts=400, campaigns=4, mode="predictive", pacing="adaptive")
    async with open_centre(settings, world) as (_, services):
        stage, results = TicksStage(services, WakeupScheduler(services)), list[TickResult]()
        for number in range(1, 5):
            await services.client.hset(f"campaign:{number}", "status", "active")

        async def dial(campaign: str, tick: int) -> None:
            results.append(await stage.run(Tick(f"{tick}-{campaign}", "dial", campaign)))

        for round_ in range(3):
            async with anyio.create_task_group() as tasks:
                for number in range(1, 5):
                    tasks.start_soon(dial, str(number), round_)
            await move_clock(services.client, services.keys, 1)
    assert [result.reason for result in results if result.reason == "throttled"] == []
    assert sum(result.adaptive is not None for result in results) >= 8, [r.reason for r in results]
