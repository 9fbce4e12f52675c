"""Caps per person and per subject, in all campaigns; per day on the person's clock; per state; and consent."""

from __future__ import annotations

import msgspec
import pytest

from streamdialer.broker.connection import server_ms
from streamdialer.config.settings import Settings
from streamdialer.consumers.services import Services, open_services
from streamdialer.ledger.records import Update
from streamdialer.ledger.zone_hours import Hours, ZoneOpening
from tests.support.caps_fixture import HOUR_S, CapsWorld

ONE, TWO = "+573001234567", "+573107654321"


@pytest.fixture
async def world(services: Services) -> CapsWorld:
    world = CapsWorld(services)
    await world.set_agents(9)
    return world


async def missed(world: CapsWorld, campaign: str) -> None:
    """An unanswered call that the backend has learnt of, and then the time until the next try."""
    attempt = await world.call(campaign, "call_failed", disposition="no_answer")
    outbox = world.services.outbox
    update = await outbox.lease(campaign, attempt.contact, "me")
    assert isinstance(update, Update)
    await outbox.acknowledge(campaign, attempt.contact, "me", update.version)
    await world.pass_time(301)


@pytest.mark.parametrize(("pack", "allowed"), [("us-fl", 3), ("us-ok", 3), ("fr", 4)])
async def test_a_person_with_two_numbers_has_one_cap(world: CapsWorld, pack: str, allowed: int) -> None:
    await world.know("1", "1", ONE, TWO, consent_ms=1)
    world.cap(pack)
    for _ in range(allowed):
        await world.missed("1")
    assert await world.refused("1") == {"cap_attempts": 1}


async def test_a_person_in_two_campaigns_under_other_numbers_has_one_cap(world: CapsWorld) -> None:
    await world.know("1", "7", ONE)
    await world.know("2", "7", TWO)
    world.cap("us-fl")
    for campaign in ("1", "2", "1"):
        await missed(world, campaign)
    assert await world.refused("1") == await world.refused("2") == {"cap_attempts": 1}


async def test_campaigns_with_contact_ids_of_their_own_have_persons_of_their_own(
    settings: Settings, redis: object
) -> None:
    apart = msgspec.structs.replace(settings, contact_ids="per-campaign")
    async with open_services(apart) as services:
        world = CapsWorld(services)
        await world.set_agents(9)
        await world.know("1", "7", ONE)
        await world.know("2", "7", TWO)
        world.cap("us-fl")
        for campaign in ("1", "1", "1"):
            await missed(world, campaign)
        assert await world.refused("1") == {"cap_attempts": 1}
        await missed(world, "2")


async def test_a_talk_on_one_number_rests_the_persons_other_numbers_and_who_shares_them(
    world: CapsWorld,
) -> None:
    await world.know("1", "1", ONE, TWO)
    await world.know("2", "2", TWO, ONE)
    world.cap("co")
    await world.call("1", "call_answered", "call_completed")
    assert await world.refused("2") == {"cap_conversations": 1}


@pytest.mark.parametrize("contacts", [("1", "1"), ("1", "2")])
async def test_one_debt_has_one_cap_in_all_campaigns(world: CapsWorld, contacts: tuple[str, str]) -> None:
    await world.know("1", contacts[0], ONE, subject="loan 5")
    await world.know("2", contacts[1], ONE, subject="loan 5")
    world.cap("us-regf")
    for number in range(7):
        await missed(world, str(1 + number % 2))
    assert await world.refused("1") == await world.refused("2") == {"cap_attempts": 1}


async def test_another_debt_of_the_person_has_its_own_cap(world: CapsWorld) -> None:
    await world.know("1", "1", ONE, subject="loan 5")
    await world.know("2", "1", ONE, subject="card 9")
    await world.know("3", "3", ONE)
    world.cap("us-regf")
    for _ in range(7):
        await missed(world, "1")
    assert await world.refused("1") == {"cap_attempts": 1}
    assert await world.refused("3") == {"cap_attempts": 1}, "without a subject it may be about any"
    await world.missed("2")


async def test_a_day_ends_at_midnight_on_the_persons_clock(world: CapsWorld) -> None:
    await world.know("1", "1", ONE)
    world.cap("co")
    now = await server_ms(world.client)
    day = (now - 10_000, now + HOUR_S * 1000)
    hours = Hours(zones={"z": ZoneOpening(until_ms=None, day=day)}, contacts={"1": "z"})
    attempt = await world.reserve("1", hours=hours)
    await world.mark_sent(attempt)
    await world.event("call_answered", attempt)
    await world.event("call_completed", attempt)
    await world.know("2", "2", ONE)
    refused = await world.claim(
        "2", others=world.others["2"], hours=Hours(zones=hours.zones, contacts={"2": "z"})
    )
    assert refused.skipped == {"cap_conversations": 1}
    assert HOUR_S - 60 < await world.due_in_s("2", "2") <= HOUR_S


@pytest.mark.parametrize(
    ("place", "is_refused"), [("America/New_York|us-fl", True), ("America/New_York", False)]
)
async def test_a_states_cap_is_for_its_people_and_numbers(
    world: CapsWorld, place: str, is_refused: bool
) -> None:
    await world.know("1", "1", ONE)
    world.cap("us")
    hours = Hours(zones={place: ZoneOpening(until_ms=None)}, contacts={"1": place})
    for _ in range(3):
        attempt = await world.reserve("1", hours=hours)
        await world.mark_sent(attempt)
        await world.event("call_failed", attempt, disposition="no_answer")
        await world.pass_time(301)
    claimed = await world.claim("1", others=world.others["1"], hours=hours)
    assert (claimed.skipped == {"cap_attempts": 1}) == is_refused


DAY_MS = 86_400_000
CASES = [
    ("fr", None, False),
    ("fr", 0, True),
    ("fr", -900 * DAY_MS, True),
    ("es", 0, False),
    ("es", -700 * DAY_MS, True),
    ("es", -800 * DAY_MS, False),
    ("es", DAY_MS, False),
    ("us", None, True),
]


@pytest.mark.parametrize(("pack", "age_ms", "is_called"), CASES)
async def test_where_the_law_asks_for_consent_no_one_is_called_without_it(
    world: CapsWorld, pack: str, age_ms: int | None, is_called: bool
) -> None:
    now = await server_ms(world.client)
    more = {} if age_ms is None else {"consent_ms": age_ms and now + age_ms}
    await world.know("1", "1", ONE, **more)
    world.cap(pack)
    if is_called:
        await world.missed("1")
        return
    assert await world.refused("1") == {"no_consent": 1}
    record = await world.record("1")
    assert (record["p"], record["w"]["y"]) == ("deferred", "no_consent")
    assert "consent" in record["w"]["s"]
    await world.know("1", "1", ONE, consent_ms=now - 1000)
    assert await world.state_of("1") == "ready", "the backend has given it a consent"
