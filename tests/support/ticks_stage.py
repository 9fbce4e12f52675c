"""One stage of ticks over a simulated backend, without the rest of the dialer."""

from __future__ import annotations

from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.services import Services
from streamdialer.consumers.ticks import TicksStage
from streamdialer.model import Tick, TickResult
from streamdialer.simulation.servers.call_centre import CallCentre
from tests.support.ledger_fixture import LedgerWorld


class StageWithBackend:
    """A call centre, and one stage of ticks that reads its backend."""

    def __init__(self, centre: CallCentre, services: Services) -> None:
        self.centre = centre
        self.world = LedgerWorld(services)
        self._ticks = TicksStage(services, WakeupScheduler(services))
        self._count = 0

    async def dial(self) -> TickResult:
        self._count += 1
        return await self._ticks.run(Tick(f"{self._count}-0", "dial", "1"))

    async def refill(self) -> TickResult:
        """A dial tick of a replica that has not read the list yet."""
        services = self.world.services
        self._ticks = TicksStage(services, WakeupScheduler(services))
        return await self.dial()

    def remove(self, contact: int) -> None:
        self.centre.world.contacts_of(1).remove(self.centre.world.contacts.pop(contact))

    async def dialed(self) -> list[str]:
        return [attempt.contact for attempt in await self.world.reserved_calls()]
