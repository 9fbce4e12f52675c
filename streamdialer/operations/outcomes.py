"""Reads how calls ended from the stream `dialer:outcomes`, oldest first, and follows it."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from streamdialer.broker.connection import TRANSIENT, may_pass
from streamdialer.broker.keys import Keys
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.errors import SettingsError

log = logging.getLogger(__name__)
PAGE: Final = 500
PAUSE_S: Final = 1.0
BLOCK_MS: Final = 500
_AGE: Final = re.compile(r"([0-9]{1,9})([smhd])")
_UNIT_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def read_since(text: str, now_ms: int, option: str = "--since") -> int:
    """An instant in Unix ms that an option names: an age such as `15m`, or ISO 8601 (UTC unless it has an offset).

    Raises SettingsError.
    """
    if age := _AGE.fullmatch(text.strip()):
        return max(0, now_ms - int(age[1]) * _UNIT_MS[age[2]])
    try:
        instant = datetime.fromisoformat(text.strip())
        return max(0, round((instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp() * 1000))
    except (ValueError, OverflowError):
        takes = "ISO 8601 such as 2026-05-04T09:00:00Z, or an age such as 30s, 15m, 2h or 1d"
        raise SettingsError(f"{option}: got {text!r}, takes {takes}") from None


async def outcomes(
    client: Redis,
    keys: Keys,
    *,
    since_ms: int | None = None,
    campaign: str = "",
    follow: ShutdownSignal | None = None,
) -> AsyncIterator[dict[str, Any]]:
    """Each outcome that was written since then, and with `follow` new ones until it is stopped.

    With `follow`, a server that goes away is waited for.
    Without `since_ms`: all that the stream holds, or with `follow` only new ones. `campaign` '' is all campaigns.
    """
    after = f"{since_ms - 1}-{2**64 - 1}" if since_ms else "0-0"
    if follow and since_ms is None:
        newest: Any = await client.xrevrange(keys.outcomes, count=1)
        after = newest[0][0] if newest else "0-0"
    is_away = False
    while True:
        try:
            reply: Any = await client.xread(
                {keys.outcomes: after}, count=PAGE, block=BLOCK_MS if follow else None
            )
        except (RedisError, *TRANSIENT) as error:
            if follow is None or not may_pass(error):
                raise
            if not is_away:
                log.warning("Redis is away: outcomes follow when it is back", extra={"error": str(error)})
            is_away, reply = True, None
            await follow.sleep(PAUSE_S)
        else:
            is_away = False
        entries: list[tuple[str, dict[str, str]]] = reply[0][1] if reply else []
        for _, fields in entries:
            outcome = _read(fields)
            if outcome is not None and campaign in ("", str(outcome.get("campaign_id"))):
                yield outcome
        if follow.stopping if follow else not entries:
            return
        after = entries[-1][0] if entries else after


def _read(fields: dict[str, str]) -> dict[str, Any] | None:
    """None for an entry that is no outcome: another program has written it."""
    try:
        data = msgspec.json.decode(fields.get("data", ""))
    except (msgspec.DecodeError, UnicodeError):
        return None
    return data if fields.get("type") == "attempt_ended" and isinstance(data, dict) else None
