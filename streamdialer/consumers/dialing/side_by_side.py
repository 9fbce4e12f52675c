"""Runs functions side by side without letting the failure of one stop the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import anyio

from streamdialer.broker.connection import NO_FAULT


async def run_side_by_side(functions: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Runs all to their end, then raises the first error as it is: a task group would wrap it in another."""
    errors: list[Exception] = []

    async def run(function: Callable[[], Awaitable[None]]) -> None:
        try:
            await function()
        except NO_FAULT as error:
            errors.append(error)

    async with anyio.create_task_group() as tasks:
        for function in functions:
            tasks.start_soon(run, function)
    if errors:
        raise errors[0]
