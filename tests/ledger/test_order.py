"""Which contact a campaign calls first, and which stale ones a claim skips."""

from __future__ import annotations

import msgspec

from streamdialer.consumers.dialing.contact_rows import load_row
from streamdialer.ledger.campaigns import LOAD_PART
from streamdialer.model import Contact
from streamdialer.rules.numbers import read_number
from tests.support.ledger_fixture import LedgerWorld


async def ready_order(world: LedgerWorld) -> list[str]:
    return [str(contact) for contact in await world.client.zrange(world.keys.ready("1"), 0, -1)]


# ---- order ----


async def test_a_contact_whose_priority_changes_moves_and_keeps_its_age(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=4)
    load = world.services.campaigns.load
    await load("1", [world.row("4", 9), world.row("2", 1)], 3)
    assert await ready_order(world) == ["4", "1", "3", "2"]
    await load("1", [world.row("4"), world.row("2")], 3)
    assert await ready_order(world) == ["1", "2", "3", "4"], "as if nothing had happened"
    await world.check_invariants()


async def test_a_long_page_is_loaded_in_parts_and_in_its_order(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0)
    rows = [world.row(str(number)) for number in range(2 * LOAD_PART, -1, -1)]
    rows[7] = msgspec.structs.replace(rows[7], problem="no_phone_number")
    await world.services.campaigns.load("1", rows[:1], 3)  # the server knows the script from now on
    await world.client.config_resetstat()
    loaded = await world.services.campaigns.load("1", rows, 3)
    assert (loaded.known, loaded.added, loaded.invalid) == (1, 2 * LOAD_PART - 1, 1)
    assert (await world.client.info("commandstats"))["cmdstat_evalsha"]["calls"] == 3
    assert await ready_order(world) == [row.contact for row in rows if not row.problem]
    assert (await world.services.campaigns.load("1", rows, 3)).known == len(rows)


async def test_a_number_corrected_in_the_backend_is_the_one_that_is_called(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0, agents=2)
    load = world.services.campaigns.load
    wrong, right = (
        load_row(Contact(id=1, phone_number=number)) for number in ("+573001234567", "+573001234568")
    )
    await load("1", [wrong], 3)
    await load("1", [right], 3)
    assert await world.client.zrange(world.keys.contacts_by_number, 0, -1) == ["573001234568 1:1"]
    attempt = await world.reserve()
    assert attempt.contact == "1"
    assert "+573001234568" in str(await world.client.xrange(world.keys.stream("calls")))
    await load("1", [wrong], 3)
    assert await world.client.zrange(world.keys.contacts_by_number, 0, -1) == ["573001234568 1:1"], (
        "a contact that is being called does not change"
    )


async def test_a_number_corrected_to_one_that_must_not_be_called_leaves_the_line(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0)
    await world.services.suppression.suppress([read_number("+573001234568")], "by hand")
    load = world.services.campaigns.load
    await load("1", [load_row(Contact(id=1, phone_number="+573001234567"))], 3)
    await load("1", [load_row(Contact(id=2, phone_number="+573001234567"))], 3)
    await load("1", [load_row(Contact(id=1, phone_number="+573001234568"))], 3)
    await load("1", [load_row(Contact(id=2, phone_number="unknown"))], 3)
    assert await ready_order(world) == []
    assert await world.backend_status("1") == "do_not_call"
    assert await world.backend_status("2") == "invalid"


async def test_a_waiting_contact_takes_the_new_priority_when_due(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    await world.event("call_failed", await world.place_one(), disposition="busy")
    await world.services.campaigns.load("1", [world.row("1", 8), world.row("2", 7), world.row("3", 9)], 3)
    assert await world.state_of("1") == "deferred"
    await world.age(301)
    await world.sweep()
    assert await ready_order(world) == ["3", "1", "2"]


async def test_within_one_priority_a_due_contact_comes_after_an_older_one(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2, agents=1)
    await world.event("call_failed", await world.place_one(), disposition="busy")
    await world.age(301)
    await world.sweep()
    assert set(await ready_order(world)) == {"1", "2"}
    assert (await world.record("1"))["o"] < (await world.record("2"))["o"], "it was due before 2 was loaded"


# ---- staleness, in the ledger ----


async def test_a_stale_contact_is_skipped_and_named_and_the_next_is_dialed(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=3, agents=1)
    await world.make_stale("1")
    claimed = await world.claim()
    assert (claimed.dialed, claimed.stale, claimed.skipped) == (1, ["1"], {"needs_verification": 1})
    assert [attempt.contact for attempt in await world.reserved_calls()] == ["2"]
    assert await world.state_of("1") == "ready"
    await world.check_invariants()


async def test_a_contact_that_the_backend_shows_again_is_dialed(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    await world.make_stale("1")
    assert (await world.claim()).dialed == 0
    due_for_retry = msgspec.structs.replace(world.row("1"), reset=True)
    await world.services.campaigns.load("1", [due_for_retry], 3)
    assert (await world.claim()).dialed == 0, "it was not shown as pending"
    await world.services.campaigns.load("1", [world.row("1")], 3)
    assert (await world.claim()).dialed == 1


async def test_a_removed_contact_leaves_the_line_and_the_backend_gets_no_update(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2)
    await world.make_stale("1", "2")
    claimed = await world.claim(level=0)
    drop = world.services.backlog.remove_missing
    assert await drop("1", claimed.ledger_ms, ["1"]) == 1
    assert await drop("1", claimed.ledger_ms, ["1"]) == 1, "a lost reply is asked for again"
    assert (await world.state_of("1"), await world.state_of("2")) == ("final", "ready")
    assert await world.backend_status("1") is None
    assert await world.services.outbox.acknowledge("1", "1", "late deliverer", 1) == "lost"
    assert await world.backend_status("1") is None, "what the backend shows is its own"
    await world.services.campaigns.load("1", [world.row("1")], 3)
    assert await world.state_of("1") == "final", "a page read before"
    await world.age(601)
    assert (await world.sweep()).forgotten == 1
    await world.check_invariants()


async def test_contacts_listed_or_updated_since_then_are_kept(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2, agents=2)
    asked = (await world.claim(level=0)).ledger_ms
    await world.services.campaigns.load("1", [world.row("2")], 3)
    assert await world.services.backlog.remove_missing("1", asked, ["2"]) == 0
    await world.settle(await world.place_one(), "not_placed")
    await world.make_stale("1")
    claimed = await world.claim(level=2)
    assert (claimed.stale, claimed.skipped) == ([], {"needs_verification": 1}), (
        "the backend's view is old, not ours"
    )
    assert await world.services.backlog.remove_missing("1", claimed.ledger_ms, ["1"]) == 0
    assert await world.state_of("1") == "ready"


async def test_a_put_back_contact_has_not_been_seen_again(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    before = (await world.record("1"))["sn"]
    await world.claim()
    attempt = (await world.reserved_calls())[0]
    await world.client.hset("campaign:1", "status", "paused")
    assert await world.mark_sent(attempt) == "not_active"
    assert (await world.record("1"))["sn"] == before


# ---- staleness, with a backend ----
