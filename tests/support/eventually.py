"""Waiting for a condition instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import anyio


async def eventually(condition: Callable[[], Any], *, within_s: float = 30.0, what: str = "") -> Any:
    """Waits until the (async) condition gives something true, and returns it; fails after `within_s`."""
    seen: Any = None
    with anyio.move_on_after(within_s):
        while True:
            seen = condition()
            if hasattr(seen, "__await__"):
                seen = await seen
            if seen:
                return seen
            await anyio.sleep(0.01)
    raise AssertionError(f"not within {within_s} s: {what or condition} (last seen: {seen!r})")


def wait_until(condition: Callable[[], Any], *, within_s: float = 30.0) -> Any:
    """`eventually` for tests without an event loop."""
    deadline = time.monotonic() + within_s
    while not (seen := condition()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {condition}"
        time.sleep(0.01)
    return seen
