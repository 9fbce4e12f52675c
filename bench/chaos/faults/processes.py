"""Replicas and tick producers killed, terminated, or stopped until others have taken over their work."""

from __future__ import annotations

from random import Random
from typing import Final

import anyio

from bench.chaos.environment import Environment
from bench.chaos.options import CLAIM_MIN_IDLE_S
from bench.chaos.processes import Role

OPEN_CALLS: Final = 5
OPEN_CALLS_TIMEOUT_S: Final = 4.0


async def kill(environment: Environment, random: Random, role: Role) -> str:
    """SIGKILL during work: entries stay pending, requests are cut."""
    await _wait_for_open_calls(environment)
    return environment.pool.replace_killed(role, random)


async def terminate(environment: Environment, random: Random, role: Role) -> str:
    """SIGTERM: the process finishes its work or hands it back."""
    return await environment.pool.replace_terminated(role, random)


async def stop(environment: Environment, random: Random, role: Role) -> str:
    """SIGSTOP until others have taken over its work, then SIGCONT."""
    await _wait_for_open_calls(environment)
    return await environment.pool.stop_and_continue(role, CLAIM_MIN_IDLE_S * random.uniform(1.5, 3.5), random)


async def _wait_for_open_calls(environment: Environment) -> None:
    """Waits until some originate requests are open, but not for ever: another fault may prevent it."""
    with anyio.move_on_after(OPEN_CALLS_TIMEOUT_S):
        while environment.centre.summary().unanswered < OPEN_CALLS:  # noqa: ASYNC110 - there is no event for it
            await anyio.sleep(0.02)
