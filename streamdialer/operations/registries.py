"""Whether registries of numbers that must not be called have to be asked again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.connection import server_ms
from streamdialer.broker.keys import Keys
from streamdialer.ledger.suppression import registry_queries
from streamdialer.operations.finding import Finding
from streamdialer.operations.registry_ages import SOON_MS
from streamdialer.rules.rule_pack import load_pack, registry_packs
from streamdialer.rules.zone_clock import DAY_MS


async def check_registries(client: Redis, keys: Keys, active: Sequence[str]) -> AsyncIterator[Finding]:
    """A finding for each registry that was ever asked; a warning a few days before rule packs stop the dialing.

    Also a warning for each registry that the rules of an active campaign name and that was never asked.
    """
    now_ms, packs = await server_ms(client), registry_packs()
    queries = await registry_queries(client, keys)
    needed = await _registries_of(client, keys, active)
    for name in sorted(needed.keys() - {query.registry for query in queries}):
        yield Finding(
            f"registry {name}",
            "warn",
            f"no query is recorded, and the rules of campaign {', '.join(needed[name])} name it",
            f"streamdialer dnc import FILE --source {name} --asked DATE; later, dialing stops when it is too old",
        )
    for query in queries:
        limits = {
            pack: registry.max_age_days * DAY_MS
            for pack in packs.get(query.registry, [])
            for registry in load_pack(pack).registries
            if registry.name == query.registry
        }
        age_ms = max(0, now_ms - query.asked_s * 1000)
        late = [pack for pack, limit_ms in limits.items() if age_ms + SOON_MS >= limit_ms]
        text = f"asked {age_ms // DAY_MS} days ago, {query.numbers} numbers"
        check = f"registry {query.registry}"
        if not late:
            yield Finding(check, "ok", text)
            continue
        days = max(0, min(limits[pack] for pack in late) - age_ms) // DAY_MS
        yield Finding(
            check,
            "warn",
            f"{text}: {', '.join(late)} stop the dialing {f'in {days} days' if days else 'now or within a day'}",
            f"ask it, and streamdialer dnc import FILE --source {query.registry} --asked DATE",
        )


async def _registries_of(client: Redis, keys: Keys, campaigns: Sequence[str]) -> dict[str, list[str]]:
    """Registry -> campaigns whose rules name it, as their last tick saved them."""
    found: dict[str, list[str]] = {}
    for campaign in campaigns:
        saved: Any = client.hget(keys.totals(campaign), "caps")
        if raw := await saved:
            for registry in msgspec.json.decode(raw).get("registries", []):
                found.setdefault(registry["name"], []).append(campaign)
    return found
