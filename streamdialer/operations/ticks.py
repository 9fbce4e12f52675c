"""The kinds of ticks, and the stored result of a tick."""

from __future__ import annotations

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.errors import CannotBeDone, SettingsError
from streamdialer.model import TICK_KINDS, TickKind, TickResult


def read_kind(raw: str) -> TickKind:
    """Raises SettingsError for an unknown kind of tick."""
    for kind in TICK_KINDS:
        if raw == kind:
            return kind
    raise SettingsError(f"tick kind: got {raw!r}, takes {', '.join(TICK_KINDS)}")


async def stored_result(client: Redis, keys: Keys, tick_id: str) -> TickResult:
    """Raises CannotBeDone when the tick has not run yet, or its result has expired."""
    raw = await client.get(keys.tick(tick_id))
    if raw is None:
        raise CannotBeDone(
            f"there is no result of tick {tick_id}: it has not run yet, or its result has expired"
        )
    return msgspec.json.decode(raw, type=TickResult)
