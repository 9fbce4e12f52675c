"""A nationwide campaign with numbers of six states, on a server whose clock is set: only open states are called."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamdialer.broker.connection import connect, keys_for
from streamdialer.config.settings import Settings
from streamdialer.ledger.records import ContactRecord, decode_contact
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.simulation.embedded_redis import EmbeddedServer
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.config import WorldConfig
from tests.support.dialer import run_dialer
from tests.support.eventually import eventually
from tests.support.faketime import SettableClock

STATES = {"FL": "305", "TX": "214", "WA": "206", "CT": "203", "AL": "205", "NY": "212"}
NUMBERS = {f"+1{area}555010{at}": state for state, area in STATES.items() for at in range(2)}
CASES = [
    ("2026-11-25T14:15:00", {"FL", "CT", "NY", "AL"}),  # Wednesday; a quarter past eight in Alabama
    (
        "2026-11-27T01:30:00",
        {"TX", "WA", "NY"},
    ),  # Thanksgiving; half past eight in Florida; a holiday in Alabama
]


def is_done(record: ContactRecord) -> bool:
    """It was called, or waits for its hours."""
    if record.newest:
        return record.newest.state == "ended"
    return record.wait is not None and record.wait.reason == "window_closed"


@pytest.mark.parametrize(("instant", "is_open"), CASES, ids=[instant for instant, _ in CASES])
async def test_only_states_that_are_open_are_called(
    settings: Settings, tmp_path: Path, instant: str, is_open: set[str]
) -> None:
    clock, now = SettableClock(tmp_path), datetime.fromisoformat(instant).replace(tzinfo=UTC)
    clock.set_to(round((now - datetime.now(UTC)).total_seconds()))
    config = WorldConfig(human=0, machine=0, busy=1, failed=0)
    world = build_world(agents=12, contacts=len(NUMBERS), answer_rate=0, speed=60, config=config)
    world.campaigns[1].rule_pack = "us"
    for contact, number in zip(world.contacts.values(), NUMBERS, strict=True):
        contact.phone_number = number
    with EmbeddedServer(env=clock.environment) as server:
        here = msgspec.structs.replace(settings, redis_url=server.url)
        keys = keys_for(server.url)
        client = connect(server.url)
        await mark_server_trusted(client, keys)
        await client.hset(keys.server, "registry:dnc", f"{round(now.timestamp() * 1000)} 0 0")
        await client.aclose()
        async with run_dialer(here, world) as dialer:

            async def is_settled() -> bool:
                records: Any = await dialer.services.client.hgetall(keys.records("1"))
                known = [decode_contact(record) for record in records.values()]
                return len(known) == len(NUMBERS) and all(map(is_done, known))

            await eventually(is_settled)
            called = {
                NUMBERS[str(world.contacts[int(one)].phone_number)] for one in world.auditor.per_contact
            }
    assert called == is_open
