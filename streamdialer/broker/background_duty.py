"""Work that runs beside the stages of a process: one way to start it, to stop it, and to go on after an error."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

import anyio

from streamdialer.broker.connection import NO_FAULT
from streamdialer.broker.scripts import backoff_s

log = logging.getLogger(__name__)


class BackgroundDuty:
    """A loop of turns, which runs in a `running` block and ends with it.

    An error never ends the process, and never the duty: without its sweeper, a replica would look healthy but not work.
    The log says once that a duty fails and once that it works again.
    """

    name: ClassVar[str]

    async def turn(self) -> float:
        """Does the work once; returns the seconds until the next turn."""
        raise NotImplementedError

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Holds what the turns need. After an error it is closed, and opened again for the next turn."""
        yield

    async def run(self) -> None:
        """Takes turns until it is cancelled."""
        failures, was_fault = 0, False
        while True:
            try:
                async with self.opened():
                    while True:
                        pause_s = await self.turn()
                        if failures:
                            log.warning(
                                "background duty works again", extra={"duty": self.name, "tries": failures}
                            )
                        failures = 0
                        await anyio.sleep(pause_s)
            except Exception as error:
                is_fault = not isinstance(error, NO_FAULT)
                if not failures or is_fault != was_fault:
                    log.error(
                        "background duty failed, trying again until it works",
                        extra={"duty": self.name, "error": str(error)},
                        exc_info=error if is_fault else None,
                    )
                was_fault = is_fault
            await anyio.sleep(backoff_s(failures))
            failures += 1


@asynccontextmanager
async def running(*duties: BackgroundDuty) -> AsyncIterator[None]:
    """Runs the duties beside the block. When the block ends, it stops them and waits until they have closed."""
    async with anyio.create_task_group() as tasks:
        for duty in duties:
            tasks.start_soon(duty.run, name=duty.name)
        try:
            yield
        finally:
            tasks.cancel_scope.cancel()
