"""A campaign whose calls fail by half pauses itself, until a person starts it again."""

from __future__ import annotations

from typing import Any

import pytest

from streamdialer.broker.keys import Keys
from streamdialer.consumers.services import Services
from streamdialer.ledger.types import ClaimResult
from streamdialer.model import Attempt
from tests.support.eventually import eventually
from tests.support.ledger_fixture import LedgerWorld
from tests.support.ledger_reader import move_clock

FAILED = {"disposition": "failed", "cause": "q850:27"}


@pytest.fixture
async def world(services: Services) -> LedgerWorld:
    world = LedgerWorld(services)
    await world.open_campaign(contacts=60, agents=50)
    return world


async def claim(world: LedgerWorld, calls: int = 0, *, auto_pause: bool = True) -> ClaimResult:
    live = await world.count("1", "reserved") + await world.count("1", "dialing")
    return await world.claim("1", live + calls, auto_pause=auto_pause)


async def place(world: LedgerWorld, calls: int) -> list[Attempt]:
    assert (await claim(world, calls, auto_pause=False)).dialed == calls
    placed = (await world.reserved_calls())[-calls:]
    for attempt in placed:
        assert await world.mark_sent(attempt) == "ok"
    return placed


async def end(world: LedgerWorld, attempts: list[Attempt], kind: str = "call_failed", **how: Any) -> None:
    for attempt in attempts:
        await world.event(kind, attempt, **how)


async def public(world: LedgerWorld) -> tuple[str, str | None]:
    public: Any = await world.client.hmget(world.keys.campaign("1"), ["status", "auto_paused"])
    return public[0], public[1]


async def test_half_of_twenty_calls_pause_it_and_a_person_starts_it_again(world: LedgerWorld) -> None:
    heard: list[str] = []
    async with world.client.pubsub(ignore_subscribe_messages=True) as channel:
        await channel.subscribe(Keys().channel)
        calls = await place(world, 20)
        await end(world, calls[:9], **FAILED)
        await end(world, calls[9:19], disposition="no_answer")
        assert (await claim(world)).reason is None, "nineteen calls prove nothing"
        await end(world, calls[19:], disposition="congestion")
        claimed = await claim(world, 5)
        why = "10 of 20 calls failed within two minutes"
        assert (claimed.reason, claimed.detail, claimed.dialed) == ("auto_paused", why, 0)
        assert await public(world) == ("paused", why)

        async def hears() -> bool:
            message = await channel.get_message(timeout=0.1)
            heard.extend([message["data"]] if message else [])
            return bool(heard)

        await eventually(hears)
    assert heard == ["campaign:paused:1"]
    assert (await claim(world)).reason == "not_active"
    await world.client.hset(world.keys.campaign("1"), "status", "active")
    assert (await claim(world, 5)).dialed == 5, "what was before counts no more"
    assert await public(world) == ("active", None)
    await world.check_invariants()


@pytest.mark.parametrize(
    "how",
    [
        {"disposition": "busy"},
        {"disposition": "no_answer"},
        {"disposition": "invalid"},
        {"disposition": "failed", "cause": "q850:21"},
        {"disposition": "failed", "cause": "sip:603"},
        {"disposition": "cancelled"},
    ],
)
async def test_what_people_and_numbers_do_is_no_failure(world: LedgerWorld, how: dict[str, str]) -> None:
    await end(world, await place(world, 20), **how)
    assert (await claim(world)).reason is None


async def test_calls_that_the_api_will_never_place_have_failed(world: LedgerWorld) -> None:
    for attempt in await place(world, 20):
        await world.settle(attempt, "never")
    assert (await claim(world)).reason == "auto_paused"


async def test_answered_calls_count_as_soon_as_they_are_answered(world: LedgerWorld) -> None:
    calls = await place(world, 24)
    await end(world, calls[:13], "call_answered")
    await end(world, calls[13:], **FAILED)
    assert (await claim(world)).reason is None, "eleven of twenty-four"
    await end(world, calls[:13], "call_completed")
    assert (await claim(world)).reason is None, "each call counts once"


async def test_late_news_corrects_the_count(world: LedgerWorld) -> None:
    calls = await place(world, 20)
    await end(world, calls[:10], **FAILED)
    await end(world, calls[10:], disposition="busy")
    await end(world, calls[:1], "call_answered")
    assert (await claim(world)).reason is None


async def test_what_is_older_than_two_minutes_counts_no_more(world: LedgerWorld) -> None:
    await end(world, await place(world, 20), **FAILED)
    await move_clock(world.client, world.keys, 125)
    await world.open_campaign(contacts=60, agents=50)
    assert (await claim(world)).reason is None


async def test_it_does_not_pause_itself_where_that_is_off(world: LedgerWorld) -> None:
    await end(world, await place(world, 20), **FAILED)
    assert (await claim(world, 3, auto_pause=False)).dialed == 3
    assert await public(world) == ("active", None)
