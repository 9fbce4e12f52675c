"""One person, one call: no number and no person has two calls up, whatever campaigns they stand in."""

from __future__ import annotations

import msgspec
import pytest

from streamdialer.config.settings import Settings
from streamdialer.consumers.services import Services, open_services
from streamdialer.ledger.outbox import Delivery
from streamdialer.ledger.records import Update
from streamdialer.ledger.types import LoadRow
from streamdialer.model import Attempt
from tests.support.caps_fixture import CapsWorld
from tests.support.ledger_invariants import check_ledger
from tests.support.ledger_reader import move_clock

pytestmark = pytest.mark.anyio
HERS, ANOTHER = "+573001234567", "+573007654321"
PAUSE_S = 5
"""How long a contact waits until it is looked at again."""


@pytest.fixture
async def world(services: Services) -> CapsWorld:
    world = CapsWorld(services)
    await world.set_agents(9)
    return world


async def in_call(world: CapsWorld, campaign: str = "1") -> bool:
    """Whether a claim leaves the campaign's only ready contact where it is, because of another call."""
    return await world.refused(campaign) == {"in_call": 1}


async def wait(world: CapsWorld) -> None:
    await move_clock(world.services.client, world.services.keys, PAUSE_S)
    for campaign in world.known:
        await world.sweep(campaign)


async def end(world: CapsWorld, attempt: Attempt, kind: str = "call_completed", **data: str) -> None:
    await world.event(kind, attempt, **data)


async def confirm(world: CapsWorld, contact: str, campaign: str = "1", verdict: Delivery = "taken") -> Update:
    """The backend has answered what the ledger told it of the contact."""
    outbox = world.services.outbox
    update = await outbox.lease(campaign, contact, "worker")
    assert not isinstance(update, str)
    assert await outbox.acknowledge(campaign, contact, "worker", update.version, verdict) == "done"
    return update


async def up(world: CapsWorld) -> set[str]:
    numbers = await world.services.client.hkeys(world.services.keys.calls_up)
    return {str(number) for number in numbers}


@pytest.mark.parametrize("second", ["1", "2"])
async def test_a_number_has_one_call_whoever_has_it(world: CapsWorld, second: str) -> None:
    await world.know("1", "1", HERS)
    attempt = await world.call("1")
    await world.know(second, "2", HERS)
    assert await in_call(world, second)
    assert (await world.record("2", second))["w"] == {"y": "in_call", "s": "1:1"}
    await world.event("call_answered", attempt)
    await wait(world)
    assert await in_call(world, second), "they talk"
    await end(world, attempt)
    await wait(world)
    await world.call(second)


async def test_a_reservation_holds_the_number_and_gives_it_back(world: CapsWorld) -> None:
    await world.know("1", "1", HERS)
    await world.reserve("1")
    await world.know("2", "2", HERS)
    assert await in_call(world, "2")
    await world.age(61)
    assert (await world.sweep()).released == 1
    assert await up(world) == set()
    await wait(world)
    await world.call("2")


async def test_only_the_number_that_is_called_is_held(world: CapsWorld) -> None:
    await world.know("1", "1", HERS, ANOTHER)
    await world.know("2", "2", ANOTHER)
    first = await world.call("1")
    await world.call("2")
    assert await up(world) == {HERS[1:], ANOTHER[1:]}
    await end(world, first, "call_failed", disposition="no_answer")
    await move_clock(world.services.client, world.services.keys, 301)
    await world.sweep()
    assert await in_call(world), "its second number is next"


async def test_a_number_is_the_same_with_and_without_its_country(world: CapsWorld) -> None:
    await world.know("1", "1", HERS)
    row = world.known["1"]["1"]
    local = msgspec.json.decode(row.call) | {"phone_number": "300 123 4567"}
    listed = LoadRow("2", 6, 0, msgspec.json.encode(local | {"id": 2}).decode())
    await world.services.campaigns.load("1", [listed], 3)
    await world.call("1")
    await world.know("2", "3", "3001234567")
    assert await in_call(world, "2")


async def test_a_callback_is_not_placed_to_a_number_that_is_in_a_call(world: CapsWorld) -> None:
    await world.know("1", "1", HERS)
    await world.call("1")
    await world.know("2", "2", ANOTHER)
    at_ms = 1000 * (await world.services.client.time())[0]
    await world.services.callbacks.schedule(
        "2", "2", at_ms, entry=await world.write_entry(), phone_number=HERS, compared=HERS
    )
    assert await in_call(world, "2")


async def test_a_person_has_one_call_whatever_numbers_the_lists_have(world: CapsWorld) -> None:
    await world.know("1", "7", HERS)
    await world.know("2", "7", ANOTHER)
    attempt = await world.call("1")
    assert await in_call(world, "2")
    await end(world, attempt)
    await wait(world)
    assert await in_call(world, "2"), "the backend does not know yet how it ended"


async def test_after_another_campaigns_call_the_backend_is_asked_again(world: CapsWorld) -> None:
    await world.know("1", "7", HERS)
    await world.know("2", "7", ANOTHER)
    await end(world, await world.call("1"))
    await confirm(world, "7")
    claimed = await world.claim("2", others=world.others["2"])
    assert (claimed.dialed, claimed.stale) == (0, ["7"])
    older = claimed.ledger_ms - 60_000
    row = world.known["2"]["7"]
    await world.services.campaigns.load("2", [row], 3, asked_ms=older)
    assert (await world.claim("2", others=world.others["2"])).stale == ["7"], "a page from before that call"
    await world.services.campaigns.load("2", [row], 3, asked_ms=claimed.ledger_ms + 1)
    await world.call("2")


async def retry_is_due(world: CapsWorld) -> None:
    """The campaign 1 becomes due to call the contact 7 again."""
    await move_clock(world.services.client, world.services.keys, 301)
    assert (await world.sweep()).promoted == 1


@pytest.mark.parametrize("is_taken", [True, False])
async def test_a_retry_that_is_due_after_another_campaigns_call_does_not_set_its_end_back(
    world: CapsWorld, is_taken: bool
) -> None:
    """The other campaign has it because the backend refused to learn of the first call, or by an earlier retry."""
    await world.know("1", "7", HERS)
    await world.know("2", "7", HERS)
    await end(world, await world.call("1"), "call_failed", disposition="no_answer")
    await confirm(world, "7", verdict="taken" if is_taken else "refused")
    asked_ms = (await world.claim("2", others=world.others["2"])).ledger_ms + 1
    await world.services.campaigns.load("2", [world.known["2"]["7"]], 3, asked_ms=asked_ms)
    await end(world, await world.call("2"))
    await confirm(world, "7", "2")
    await retry_is_due(world)
    claimed = await world.claim(others=world.others["1"])
    assert (claimed.dialed, claimed.stale) == (0, []), "what the backend shows is not known yet"
    update = await confirm(world, "7", verdict="over")
    assert (update.status, update.attempts, update.disposition) == ("pending", 1, "no_answer")
    assert update.shown_status == ("no_answer" if is_taken else None)
    assert await world.state_of("7") == "final"
    assert await world.refused() == {}
    assert await world.backend_status("7") is None
    await check_ledger(world.services.client, world.services.keys, ["1", "2"])


async def test_a_retry_that_the_backend_takes_is_called_without_asking_again(world: CapsWorld) -> None:
    """The other campaign's call was in vain, too."""
    await world.know("1", "7", HERS)
    await world.know("2", "7", HERS)
    await end(world, await world.call("1"), "call_failed", disposition="no_answer")
    await confirm(world, "7", verdict="refused")
    asked_ms = (await world.claim("2", others=world.others["2"])).ledger_ms + 1
    await world.services.campaigns.load("2", [world.known["2"]["7"]], 3, asked_ms=asked_ms)
    await end(world, await world.call("2"), "call_failed", disposition="no_answer")
    await confirm(world, "7", "2")
    await retry_is_due(world)
    await confirm(world, "7")
    await world.call("1")


async def test_a_retry_is_called_when_the_backend_has_taken_it(world: CapsWorld) -> None:
    await world.know("1", "7", HERS)
    for _ in range(2):
        await end(world, await world.call("1"), "call_failed", disposition="no_answer")
        await confirm(world, "7")
        await retry_is_due(world)
        claimed = await world.claim(others=world.others["1"])
        assert (claimed.dialed, claimed.stale) == (0, [])
        await confirm(world, "7")
    await end(world, await world.call("1"))
    await confirm(world, "7")
    await move_clock(world.services.client, world.services.keys, 3600)
    await world.sweep()
    assert await world.services.client.hgetall(world.services.keys.persons_up("1")) == {}


async def test_a_campaigns_own_calls_do_not_make_it_ask(world: CapsWorld) -> None:
    await world.know("1", "7", HERS)
    await world.settle(await world.call("1"), "not_placed")
    await confirm(world, "7")
    await world.call("1")


async def test_ids_may_be_each_campaigns_own(world: CapsWorld, settings: Settings) -> None:
    apart = msgspec.structs.replace(settings, contact_ids="per-campaign")
    async with open_services(apart) as services:
        other = CapsWorld(services)
        await other.set_agents(9)
        await other.know("1", "7", HERS)
        await other.know("2", "7", ANOTHER)
        await other.call("1")
        await other.call("2")


async def test_late_news_that_a_call_was_placed_keeps_the_next_from_being_sent(world: CapsWorld) -> None:
    await world.know("1", "1", HERS)
    first = await world.call("1")
    await world.settle(first, "not_placed")
    await world.know("2", "2", HERS)
    second = await world.reserve("2")
    await world.event("call_ringing", first)
    assert (await world.services.campaigns.mark_sent(second, "run", "")).status == "in_call"
    assert await in_call(world, "2")
    await end(world, first)
    assert await up(world) == set()


async def test_two_calls_that_are_up_hold_the_number_until_both_have_ended(world: CapsWorld) -> None:
    await world.know("1", "1", HERS)
    first = await world.call("1")
    await world.settle(first, "not_placed")
    await world.know("2", "2", HERS)
    second = await world.call("2")
    await world.event("call_ringing", first)
    await world.know("3", "3", HERS)
    await end(world, first)
    assert await in_call(world, "3")
    await end(world, second)
    await wait(world)
    await world.call("3")


async def test_what_is_known_of_persons_is_forgotten_after_a_while(world: CapsWorld) -> None:
    await world.know("1", "7", HERS)
    await end(world, await world.call("1"))
    await confirm(world, "7")
    client, keys = world.services.client, world.services.keys
    assert await client.hgetall(keys.persons_up("1")) == {"7": "1"}
    await move_clock(client, keys, 3600)
    await world.sweep()
    assert not await client.exists(keys.persons_up("1"), keys.persons_called("1"), keys.calls_up)
