"""Whether a registry of numbers that must not be called will soon stop a campaign, or has stopped it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.rules.caps import RegistryRule
from streamdialer.rules.zone_clock import DAY_MS

SOON_MS: Final = 3 * DAY_MS
"""A warning comes this long before."""


class _Named(msgspec.Struct, frozen=True):
    registries: list[RegistryRule] = []


def registry_warnings(caps: str | None, server: Mapping[str, str], now_ms: int) -> list[str]:
    """A sentence for each. `caps` are the campaign's as its last tick saved them, `server` is the hash of that name.

    `now_ms` is the server's time. A registry that was never asked stops nothing.
    """
    warnings = []
    for rule in msgspec.json.decode(caps, type=_Named).registries if caps else []:
        asked = server.get(f"registry:{rule.name}")
        if asked is None:
            continue
        asked_ms = int(asked.split()[0])
        left_ms = asked_ms + rule.max_age_ms - now_ms
        if left_ms > SOON_MS:
            continue
        stops = "no call is placed" if left_ms <= 0 else f"in {_span(left_ms)} no call will be placed"
        warnings.append(
            f"the registry {rule.name} was last asked {_span(max(0, now_ms - asked_ms))} ago: {stops} until you ask it "
            f"again, and run `streamdialer dnc import FILE --source {rule.name} --asked DATE`"
        )
    return warnings


async def registry_warnings_of(client: Redis, keys: Keys, campaign: str, now_ms: int) -> list[str]:
    """The same, read from Redis."""
    pipe = client.pipeline(transaction=False)
    pipe.hget(keys.totals(campaign), "caps")
    pipe.hgetall(keys.server)
    caps, server = await pipe.execute()
    found: Any = registry_warnings(caps, server, now_ms)
    return [f"{sentence[0].upper()}{sentence[1:]}." for sentence in found]


def _span(ms: int) -> str:
    days, hours = ms // DAY_MS, ms // 3_600_000
    number, unit = (days, "day") if days else (hours, "hour")
    return f"{number} {unit}{'' if number == 1 else 's'}"
