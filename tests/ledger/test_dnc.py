"""Do not call: a request holds in every contact state, for every contact with the number."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from streamdialer.broker.background_duty import running
from streamdialer.broker.entries import BadEntry, Entry
from streamdialer.consumers.calls import Call, CallsStage
from streamdialer.consumers.dialing.contact_rows import in_flight_row, load_row
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.event_entry import read_event
from streamdialer.consumers.events import EventsStage
from streamdialer.consumers.handlers.do_not_call import add_to_dnc
from streamdialer.consumers.services import Services
from streamdialer.ledger.types import LoadRow, LostCall
from streamdialer.model import Attempt, Contact, DoNotCallEvent
from streamdialer.rules.numbers import Number, read_number
from tests.support.eventually import eventually
from tests.support.ledger_fixture import LedgerWorld

pytestmark = pytest.mark.usefixtures("redis")
HERS = "+57 300 123 4567"
SPELLINGS = (HERS, "(300) 123-4567", "+573001234567", "tel:+57-300-1234567", "573001234567")
ENDINGS: dict[str, dict[str, str]] = {
    "call_completed": {},
    "call_failed": {"disposition": "busy"},
    "call_abandoned": {},
}


class DncWorld(LedgerWorld):
    """One person, known to campaigns under numbers of any spelling."""

    async def open_with(self, *numbers: str, campaign: str = "1", country: str = "CO", **more: Any) -> None:
        """An active campaign with one contact per number, from 1 on."""
        await self.open_campaign(campaign, contacts=0, agents=10)
        contacts = [Contact(id=at, phone_number=number, **more) for at, number in enumerate(numbers, 1)]
        await self.load(
            campaign, *(load_row(contact, country=country) for contact in contacts), country=country
        )

    async def load(self, campaign: str, *rows: LoadRow, country: str = "CO") -> Any:
        return await self.services.campaigns.load(campaign, rows, self.max_attempts, country)

    async def says(self, **fields: Any) -> None:
        """The event is handled."""
        event = DoNotCallEvent(type="do_not_call", **fields)
        await add_to_dnc(event, self.services, WakeupScheduler(self.services))

    async def lists(self, number: str = HERS) -> None:
        """The number alone gets onto the list: its contacts stay where they are."""
        value = "1 by hand"
        digits = read_number(number, "CO").digits
        await self.client.hset(self.keys.dnc, digits, value)

    async def is_listed(self, number: str = HERS) -> bool:
        [found] = await self.services.suppression.check([read_number(number, "CO")])
        return found is not None

    async def is_out(self, contact: str = "1", campaign: str = "1") -> None:
        """The contact is final, the backend gets an update, and nothing of it is left in the line."""
        assert await self.state_of(contact, campaign) == "final"
        assert await self.backend_status(contact, campaign) == "do_not_call"
        assert (await self.claim(campaign, others=self.others(campaign))).dialed == 0
        await self.check_invariants(campaign)

    def others(self, campaign: str) -> dict[str, float]:
        return {}

    async def numbers(self) -> dict[str, str]:
        """Number -> the ledger's contacts with that number, as campaign:contact, joined by spaces."""
        held: dict[str, str] = {}
        for name in await self.client.zrange(self.keys.contacts_by_number, 0, -1):
            number, _, contact = str(name).partition(" ")
            held[number] = f"{held[number]} {contact}" if number in held else contact
        return held


@pytest.fixture
def world(services: Services) -> DncWorld:
    return DncWorld(services)


BY: dict[str, dict[str, str]] = {
    "number": {"phone_number": HERS},
    "other spelling": {"phone_number": "300 123 4567", "campaign_id": "1"},
    "sign lost": {"phone_number": "573001234567"},
    "words beside it": {"phone_number": "Ana +57 300 1234567 (cel)"},
    "contact": {"campaign_id": "1", "contact_id": "1"},
    "both": {"campaign_id": "1", "contact_id": "1", "phone_number": HERS, "reason": "told us so"},
}


@pytest.mark.parametrize("by", BY)
async def test_a_ready_contact_leaves_the_line_at_once(world: DncWorld, by: str) -> None:
    await world.open_with("3001234567")
    await world.says(**BY[by])
    assert await world.is_listed()
    await world.is_out()
    assert (await world.public())["ready_contacts"] == "0"


@pytest.mark.parametrize("by", BY)
async def test_a_contact_waiting_for_a_retry_leaves_the_line_at_once(world: DncWorld, by: str) -> None:
    await world.open_with(HERS)
    attempt = await world.place_one()
    await world.event("call_failed", attempt, disposition="busy")
    assert await world.state_of("1") == "deferred"
    await world.says(**BY[by])
    await world.is_out()
    await world.age(1000)
    await world.sweep()
    assert (await world.claim()).dialed == 0


@pytest.mark.parametrize("by", BY)
async def test_a_reserved_call_is_not_sent_though_its_entry_is_there(world: DncWorld, by: str) -> None:
    await world.open_with(HERS)
    attempt = await world.reserve()
    await world.says(**BY[by])
    await world.is_out()
    assert await world.mark_sent(attempt) == "stale"
    assert await world.mark_sent(attempt) == "stale"
    assert (await world.record("1"))["a"] == 0


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("state", ["sent", "ringing", "answered"])
@pytest.mark.parametrize("by", BY)
async def test_a_call_that_is_up_ends_as_do_not_call_whatever_is_said_of_it(
    world: DncWorld, by: str, state: str, ending: str
) -> None:
    await world.open_with(HERS)
    attempt = await world.place_one()
    if state != "sent":
        await world.event("call_ringing" if state == "ringing" else "call_answered", attempt)
    before = await world.state_of("1")
    await world.says(**BY[by])
    assert await world.state_of("1") == before, "it is up, whatever is asked"
    assert await world.backend_status() == "do_not_call"
    await world.event("call_answered", attempt)
    assert await world.backend_status() == "do_not_call"
    assert await world.event(ending, attempt, **ENDINGS[ending]) == "ended"
    await world.is_out()


@pytest.mark.parametrize("state", ["reserved", "sent", "ringing", "answered", "ended"])
async def test_only_a_call_that_may_ring_is_to_be_hung_up(world: DncWorld, state: str) -> None:
    await world.open_with(HERS)
    attempt = await world.reserve() if state == "reserved" else await world.place_one()
    if state == "ringing":
        await world.event("call_ringing", attempt)
    if state == "answered":
        await world.event("call_answered", attempt)
    if state == "ended":
        await world.event("call_failed", attempt, disposition="busy")
    for _ in range(2):
        await world.says(phone_number=HERS)
    rows: Any = await world.client.xrange(world.keys.hangups)
    asked = [fields for _, fields in rows]
    wanted = {"attempt_id": attempt.id, "reason": "do_not_call"}
    assert asked == ([wanted] if state in ("sent", "ringing") else [])


async def test_a_call_that_the_api_did_not_place_is_not_placed_again(world: DncWorld) -> None:
    await world.open_with(HERS)
    attempt = await world.place_one()
    await world.says(phone_number=HERS)
    await world.settle(attempt, "not_placed", "", 0)
    await world.is_out()


async def test_a_call_without_events_ends_as_do_not_call(world: DncWorld) -> None:
    await world.open_with(HERS, "+573001234568")
    silent, speaking = await world.place_one(), await world.place_one()
    await world.says(phone_number=HERS)
    await world.event("call_ringing", speaking)
    await world.pass_deadlines(silent.contact, speaking.contact)
    swept = await world.sweep()
    assert swept.no_event >= 1
    assert silent.contact == "1"
    await world.is_out()


@pytest.mark.parametrize("by", BY)
async def test_a_final_contact_becomes_do_not_call(world: DncWorld, by: str) -> None:
    await world.open_with(HERS)
    attempt = await world.place_one()
    await world.event("call_completed", attempt)
    assert await world.backend_status() == "completed"
    await world.says(**BY[by])
    await world.is_out()


async def test_late_news_of_a_suppressed_contact_does_not_bring_it_back(world: DncWorld) -> None:
    await world.open_with(HERS)
    attempt = await world.place_one()
    await world.event("call_failed", attempt, disposition="no_answer")
    await world.says(phone_number=HERS)
    assert await world.event("call_completed", attempt) in ("applied", "ended")
    await world.is_out()


@pytest.mark.parametrize("state", ["ready", "reserved"])
async def test_a_number_that_only_the_list_has_is_refused_by_claim_and_by_begin(
    world: DncWorld, state: str
) -> None:
    await world.open_with("300 1234567")
    if state == "reserved":
        attempt = await world.reserve()
        await world.lists()
        assert await world.mark_sent(attempt) == "do_not_call"
        assert await world.mark_sent(attempt) == "stale", "asked again, nothing is sent either"
    else:
        await world.lists()
        claimed = await world.claim()
        assert (claimed.dialed, claimed.skipped) == (0, {"do_not_call": 1})
    await world.is_out()


async def test_do_not_call_comes_before_attempts_used_up(world: DncWorld) -> None:
    await world.open_with(HERS)
    await world.lists()
    world.max_attempts = 0
    assert (await world.claim()).skipped == {"do_not_call": 1}


async def test_a_request_is_not_sent_again_once_its_number_is_listed(services: Services) -> None:
    limits = msgspec.structs.replace(services.campaigns._limits, is_idempotent=True)
    again = type(services.campaigns)(services.scripts, services.keys, limits)
    world = DncWorld(services)
    await world.open_with(HERS)
    attempt = await world.place_one()
    assert (await again.mark_sent(attempt, "second", "")).status == "again"
    await world.lists()
    assert (await again.mark_sent(attempt, "third", "")).status == "sent"


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_listed_number_is_refused_when_it_is_loaded_however_it_is_spelled(
    world: DncWorld, spelling: str
) -> None:
    await world.says(phone_number=HERS)
    await world.open_campaign(contacts=0, agents=1)
    row = load_row(Contact(id=1, phone_number=spelling), country="CO")
    loaded = await world.load("1", row)
    assert (loaded.added, loaded.refused) == (0, {"do_not_call": 1})
    await world.is_out()


async def test_two_campaigns_lose_one_number_in_two_spellings_at_once(services: Services) -> None:
    class TwoCampaigns(DncWorld):
        def others(self, campaign: str) -> dict[str, float]:
            return {"2" if campaign == "1" else "1": 1.0}

    world = TwoCampaigns(services)
    await world.open_with("+57 300 1234567", "+573009999999")
    await world.open_with("+573000000000", "300-123-4567", campaign="2")
    await world.says(campaign_id="2", contact_id="2")
    assert await world.backend_status("1", "1") == await world.backend_status("2", "2") == "do_not_call"
    assert await world.state_of("1", "1") == await world.state_of("2", "2") == "final"
    assert await world.state_of("2", "1") == await world.state_of("1", "2") == "ready"


async def test_where_no_country_is_known_numbers_are_compared_by_their_digits(world: DncWorld) -> None:
    await world.open_with("300 123-4567", "300 123-4568", country="")
    await world.says(phone_number="(300) 1234567")
    assert [await world.state_of(contact) for contact in "12"] == ["final", "ready"]
    assert (await world.numbers()) == {"3001234567": "1:1", "3001234568": "1:2"}


async def test_a_local_spelling_on_the_list_means_contacts_with_that_spelling(world: DncWorld) -> None:
    await world.open_with("300 123-4567", country="CO")
    await world.services.suppression.suppress([Number("3001234567")], "import")
    await world.is_out()


async def test_a_contact_that_is_not_known_yet_is_refused_when_it_comes_and_its_number_listed(
    world: DncWorld,
) -> None:
    await world.open_with()
    await world.says(campaign_id="1", contact_id="1", reason="letter")
    assert await world.backend_status() == "do_not_call", "the backend may know who it is"
    await world.load("1", load_row(Contact(id=1, phone_number=HERS)))
    await world.is_out()
    [found] = await world.services.suppression.check([read_number(HERS)])
    assert found is not None
    assert (found.number, found.why) == ("+573001234567", "event letter")
    assert await world.client.exists(world.keys.pending_dnc("1")) == 0


async def test_a_request_for_an_unknown_campaign_waits_for_it(world: DncWorld) -> None:
    await world.says(campaign_id="1", contact_id="1")
    assert [key async for key in world.client.scan_iter("sd:c:*")] == ["sd:c:1:pending_dnc"]
    await world.open_with(HERS)
    await world.is_out()
    assert await world.is_listed()


@pytest.mark.parametrize("more", [{"do_not_call": True}, {"status": "do_not_call"}])
async def test_the_backends_own_mark_counts_for_the_contact(world: DncWorld, more: dict[str, Any]) -> None:
    await world.open_with(HERS, **more)
    await world.is_out()
    assert not await world.is_listed(), "it says nothing of others with this number"


async def test_a_mark_that_comes_while_the_contact_is_in_the_line_takes_it_out(world: DncWorld) -> None:
    await world.open_with(HERS)
    await world.load("1", load_row(Contact(id=1, phone_number=HERS, do_not_call=True)))
    await world.is_out()


async def test_whose_call_was_forgotten_and_must_not_be_called_ends_so(world: DncWorld) -> None:
    await world.open_with()
    await world.says(phone_number=HERS)
    await world.client.hset(world.keys.server, mapping={"rebuild_epoch": "mark", "lost": "1"})
    row = in_flight_row(Contact(id=1, phone_number=HERS, status="dialing", attempts=1))
    assert await world.services.memory.hold_in_flight("1", [row], world.retry) == 1
    await world.event("call_failed", Attempt("1:1:1:m", "1", "1", ""), disposition="busy")
    assert await world.state_of("1") == "final"
    assert await world.backend_status() == "do_not_call"


async def test_a_forgotten_call_to_a_listed_number_ends_as_do_not_call(world: DncWorld) -> None:
    await world.open_with()
    await world.says(phone_number=HERS)
    seconds, _ = await world.client.time()
    await world.client.hset(
        world.keys.server, mapping={"rebuild_epoch": "mark", "lost": str(seconds * 1000 - 1000)}
    )
    attempt, row = Attempt("1:1:1:m", "1", "1", ""), load_row(Contact(id=1, phone_number=HERS))
    lost = LostCall(row, False, world.retry, world.caps)
    assert await world.event("call_answered", attempt, lost=lost) == "applied"
    assert await world.state_of("1") == "connected"
    assert await world.numbers() == {"573001234567": "1:1"}
    await world.event("call_completed", attempt)
    assert await world.backend_status() == "do_not_call"


async def test_a_call_the_backend_shows_as_over_is_forgotten_with_its_number(world: DncWorld) -> None:
    await world.open_with(HERS)
    await world.place_one()
    await world.client.delete(world.keys.outbox("1"))
    await world.client.hset(world.keys.server, mapping={"rebuild_epoch": "mark", "lost": "4000000000000"})
    await world.services.memory.drop_reloadable("1")
    assert await world.services.memory.mark_rebuilt("1", "mark")
    assert await world.client.hlen(world.keys.records("1")) == 0
    assert await world.numbers() == {}


async def test_a_place_that_becomes_free_goes_to_another_contact_at_once(world: DncWorld) -> None:
    await world.open_with(HERS)
    await world.claim(level=1)
    wakes = WakeupScheduler(world.services)
    event = DoNotCallEvent(type="do_not_call", phone_number=HERS)
    async with running(wakes):
        await add_to_dnc(event, world.services, wakes)
        await eventually(lambda: world.client.xlen(world.keys.stream("ticks")))


async def test_what_is_taken_from_the_list_may_be_loaded_but_stays_final(world: DncWorld) -> None:
    await world.open_with(HERS)
    await world.says(campaign_id="1", contact_id="1")
    await world.services.suppression.remove([read_number(HERS)])
    await world.load("1", load_row(Contact(id=1, phone_number=HERS)))
    await world.is_out()
    assert (await world.load("1", load_row(Contact(id=2, phone_number=HERS)))).added == 1
    assert (await world.claim()).dialed == 1


async def test_everything_done_twice_is_as_done_once(world: DncWorld) -> None:
    await world.open_with(HERS)
    seen = []
    for reason in ("first", "second"):
        await world.says(phone_number=HERS, reason=reason)
        await world.says(campaign_id="1", contact_id="1", reason=reason)
        await world.says(campaign_id="1", contact_id="7", reason=reason)
        entries = [one async for one in world.services.suppression.entries()]
        seen.append(
            (await world.record("1"), await world.backend_doc("1"), await world.backend_doc("7"), entries)
        )
    assert seen[0] == seen[1]
    [listing] = seen[0][3]
    assert listing.why == "event first"


async def test_who_asks_first_and_who_ends_first_makes_no_difference(world: DncWorld) -> None:
    async def ask() -> None:
        await world.says(phone_number=HERS)

    steps: list[Callable[[Attempt, str], Awaitable[Any]]] = [
        lambda attempt, entry: ask(),
        lambda attempt, entry: world.event("call_answered", attempt, entry=entry),
        lambda attempt, entry: world.event("call_failed", attempt, entry=entry, disposition="busy"),
        lambda attempt, entry: world.settle(attempt, "placed"),
    ]
    ends = []
    for order in itertools.permutations(range(len(steps))):
        await world.client.flushall()
        await world.client.hset(
            "sd:server", mapping={"rebuild_epoch": "", "hold_until": "0", "run": await run_id(world)}
        )
        await world.open_with(HERS)
        attempt = await world.place_one()
        entries = [await world.write_entry() for _ in steps]
        for at in order:
            await steps[at](attempt, entries[at])
        await world.is_out()
        record = await world.record("1")
        ends.append((record["p"], record["a"], record["dnc"], record["h"][0]["s"], record["h"][0]["d"]))
    assert set(ends) == {("final", 1, True, "ended", "completed")}


async def run_id(world: DncWorld) -> str:
    return str((await world.client.info("server"))["run_id"])


async def test_the_index_of_numbers_forgets_the_contacts_that_the_ledger_forgets(world: DncWorld) -> None:
    await world.open_with(HERS, HERS, "+573001234568", "none")
    assert await world.numbers() == {"573001234567": "1:1 1:2", "573001234568": "1:3"}
    attempt = await world.place_one()
    await world.event("call_completed", attempt)
    await world.client.delete(world.keys.outbox("1"))  # the backend knows it
    await world.client.zadd(world.keys.final("1"), {"1": 1})
    await world.sweep()
    assert await world.numbers() == {"573001234567": "1:2", "573001234568": "1:3"}
    await world.client.hset(world.keys.server, mapping={"rebuild_epoch": "mark", "lost": "1"})
    await world.services.memory.drop_reloadable("1")
    assert await world.numbers() == {}
    await world.services.memory.mark_rebuilt("1", "mark")
    await world.load("1", load_row(Contact(id=5, phone_number=HERS)))
    await world.says(campaign_id="1", contact_id="99")
    await world.client.hset("campaign:1", "status", "cancelled")
    await world.client.delete(world.keys.outbox("1"))
    assert await world.services.campaigns.delete("1", "sales") == "ok"
    assert await world.numbers() == {}
    assert [key async for key in world.client.scan_iter("sd:c:*") if "answer" not in key] == []


@pytest.mark.parametrize(
    "fields", [{}, {"contact_id": "1"}, {"campaign_id": "1"}, {"phone_number": ""}, {"phone_number": ["+57"]}]
)
async def test_an_event_without_contact_and_number_is_refused(fields: dict[str, Any]) -> None:
    data = msgspec.json.encode(fields).decode()
    with pytest.raises(BadEntry):
        read_event(Entry("1-0", {"type": "do_not_call", "data": data}))


@pytest.mark.parametrize("number", ["nobody", "+999 123456789", "+57"])
async def test_a_number_that_is_none_goes_to_the_dead_letters(world: DncWorld, number: str) -> None:
    with pytest.raises(BadEntry, match="number"):
        await world.says(phone_number=number)
    await world.open_with(HERS)
    await world.says(phone_number=number, campaign_id="1", contact_id="1")
    await world.is_out()


@pytest.mark.parametrize("spelled", ["+57 300 7654321", "300 7654321"])
async def test_a_request_is_not_repeated_to_the_number_of_a_callback_that_is_listed(
    services: Services, spelled: str
) -> None:
    await services.client.hset("sd:c:1:totals", "country", "CO")
    call = Call(id=1, phone_number=spelled, n=[HERS])
    stage, attempt = CallsStage(services), Attempt("1:1:1:m", "1", "1", "t")
    assert await stage._may_repeat(attempt, call)
    await services.suppression.suppress([read_number("+573007654321")], "event")
    assert not await stage._may_repeat(attempt, call)


@pytest.mark.parametrize("kind", ["call_completed", "call_failed"])
async def test_what_was_said_on_the_phone_holds_for_every_campaign(services: Services, kind: str) -> None:
    class TwoCampaigns(DncWorld):
        def others(self, campaign: str) -> dict[str, float]:
            return {"2" if campaign == "1" else "1": 1.0}

    world = TwoCampaigns(services)
    await world.open_with(HERS)
    await world.open_with("300-123-4567", campaign="2")
    assert (await world.claim("1", 1, others=world.others("1"))).dialed == 1
    attempt = (await world.reserved_calls())[0]
    assert await world.mark_sent(attempt) == "ok"
    said = {"type": kind, "campaign_id": "1", "contact_id": "1", "disposition": "do_not_call"}
    stage, entry = EventsStage(services, WakeupScheduler(services)), await world.write_entry()
    for _ in range(2):
        await stage.handle(Entry(entry, said))
    assert await world.is_listed()
    await world.is_out("1", "1")
    await world.is_out("1", "2")
