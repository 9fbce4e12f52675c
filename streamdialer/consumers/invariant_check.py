"""Checks one campaign after the other whether the ledger's invariants hold, and logs each that does not."""

from __future__ import annotations

import logging
import random
from typing import Final

from streamdialer.broker.background_duty import BackgroundDuty
from streamdialer.consumers.services import Services
from streamdialer.ledger.invariants import check_campaign
from streamdialer.observability.metrics import INVARIANTS_BROKEN, INVARIANTS_CHECKED

log = logging.getLogger(__name__)
INTERVAL_S: Final = 0.5
"""Between two campaigns: a replica runs two short scripts a second, however many campaigns there are."""


class InvariantCheck(BackgroundDuty):
    """Every replica that takes ticks checks, each in its own random order. It repairs nothing: a person has to look."""

    name = "invariant check"

    def __init__(self, services: Services) -> None:
        self._services = services
        self._campaigns: list[str] = []
        """Campaigns still to be checked in this round."""

    async def turn(self) -> float:
        if not self._campaigns:
            self._campaigns = await self._services.queues.known_campaigns()
            random.shuffle(self._campaigns)
        if self._campaigns:
            await self._check(self._campaigns.pop())
        return INTERVAL_S

    async def _check(self, campaign: str) -> None:
        report = await check_campaign(self._services.scripts, self._services.keys, campaign)
        for name, times in report.checked.items():
            INVARIANTS_CHECKED.labels(name).inc(times)
        for violation in report.broken:
            INVARIANTS_BROKEN.labels(violation.invariant).inc()
            log.error(
                "an invariant of the ledger is broken: this is a bug, or someone changed our keys",
                extra={
                    "campaign": campaign,
                    "contact": violation.contact or None,
                    "reason": violation.invariant,
                    "detail": violation.detail,
                },
            )
