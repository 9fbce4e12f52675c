"""Replicas and tick producers killed, asked to end, and stopped until others have taken their work over."""

from __future__ import annotations

from random import Random
from typing import Final

import anyio

from bench.chaos.environment import Environment
from bench.chaos.options import CLAIM_MIN_IDLE_S
from bench.chaos.processes import Role

OPEN_CALLS: Final = 5
BUSY_WITHIN_S: Final = 4.0


async def killed(scene: Environment, random: Random, role: Role) -> str:
    """SIGKILL in the middle of work: its entries stay pending, its requests are cut."""
    await _work_in_hand(scene)
    return scene.crew.replace_killed(role, random)


async def terminated(scene: Environment, random: Random, role: Role) -> str:
    """SIGTERM: it finishes or hands back."""
    return await scene.crew.replace_terminated(role, random)


async def stopped(scene: Environment, random: Random, role: Role) -> str:
    """SIGSTOP until others have its work, then SIGCONT."""
    await _work_in_hand(scene)
    return await scene.crew.stop_and_continue(role, CLAIM_MIN_IDLE_S * random.uniform(1.5, 3.5), random)


async def _work_in_hand(scene: Environment) -> None:
    """Waits for some originate requests to be open; not for ever, for another fault may forbid it."""
    with anyio.move_on_after(BUSY_WITHIN_S):
        while scene.centre.summary().unanswered < OPEN_CALLS:  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.02)
