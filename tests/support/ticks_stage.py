"""One stage of ticks over a simulated backend, without the rest of the dialer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, Final

import pytest

from streamdialer.broker.scripts import Scripts
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.services import Services
from streamdialer.consumers.ticks import TicksStage
from streamdialer.model import Tick, TickKind, TickResult
from streamdialer.simulation.servers.call_centre import CallCentre
from tests.support.ledger_fixture import LedgerWorld

NUMBERS: Final = count(1)
"""Of ticks: several stages may work on one ledger."""


class StageWithBackend:
    """A call centre, and one stage of ticks that reads its backend."""

    def __init__(self, centre: CallCentre, services: Services) -> None:
        self.centre = centre
        self.world = LedgerWorld(services)
        self._ticks = TicksStage(services, WakeupScheduler(services))

    async def dial(self) -> TickResult:
        return await self.run("dial")

    async def run(self, kind: TickKind) -> TickResult:
        return await self._ticks.run(Tick(f"{next(NUMBERS)}-0", kind, "1"))

    async def refill(self) -> TickResult:
        """A dial tick of a replica that has not read the list yet."""
        services = self.world.services
        self._ticks = TicksStage(services, WakeupScheduler(services))
        return await self.dial()

    def remove(self, contact: int) -> None:
        self.centre.world.contacts_of(1).remove(self.centre.world.contacts.pop(contact))

    async def dialed(self) -> list[str]:
        return [attempt.contact for attempt in await self.world.reserved_calls()]


class CountedTicks:
    """One stage of ticks, and how often its last tick ran each script."""

    def __init__(self, centre: CallCentre, services: Services) -> None:
        self.centre = centre
        self.services = services
        self.scripts: Counter[str] = Counter()
        self.stage = TicksStage(services, WakeupScheduler(services))

    @contextmanager
    def counting(self) -> Iterator[None]:
        run = Scripts.run

        async def count_and_run(scripts: Scripts, script: Any, *args: Any) -> Any:
            self.scripts[script.name] += 1
            return await run(scripts, script, *args)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Scripts, "run", count_and_run)
            yield

    async def dial(self, campaign: str = "1") -> TickResult:
        self.scripts.clear()
        return await self.stage.run(Tick(f"{next(NUMBERS)}-0", "dial", campaign))
