"""The auditor: looks at one campaign after the other whether the ledger's invariants hold, and says which does not."""

from __future__ import annotations

import logging
import random
from typing import Final

import anyio

from streamdialer.consumers.services import Services
from streamdialer.ledger.invariants import check_campaign
from streamdialer.observability.metrics import INVARIANTS_BROKEN, INVARIANTS_CHECKED

log = logging.getLogger(__name__)
INTERVAL_S: Final = 0.5
"""Between two campaigns: however many there are, a replica asks for two short scripts a second."""


class InvariantCheck:
    """Every replica that takes ticks audits, each in an order of its own. It mends nothing: a fault is for people."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def serve(self) -> None:
        """Runs until cancelled."""
        while True:
            campaigns = await self._services.queues.known_campaigns()
            random.shuffle(campaigns)
            for campaign in campaigns:
                await self._look(campaign)
                await anyio.sleep(INTERVAL_S)
            if not campaigns:
                await anyio.sleep(INTERVAL_S)

    async def _look(self, campaign: str) -> None:
        look = await check_campaign(self._services.scripts, self._services.keys, campaign)
        for name, times in look.checked.items():
            INVARIANTS_CHECKED.labels(name).inc(times)
        for one in look.broken:
            INVARIANTS_BROKEN.labels(one.invariant).inc()
            log.error(
                "invariant is broken",
                extra={
                    "campaign": campaign,
                    "contact": one.contact or None,
                    "reason": one.invariant,
                    "detail": one.detail,
                },
            )
