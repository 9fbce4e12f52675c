"""Callbacks and events that wait do not hold up other contacts."""

from __future__ import annotations

import pytest

from streamdialer.consumers.dialing.queue_pacing import CampaignPacing, snapshot_of
from streamdialer.pacing.decide import decide
from tests.support.callbacks import ask, ask_many, end_agent_window
from tests.support.ledger_fixture import LedgerWorld

# ---- agents ----


async def shares(world: LedgerWorld) -> list[int]:
    """Free agents that campaigns 1 and 2 are given, both progressive."""
    state = await world.services.queues.snapshot("sales", ["1", "2"])
    assert state is not None
    shared = CampaignPacing(
        mode="progressive",
        ratio=1,
        weight=1,
        max_concurrent=50,
        is_open=True,
        is_adaptive=False,
        cap=0.03,
        window_h=24,
    )
    snapshot = snapshot_of(state, {"1": shared, "2": shared})
    return [decide(snapshot, campaign).share for campaign in ("1", "2")]


async def test_callbacks_for_absent_agents_take_no_agent_from_other_campaigns(world: LedgerWorld) -> None:
    for campaign in ("2", "1"):
        await world.open_campaign(campaign, contacts=4)
    await world.set_agents(2)
    await ask_many(world, range(1, 5), agent="9")
    assert await shares(world) == [1, 1]
    assert (await world.claim(level=1, others={"2": 1.0})).skipped == {"agent_not_free": 4}
    assert await shares(world) == [0, 2]
    assert (await world.claim(level=0, others={"2": 1.0})).skipped == {"agent_not_free": 4}, "it is said"
    await world.agent_comes_free("9")
    assert await shares(world) == [1, 2], "one for the agent who has come"


async def test_callbacks_whose_grace_is_over_have_their_share_again(world: LedgerWorld) -> None:
    for campaign in ("2", "1"):
        await world.open_campaign(campaign, contacts=1)
    await world.set_agents(2)
    await ask(world, "1", -60, agent="9")
    await world.claim(level=1, others={"2": 1.0})
    assert await shares(world) == [0, 1]
    await end_agent_window(world, "1")
    assert await shares(world) == [1, 1]


# ---- events ----


@pytest.mark.parametrize("waiting", [1, 499])
async def test_callbacks_that_wait_for_the_backend_do_not_keep_silent_calls_from_their_end(
    world: LedgerWorld, waiting: int
) -> None:
    await world.open_campaign(contacts=2, agents=2)
    silent, other = await world.place_one(), await world.place_one()
    for _ in range(waiting):
        await world.client.xadd("dialer:events", {"type": "callback_requested", "data": "{}"})
    await world.event("call_ringing", other)
    await world.pass_deadlines(silent.contact)
    await world.client.zadd("sd:c:1:dialing", {other.contact: 9e15})
    assert (await world.sweep()).no_event == 1
    await world.check_invariants()


@pytest.mark.parametrize("waiting", [1, 600])
async def test_a_call_event_behind_callbacks_that_wait_is_unread(world: LedgerWorld, waiting: int) -> None:
    await world.open_campaign(contacts=2, agents=2)
    silent, other = await world.place_one(), await world.place_one()
    for _ in range(waiting):
        await world.client.xadd("dialer:events", {"data": "{}", "type": "callback_requested"})
    await world.client.xadd("dialer:events", {"type": "call_answered"})
    await world.event("call_ringing", other)
    await world.pass_deadlines(silent.contact)
    await world.client.zadd("sd:c:1:dialing", {other.contact: 9e15})
    assert (await world.sweep()).stalled == 1
