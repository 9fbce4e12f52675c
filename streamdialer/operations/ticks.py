"""Runs a tick in this process, and reads the stored result of a tick."""

from __future__ import annotations

import secrets

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.connection import ping
from streamdialer.broker.keys import Keys
from streamdialer.config.settings import Settings
from streamdialer.consumers.services import open_services
from streamdialer.consumers.ticks import TicksStage
from streamdialer.consumers.wakeups import WakeupScheduler
from streamdialer.errors import CannotBeDone, SettingsError
from streamdialer.model import TICK_KINDS, Tick, TickKind, TickResult


def read_kind(raw: str) -> TickKind:
    """Raises SettingsError for an unknown kind of tick."""
    for kind in TICK_KINDS:
        if raw == kind:
            return kind
    raise SettingsError(f"tick kind: got {raw!r}, takes {', '.join(TICK_KINDS)}")


async def run_inline(settings: Settings, kind: TickKind, campaign: str) -> TickResult:
    """Runs a tick in this process, past the stream; stores no result."""
    async with open_services(settings, patient=False) as services:
        await ping(services.client, settings.redis_url)
        return await TicksStage(services, WakeupScheduler(services)).run(
            Tick(f"inline-{secrets.token_hex(8)}", kind, campaign)
        )


async def stored_result(client: Redis, keys: Keys, tick_id: str) -> TickResult:
    """Raises CannotBeDone when the tick has not run yet, or its result has expired."""
    raw = await client.get(keys.tick(tick_id))
    if raw is None:
        raise CannotBeDone(
            f"there is no result of tick {tick_id}: it has not run yet, or its result has expired"
        )
    return msgspec.json.decode(raw, type=TickResult)
