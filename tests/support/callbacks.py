"""Callbacks in the ledger: schedule one, let it fall due, and see what the backend gets."""

from __future__ import annotations

from typing import Any

import msgspec

from streamdialer.ledger.callbacks import CallbackStatus
from streamdialer.ledger.types import LoadRow
from tests.support.ledger_fixture import LedgerWorld

HOUR_S = 3600
AGENT_WINDOW_S = 900
"""How long a callback waits for its agent; afterwards any agent may take it."""


async def ask(
    world: LedgerWorld,
    contact: str,
    in_s: float,
    *,
    campaign: str = "1",
    agent: str = "",
    number: str = "",
    entry: str = "",
    row: LoadRow | None = None,
) -> CallbackStatus:
    """Schedules a callback that many seconds from now, server time."""
    seconds, _ = await world.client.time()
    at_ms = round((seconds + in_s) * 1000)
    entry = entry or await world.write_entry()
    return await world.services.callbacks.schedule(
        campaign, contact, at_ms, entry=entry, agent=agent, phone_number=number, compared=number, row=row
    )


async def pass_by(world: LedgerWorld, contact: str) -> None:
    """The contact's callback falls due."""
    records = world.keys.records("1")
    record = await world.record(contact)
    record["cb"]["at"] -= 100 * HOUR_S * 1000
    record["cb"]["gr"] -= 100 * HOUR_S * 1000
    await world.client.hset(records, contact, msgspec.json.encode(record))
    await world.client.zadd(world.keys.deferred("1"), {contact: 1})
    await world.sweep()


async def end_agent_window(world: LedgerWorld, contact: str) -> None:
    """The time that a callback waits for its agent is over."""
    record = await world.record(contact)
    record["cb"]["gr"] -= AGENT_WINDOW_S * 1000
    await world.client.hset(world.keys.records("1"), contact, msgspec.json.encode(record))
    await world.client.zincrby(world.keys.ready("1"), -AGENT_WINDOW_S * 1000, contact)


async def newest_call(world: LedgerWorld) -> dict[str, str]:
    entries: Any = await world.client.xrevrange("dialer:calls", count=1)
    return dict(entries[0][1])


async def ask_many(world: LedgerWorld, numbers: range, *, agent: str) -> None:
    """Due callbacks, the first in `numbers` due first."""
    for place, number in enumerate(numbers):
        assert await ask(world, str(number), place / 1000 - 60, agent=agent) == "applied"
    await world.sweep()
