"""Runs a tick in this process."""

from __future__ import annotations

import secrets

from streamdialer.broker.connection import ping
from streamdialer.broker.layout import require_usable
from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.services import open_services
from streamdialer.consumers.ticks import TicksStage
from streamdialer.model import Tick, TickKind, TickResult


async def run_inline(settings: Settings, kind: TickKind, campaign: str) -> TickResult:
    """Runs a tick in this process, past the stream; stores no result."""
    async with open_services(settings, patient=False) as services:
        await ping(services.client, settings.redis_url)
        await require_usable(services.client, services.keys)
        return await TicksStage(services, WakeupScheduler(services)).run(
            Tick(f"inline-{secrets.token_hex(8)}", kind, campaign)
        )
