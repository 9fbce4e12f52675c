"""Contacts with several numbers: which is called, and when none is left."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import msgspec
import pytest

from streamdialer.broker.dead_letters import DeadLetter
from streamdialer.broker.entries import Entry
from streamdialer.consumers.calls import read_call
from streamdialer.consumers.dialing.contact_rows import load_row
from streamdialer.consumers.update_rules import is_newer, is_over
from streamdialer.ledger.records import Doubt, Update
from streamdialer.model import Attempt, Contact, ContactData
from streamdialer.operations.dead_letters import masked_letter
from tests.support.ledger_fixture import LedgerWorld

THREE = ("+15550000001", "+15550000002", "+15550000003")


def contact(**fields: Any) -> Contact:
    return msgspec.convert({"id": 1, **fields}, Contact, strict=False)


A, B, C = ("5550001", "5550002", "5550003")


@pytest.mark.parametrize(
    ("fields", "numbers"),
    [
        ({"phone_number": "+1 202 555 0143"}, ["+12025550143"]),
        ({"phone_number": f" {A} ", "phone_2": B, "phone_3": C}, [A, B, C]),
        ({"phone_number": "", "phone_2": "n/a", "phone_3": C}, [C]),
        ({"phone_number": "see note 3", "phone_2": B}, [B]),
        ({"phone_number": A, "phone_2": A}, [A]),
        ({"phone_number": A, "phones": [B, int(C), B, None, {"n": 4}]}, [B, C]),
        ({"phone_number": A, "phones": [{"type": "home", "number": B}, {"value": C}]}, [B, C]),
        ({"phone_number": A, "phones": []}, [A]),
        ({"phone_number": A, "phones": f"{B};{C}"}, [B, C]),
        ({"phone_number": int(A)}, [A]),
        ({"phone_number": "none"}, []),
    ],
)
def test_the_numbers_of_a_contact_in_order_of_calls(fields: dict[str, Any], numbers: list[str]) -> None:
    row = load_row(contact(**fields))
    call = msgspec.json.decode(row.call, type=ContactData)
    assert (call.phones or [call.phone_number]) == (numbers or [""])
    assert bool(call.phones) == (len(numbers) > 1), "one number costs nothing extra"
    assert bool(row.problem) == (not numbers)


def test_one_number_in_two_spellings_is_one() -> None:
    row = load_row(contact(phones=["300 123 4567", "+573001234567", "+57 300 765 4321"]), country="CO")
    call = msgspec.json.decode(row.call)
    assert call["phones"] == ["3001234567", "+573007654321"]
    assert call["n"] == ["+573001234567", "+573007654321"]


class Caller:
    """One contact with several numbers, called again and again."""

    def __init__(self, world: LedgerWorld) -> None:
        self.world = world

    async def open(self, numbers: tuple[str, ...] = THREE, max_attempts: int = 9) -> None:
        self.world.max_attempts = max_attempts
        await self.world.open_campaign(contacts=0)
        row = load_row(contact(phones=list(numbers)))
        await self.world.services.campaigns.load("1", [row], max_attempts)

    async def call(self) -> tuple[Attempt, str]:
        """The next attempt, and the number it goes to."""
        await self.world.set_agents(1)
        await self.world.age(301)
        await self.world.sweep()
        attempt = await self.world.place_one()
        entries: Any = await self.world.client.xrange("dialer:calls")
        entry, fields = entries[-1]
        return attempt, read_call(Entry(entry, fields))[1].phone_number

    async def end(self, disposition: str) -> str:
        """Calls once more and ends the call with this disposition; returns the number called."""
        attempt, number = await self.call()
        await self.world.event("call_failed", attempt, disposition=disposition)
        await self.world.check_invariants()
        return number


@pytest.fixture
async def caller(world: LedgerWorld) -> Caller:
    return Caller(world)


@pytest.mark.parametrize("disposition", ["no_answer", "failed"])
async def test_after_an_unanswered_call_the_next_number_is_called(caller: Caller, disposition: str) -> None:
    await caller.open()
    assert [await caller.end(disposition) for _ in range(4)] == [*THREE, THREE[0]]
    assert await caller.world.backend_status() == disposition
    attempts = (await caller.world.record("1"))["h"]
    assert [attempt["ph"] for attempt in attempts] == [1, 2, 3, 1]


async def test_a_busy_number_is_called_again(caller: Caller) -> None:
    await caller.open()
    assert [await caller.end(how) for how in ("no_answer", "busy", "busy", "no_answer", "busy")] == [
        THREE[0],
        THREE[1],
        THREE[1],
        THREE[1],
        THREE[2],
    ]


async def test_a_number_that_does_not_exist_is_called_once_and_the_last_ends_it(caller: Caller) -> None:
    await caller.open()
    assert await caller.end("no_answer") == THREE[0]
    assert await caller.end("invalid") == THREE[1]
    assert await caller.world.backend_status() == "failed", "two numbers are left"
    assert await caller.end("no_answer") == THREE[2]
    assert await caller.end("invalid") == THREE[0]
    assert await caller.end("busy") == THREE[2]
    assert await caller.world.state_of("1") == "deferred"
    assert await caller.end("invalid") == THREE[2]
    assert await caller.world.state_of("1") == "final"
    assert await caller.world.backend_status() == "invalid"


async def test_the_attempts_of_all_numbers_count_together(caller: Caller) -> None:
    await caller.open(max_attempts=2)
    await caller.end("no_answer")
    await caller.end("invalid")
    assert await caller.world.state_of("1") == "final"
    assert await caller.world.backend_status() == "failed", "another number was left, and no attempt"


async def test_an_update_that_was_not_acknowledged_is_sent_again_the_same(caller: Caller) -> None:
    await caller.open()
    await caller.end("invalid")
    update = await caller.world.services.outbox.lease("1", "1", "first")
    assert update not in ("none", "busy")
    assert await caller.world.services.outbox.acknowledge("1", "1", "another", 1) == "lost"
    assert await caller.world.backend_status() == "failed"


@pytest.mark.parametrize("order", list(permutations(["no_answer", "busy", "invalid"])))
async def test_what_contradicting_events_say_of_a_call_turns_the_number_the_same_in_any_order(
    caller: Caller, order: tuple[str, ...]
) -> None:
    await caller.open()
    attempt, _ = await caller.call()
    for disposition in order:
        await caller.world.event("call_failed", attempt, disposition=disposition)
    record = await caller.world.record("1")
    assert (record["ni"], record["nx"], record["p"]) == (2, {"1": True}, "deferred")
    await caller.world.event("call_completed", attempt, disposition="completed")
    record = await caller.world.record("1")
    assert ("nx" in record, record["p"]) == (False, "final"), "it exists: a person answered it"


async def test_a_call_that_was_not_placed_goes_to_the_same_number_next(caller: Caller) -> None:
    await caller.open()
    await caller.end("no_answer")
    attempt, number = await caller.call()
    await caller.world.settle(attempt, "not_placed")
    assert (number, (await caller.call())[1]) == (THREE[1], THREE[1])


async def test_an_api_that_will_never_place_it_drops_the_number(caller: Caller) -> None:
    await caller.open(THREE[:2])
    attempt, _ = await caller.call()
    await caller.world.settle(attempt, "never")
    assert (await caller.call())[1] == THREE[1]


async def test_a_contact_with_one_number_costs_nothing_extra(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    attempt = await world.place_one()
    await world.event("call_failed", attempt, disposition="invalid")
    record = await world.record("1")
    assert not {"ni", "nx"} & set(record)
    assert "ph" not in record["h"][0]
    assert record["p"] == "final"
    entries: Any = await world.client.xrange("dialer:calls")
    assert not {"phone", "phone_number"} & set(entries[-1][1])


def test_no_number_of_a_dead_letter_is_shown() -> None:
    letter = DeadLetter(
        id="1-0",
        stream="dialer:calls",
        entry="1-0",
        reason="r",
        detail="d",
        deliveries=1,
        original={"call": load_row(contact(phones=list(THREE))).call, "phone_number": THREE[1]},
    )
    shown = str(masked_letter(letter).original)
    assert not any(number in shown for number in THREE)
    assert "002" in shown


@pytest.mark.parametrize("is_lost", [False, True])
async def test_a_retry_of_another_number_is_not_taken_for_over_where_the_backend_shows_failed(
    caller: Caller, is_lost: bool
) -> None:
    await caller.open()
    world = caller.world
    await caller.end("invalid")
    outbox = world.services.outbox
    ended = await world.lease_update("1", "worker")  # the backend takes it, its reply is lost
    await world.age(301)
    await world.sweep()
    await world.make_stale("1")
    await world.claim("1", 1)
    shown = Contact(id=1, status=ended.status, attempts=ended.attempts)
    again = await outbox.lease("1", "1", "worker")
    assert isinstance(again, Update)
    assert (ended.status, again.status) == ("failed", "pending")
    if is_lost:
        assert is_newer(again, Doubt(), shown)
    else:
        assert not is_over(again, shown)
        assert is_over(again, msgspec.structs.replace(shown, status="invalid")), "the backend's own word"
