"""Waiting for a condition instead of sleeping: looked at every 10 ms, after a long wait every 100 ms."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import anyio

SHORTEST_PAUSE_S: Final = 0.01
LONGEST_PAUSE_S: Final = 0.1


def next_pause_s(pause_s: float) -> float:
    return min(LONGEST_PAUSE_S, 1.05 * pause_s)


async def eventually(condition: Callable[[], Any], *, within_s: float = 30.0, what: str = "") -> Any:
    """Waits until the (async) condition gives something true, and returns it; fails after `within_s`."""
    seen, pause_s = None, SHORTEST_PAUSE_S
    with anyio.move_on_after(within_s):
        while True:
            seen = condition()
            if hasattr(seen, "__await__"):
                seen = await seen
            if seen:
                return seen
            await anyio.sleep(pause_s)
            pause_s = next_pause_s(pause_s)
    raise AssertionError(f"not within {within_s} s: {what or condition} (last seen: {seen!r})")


def wait_until(condition: Callable[[], Any], *, within_s: float = 30.0) -> Any:
    """`eventually` for tests without an event loop."""
    deadline, pause_s = time.monotonic() + within_s, SHORTEST_PAUSE_S
    while not (seen := condition()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {condition}"
        time.sleep(pause_s)
        pause_s = next_pause_s(pause_s)
    return seen
