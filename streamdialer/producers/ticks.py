"""The tick producer: one tick per active campaign and kind, when its time slot has come.

Any number of producers may run: the script that adds a tick remembers the slot.
"""

from __future__ import annotations

import logging
from typing import Final

from streamdialer.broker.background_duty import BackgroundDuty, running
from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Scripts
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.config.settings import Settings
from streamdialer.ledger.queues import QueueLedger
from streamdialer.ledger.ticks import TickLedger
from streamdialer.model import TickKind
from streamdialer.producers.active_campaigns import ActiveCampaigns, CampaignScan, StartMessages

log = logging.getLogger(__name__)
MAX_PAUSE_S: Final = 0.5


class DueTicks(BackgroundDuty):
    name = "due ticks"

    def __init__(
        self, campaigns: ActiveCampaigns, ticks: TickLedger, queues: QueueLedger, settings: Settings
    ) -> None:
        self._campaigns = campaigns
        self._ticks = ticks
        self._queues = queues
        self._cleanup_after_s = settings.cleanup_after_s
        self._intervals_s: dict[TickKind, float] = {
            "dial": settings.dial_interval_s,
            "retry": settings.retry_interval_s,
            "stats": settings.stats_interval_s,
        }

    async def turn(self) -> float:
        await self.add()
        return min(MAX_PAUSE_S, self._intervals_s["dial"] / 4)

    async def add(self) -> int:
        """How many ticks were added."""
        added = 0
        active = self._campaigns.ids()
        for kind, interval_s in self._intervals_s.items():
            added += len(await self._ticks.enqueue(kind, active, interval_s))
        known = await self._queues.known_campaigns()
        ended = [campaign for campaign in known if campaign not in self._campaigns]
        return added + len(await self._ticks.enqueue("cleanup", ended, self._cleanup_after_s))


class TickProducer:
    def __init__(self, scripts: Scripts, keys: Keys, settings: Settings, shutdown: ShutdownSignal) -> None:
        ticks = TickLedger(scripts, keys)
        self._shutdown = shutdown
        self._campaigns = ActiveCampaigns(scripts.client, keys)
        self._due = DueTicks(self._campaigns, ticks, QueueLedger(scripts, keys), settings)
        self._duties = (
            StartMessages(scripts.client, keys, self._campaigns, ticks),
            CampaignScan(self._campaigns, settings.scan_keys_per_s, settings.dial_interval_s),
            self._due,
        )

    async def once(self) -> int:
        """Finds the active campaigns and adds every tick that is due; returns how many."""
        await self._campaigns.scan()
        return await self._due.add()

    async def serve(self) -> None:
        log.info("tick producer started")
        async with running(*self._duties):
            await self._shutdown.wait_stopping()
        log.info("tick producer stopped")
