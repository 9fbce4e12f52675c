"""The abandon rate of a window counts calls by the hour of sending, whenever their news comes."""

from __future__ import annotations

import random

import msgspec
import pytest
from redis.asyncio import Redis

from streamdialer.config.settings import Settings
from streamdialer.consumers.services import open_services
from streamdialer.model import Attempt
from tests.support.ledger_fixture import LedgerWorld
from tests.support.ledger_reader import move_clock

HOUR_MS = 3_600_000


@pytest.mark.parametrize("hours", [1, 5, 24, 720])
async def test_a_window_counts_the_calls_that_were_sent_in_its_hours(
    settings: Settings, redis: Redis, hours: int
) -> None:
    async with open_services(msgspec.structs.replace(settings, events="optional")) as services:
        await count_and_compare(LedgerWorld(services), hours)


async def count_and_compare(world: LedgerWorld, hours: int) -> None:
    """Calls are sent and answered in any order, with hours between."""
    draw = random.Random(hours)
    await world.open_campaign(contacts=0, agents=60)
    ringing: list[tuple[Attempt, int]] = []
    counted: list[tuple[int, bool]] = []
    seen = set[tuple[int, int]]()
    for _ in range(150):
        step = draw.choice(("place", "place", "answer", "answer", "wait"))
        if step == "place" and len(ringing) + len(counted) < 60:
            rows = [world.row(str(1 + len(ringing) + len(counted)))]
            await world.services.campaigns.load("1", rows, world.max_attempts)
            attempt = await world.place_one()
            sent_ms = (await world.record(attempt.contact))["h"][-1]["sm"]
            ringing.append((attempt, sent_ms // HOUR_MS))
        elif step == "answer" and ringing:
            attempt, hour = ringing.pop(draw.randrange(len(ringing)))
            is_abandoned = draw.random() < 0.4
            await world.event("call_answered", attempt)
            await world.event("call_abandoned" if is_abandoned else "call_completed", attempt)
            counted.append((hour, is_abandoned))
        else:
            await move_clock(world.client, world.keys, draw.choice((600, 3600, 3 * 3600, 30 * 3600)))
        state = await world.services.queues.snapshot("sales", ["1"], windows_h={"1": hours})
        assert state is not None
        last = state.ledger_ms // HOUR_MS
        inside = [is_abandoned for hour, is_abandoned in counted if last - hours < hour <= last]
        found = state.campaigns[0]
        assert (found.answered_by_person, found.abandoned) == (len(inside), sum(inside))
        seen.add((found.answered_by_person, found.abandoned))
    assert len(seen) > 3, "the window has to fill"
