"""Pools of caller ids: one per attempt, in turn, within a cap of each day."""

from __future__ import annotations

from collections import Counter
from typing import Any
from zoneinfo import ZoneInfo

import anyio
import msgspec
import pytest

from streamdialer.consumers.dialing.caller_id_pool import caller_id_pool
from streamdialer.consumers.services import Services
from streamdialer.ledger.caller_ids import CallerIdPool
from streamdialer.model import Attempt, CampaignSettings
from tests.support.ledger_fixture import LedgerWorld

NEW_YORK = ("+12125550100", "+12125550101")
ALL = (*NEW_YORK, "+13055550100")
DAY = 739_000
FOREVER_MS = 10**15


def pool(*ids: str, by_area: bool = False, cap: int | None = None, day: int = DAY) -> CallerIdPool:
    pairs = tuple((each, each.lstrip("+")) for each in ids)
    return CallerIdPool(ids=pairs, by_area=by_area, cap=cap, day=day, day_ends_ms=FOREVER_MS)


class CallerIds:
    """One campaign with a pool."""

    def __init__(self, services: Services, name: str = "1") -> None:
        self.world = LedgerWorld(services, f"queue-{name}")
        self.name = name

    async def open(self, contacts: int = 30, first: int = 1) -> None:
        await self.world.open_campaign(self.name, contacts, first=first, agents=50)

    async def claim(self, of: CallerIdPool | None, calls: int = 1) -> list[Attempt]:
        """The calls reserved now."""
        live = await self.world.count(self.name, "reserved") + await self.world.count(self.name, "dialing")
        claimed = await self.world.claim(self.name, live + calls, caller_ids=of)
        mine = [each for each in await self.world.reserved_calls() if each.campaign == self.name]
        return mine[len(mine) - claimed.dialed :]

    async def mark(self, attempt: Attempt, wanted: str = "*", run: str = "run") -> tuple[str, str]:
        marked = await self.world.services.campaigns.mark_sent(attempt, run, "", wanted)
        return marked.status, marked.caller_id

    async def send(self, of: CallerIdPool, calls: int, wanted: str = "*") -> list[str]:
        return [(await self.mark(each, wanted))[1] for each in await self.claim(of, calls)]


async def test_caller_ids_are_used_evenly_and_a_retried_request_has_the_same(services: Services) -> None:
    limits = msgspec.structs.replace(services.campaigns._limits, is_idempotent=True)
    ids = CallerIds(services)
    await ids.open()
    assert Counter(await ids.send(pool(*ALL), 9)) == dict.fromkeys(ALL, 3)
    (attempt,) = await ids.claim(pool(*ALL))
    again = type(services.campaigns)(services.scripts, services.keys, limits)
    marked = [await again.mark_sent(attempt, run, "", "*") for run in ("one", "one", "two")]
    assert [each.status for each in marked] == ["ok", "ok", "again"]
    assert len({each.caller_id for each in marked}) == 1
    counts: Any = await services.client.hgetall(services.keys.caller_ids)
    assert sum(map(int, counts.values())) == 10, "one per attempt, however often it is sent"
    await ids.world.check_invariants()


async def test_those_with_the_area_code_come_first_and_the_others_help_out(services: Services) -> None:
    ids = CallerIds(services)
    await ids.open()
    near = pool(*ALL, by_area=True, cap=2)
    assert set(await ids.send(near, 1, "1305")) == {ALL[2]}
    assert Counter(await ids.send(near, 4, "1212")) == dict.fromkeys(NEW_YORK, 2)
    assert await ids.send(near, 1, "1212") == [ALL[2]], "those of the area have had their calls"
    assert await ids.send(near, 1, "1999") == []


async def test_the_cap_of_a_day_is_never_exceeded_by_any_campaign(services: Services) -> None:
    first, second = CallerIds(services, "1"), CallerIds(services, "2")
    await first.open()
    await second.open(first=100)
    shared = pool(*NEW_YORK, cap=3)
    reserved = [*await first.claim(shared, 5), *await second.claim(shared, 5)]
    assert len(reserved) == 10, "neither knows of the other's"
    answers: list[tuple[str, str]] = []

    async def mark(attempt: Attempt) -> None:
        answers.append(await first.mark(attempt))

    async with anyio.create_task_group() as tasks:
        for attempt in reserved:
            tasks.start_soon(mark, attempt)
    assert Counter(caller_id for status, caller_id in answers if status == "ok") == dict.fromkeys(NEW_YORK, 3)
    assert Counter(status for status, _ in answers) == {"ok": 6, "caller_ids": 4}
    claimed = await first.world.claim("1", 100, caller_ids=shared)
    assert (claimed.dialed, claimed.limit) == (0, "caller_ids")
    assert len(await first.send(pool(*NEW_YORK, cap=3, day=DAY + 1), 9)) == 6, "the next day"
    await first.world.check_invariants()


async def test_a_call_that_is_not_placed_uses_nothing_up(services: Services) -> None:
    ids = CallerIds(services)
    await ids.open()
    one = pool(NEW_YORK[0], cap=1)
    (never_sent,) = await ids.claim(one)
    await services.client.hset("campaign:1", "status", "paused")
    assert (await ids.mark(never_sent))[0] == "not_active"
    await services.client.hset("campaign:1", "status", "active")
    (refused,) = await ids.claim(one)
    assert await ids.mark(refused) == ("ok", NEW_YORK[0])
    assert await ids.claim(one) == []
    assert await ids.world.settle(refused, "not_placed") == "ok"
    assert await ids.world.settle(refused, "not_placed") == "settled"
    (placed,) = await ids.claim(one)
    assert (await ids.mark(placed))[0] == "ok"
    await ids.world.settle(placed, "unknown")
    assert await ids.claim(one) == [], "it may ring"


async def test_counts_of_days_that_are_over_are_dropped(services: Services) -> None:
    ids = CallerIds(services)
    await ids.open()
    for day in range(DAY, DAY + 6):
        await ids.send(pool(*NEW_YORK, day=day), 2)
    counts: Any = await services.client.hkeys(services.keys.caller_ids)
    assert {int(field.split()[0]) for field in counts} == {DAY + 3, DAY + 4, DAY + 5}


async def test_a_campaign_without_a_pool_any_more_shows_its_own_caller_id(services: Services) -> None:
    ids = CallerIds(services)
    await ids.open()
    reserved = await ids.claim(pool(*ALL), 2)
    assert (await ids.mark(reserved[0]))[1] in ALL
    await ids.claim(None, 1)
    assert await ids.mark(reserved[1]) == ("ok", "")


def test_a_pool_ends_its_day_at_midnight_of_the_campaign() -> None:
    settings = CampaignSettings(
        queue_name="sales", caller_ids=("Shop <(212) 555-0100>", "4711"), country="US", caller_id_daily_cap=5
    )
    late = 1_795_826_000_000  # the evening of a day in New York, the next morning in Tokyo
    here = caller_id_pool(settings, ZoneInfo("America/New_York"), late)
    there = caller_id_pool(settings, ZoneInfo("Asia/Tokyo"), late)
    assert here is not None
    assert there is not None
    assert here.ids == (("Shop <(212) 555-0100>", "12125550100"), ("4711", "4711"))
    assert (here.cap, here.by_area) == (5, False)
    assert there.day == here.day + 1
    assert 0 < here.day_ends_ms - late <= 86_400_000
    assert caller_id_pool(CampaignSettings(queue_name="q"), ZoneInfo("UTC"), 0) is None


@pytest.mark.parametrize("at_ms", [FOREVER_MS, 1])
async def test_a_call_after_midnight_counts_for_the_next_day(services: Services, at_ms: int) -> None:
    ids = CallerIds(services)
    await ids.open()
    await ids.send(msgspec.structs.replace(pool(*NEW_YORK), day_ends_ms=at_ms), 1)
    fields: Any = await services.client.hkeys(services.keys.caller_ids)
    (field,) = fields
    assert field.startswith(f"{DAY + (at_ms == 1)} ")
