"""Adaptive decisions of a queue are made one after the other in a replica."""

from __future__ import annotations

import anyio

from streamdialer.consumers.dialing.decision_lock import DecisionLock


async def test_decisions_of_a_queue_are_made_one_at_a_time_and_a_campaign_queues_once() -> None:
    lock, decided, duplicates = DecisionLock(60), list[str](), list[str]()
    deciding, is_deciding, may_go_on = 0, anyio.Event(), anyio.Event()

    async def decide(queue: str, campaign: str) -> None:
        nonlocal deciding
        async with lock.acquire(queue, campaign) as acquired:
            if acquired == "duplicate":
                duplicates.append(campaign)
                return
            decided.append(campaign)
            if queue == "sales":
                deciding += 1
                assert deciding == 1
                is_deciding.set()
                await may_go_on.wait()
                deciding -= 1

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(decide, "sales", "1")
            await is_deciding.wait()
            for campaign in ("2", "3", "2", "3", "1", "1"):
                tasks.start_soon(decide, "sales", campaign)
            await decide("support", "4")
            assert decided == ["1", "4"], "other queues do not wait"
            may_go_on.set()
    assert decided == ["1", "4", "2", "3", "1"]
    assert sorted(duplicates) == ["1", "2", "3"]


async def test_a_wait_that_is_cancelled_leaves_the_lock_to_others() -> None:
    lock = DecisionLock(60)

    async def wait_in_vain() -> None:
        with anyio.move_on_after(0.01):
            async with lock.acquire("sales", "2"):
                raise AssertionError("the lock is held")

    async with lock.acquire("sales", "1"), anyio.create_task_group() as tasks:
        tasks.start_soon(wait_in_vain)
    for campaign in ("1", "2"):
        async with lock.acquire("sales", campaign) as acquired:
            assert acquired == "acquired"
