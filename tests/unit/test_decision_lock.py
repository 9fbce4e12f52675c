"""Adaptive decisions of a queue take turns in a replica."""

from __future__ import annotations

import anyio
import pytest

from streamdialer.consumers.dialing.decision_lock import DecisionLock

pytestmark = pytest.mark.anyio


async def test_decisions_of_a_queue_take_turns_and_a_campaign_waits_once() -> None:
    turns, taken = DecisionLock(60), list[tuple[str, str, int]]()
    deciding = 0

    async def decide(queue: str, campaign: str) -> None:
        nonlocal deciding
        async with turns.turn(queue, campaign) as how:
            if how != "taken" and queue == "sales":
                deciding += 1
                taken.append((campaign, how, deciding))
                await anyio.sleep(0.02)
                deciding -= 1
            else:
                taken.append((campaign, how, 0))

    async with anyio.create_task_group() as tasks:
        for campaign in ("1", "2", "3", "2", "3", "1", "1"):
            tasks.start_soon(decide, "sales", campaign)
        tasks.start_soon(decide, "support", "4")
    in_turn = [one for one in taken if one[2]]
    assert in_turn == [("1", "at once", 1), ("2", "waited", 1), ("3", "waited", 1), ("1", "waited", 1)]
    assert sorted(one[0] for one in taken if one[1] == "taken") == ["1", "2", "3"]
    assert ("4", "at once", 0) in taken, "other queues do not wait"


async def test_a_wait_that_is_cancelled_leaves_the_turn_to_others() -> None:
    turns = DecisionLock(60)

    async def wait_in_vain() -> None:
        with anyio.move_on_after(0.01):
            async with turns.turn("sales", "2"):
                raise AssertionError("it is not its turn")

    async with turns.turn("sales", "1"), anyio.create_task_group() as tasks:
        tasks.start_soon(wait_in_vain)
    for campaign in ("1", "2"):
        async with turns.turn("sales", campaign) as how:
            assert how == "at once"
