"""Callbacks and requests not to be called of contacts the ledger does not know (any more)."""

from __future__ import annotations

import pytest

from streamdialer.consumers.dialing.contact_rows import load_row
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.model import Attempt, Contact
from streamdialer.rules.numbers import read_number
from tests.support.callbacks import HOUR_S, ask, pass_by
from tests.support.ledger_fixture import LedgerWorld
from tests.support.ledger_invariants import check_ledger


@pytest.mark.parametrize("is_listed_first", [True, False])
async def test_a_callback_at_a_do_not_call_number_leaves_the_line_at_once(
    world: LedgerWorld, is_listed_first: bool
) -> None:
    await world.open_campaign(contacts=1)
    number = read_number("+573001234567")
    if is_listed_first:
        await world.services.suppression.suppress([number], "by hand")
    noted = await ask(world, "1", HOUR_S, number=str(number))
    assert noted == ("final" if is_listed_first else "applied")
    if not is_listed_first:
        assert await world.state_of("1") == "deferred"
        await world.services.suppression.suppress([number], "by hand")
    assert await world.state_of("1") == "final"
    assert await world.backend_status("1") == "do_not_call"
    await world.check_invariants()


async def test_the_number_of_a_callback_that_was_postponed_is_forgotten(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1)
    for number in ("+573001234567", "+573001234568"):
        await ask(world, "1", HOUR_S, number=number)
    assert await world.client.zrange("sd:contacts_by_number", 0, -1) == ["573001234568 1:1"]
    await world.services.suppression.suppress([read_number("+573001234567")], "by hand")
    assert await world.state_of("1") == "deferred"


async def test_a_contact_only_the_backend_knows_is_called_back(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0, agents=1)
    row = world.row("7", attempts=3)
    assert await ask(world, "7", HOUR_S) == "unknown_contact"
    assert await ask(world, "7", HOUR_S, row=row) == "applied"
    assert (await world.state_of("7"), await world.backend_status("7")) == ("deferred", "callback")
    await pass_by(world, "7")
    attempt = await world.place_one()
    assert attempt.id.startswith("1:7:4:")
    await world.event("call_completed", attempt)
    assert await world.state_of("7") == "final"
    await check_ledger(world.client, world.keys, ["1"])


@pytest.mark.parametrize("why", ["marked", "listed", "asked"])
async def test_a_contact_only_the_backend_knows_is_not_called_after_dnc(world: LedgerWorld, why: str) -> None:
    await world.open_campaign(contacts=0)
    suppression = world.services.suppression
    if why == "listed":
        await suppression.suppress([read_number("+573001234567")], "by hand")
    if why == "asked":
        await suppression.suppress_contact("1", "7", "event")
    row = load_row(Contact(id=7, phone_number="+573001234567", do_not_call=why == "marked"))
    entry = await world.write_entry()
    assert await ask(world, "7", HOUR_S, row=row, entry=entry) == "final"
    assert await ask(world, "7", HOUR_S, entry=entry) == "final"
    assert (await world.state_of("7"), await world.backend_status("7")) == ("final", "do_not_call")
    await world.check_invariants()


async def test_the_number_of_its_next_call_is_none_the_backend_has_counted(world: LedgerWorld) -> None:
    """After a data loss the backend says how many attempts came before the call whose event comes."""
    await world.client.flushall()
    answered = Attempt("1:7:3:m", "1", "7", "")
    shown = world.shown("7", attempts=3, is_in_call=True)
    assert await world.event("call_answered", answered, lost=shown) == "applied"
    await mark_server_trusted(world.client, world.keys)
    await world.open_campaign(contacts=0)
    await world.set_agents(1)
    assert await ask(world, "7", -60) == "applied"
    await world.event("call_completed", answered)
    assert await world.state_of("7") == "ready"
    await world.services.campaigns.load("1", [world.row("7", attempts=3)], 3)  # it is looked up
    assert (await world.place_one()).id.startswith("1:7:4:")
