"""Callbacks for absent agents stand aside in any number, and come first when their agent is free."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from streamdialer.consumers.dialing.contact_rows import load_row
from streamdialer.ledger.types import ClaimResult
from streamdialer.model import CampaignSettings, Contact
from streamdialer.rules.calling_hours import calling_hours
from tests.support.callbacks import AGENT_WINDOW_S, ask, ask_many, end_agent_window, newest_call
from tests.support.claims import claim_within_hours
from tests.support.ledger_fixture import LedgerWorld
from tests.support.zones import NAMES


@pytest.mark.long
async def test_any_number_of_callbacks_for_absent_agents_does_not_stop_the_line(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1203, agents=4)
    await ask_many(world, range(1, 1201), agent="9")
    claimed = await world.claim(level=2)
    assert (claimed.dialed, claimed.next_ms) == (0, 0), "it looks further at once"
    while (claimed := await world.claim(level=2)).next_ms is not None:
        assert claimed.dialed == 0
    assert (claimed.dialed, claimed.skipped) == (2, {"agent_not_free": 1200})
    assert {attempt.contact for attempt in await world.reserved_calls()} == {"1201", "1202"}
    assert await world.state_of("7") == "ready"
    assert (await world.claim(level=3)).dialed == 1, "they are not checked again"
    await world.check_invariants()


async def test_callbacks_that_stand_aside_come_first_once_their_agent_is_free(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=8, agents=2)
    await ask_many(world, range(1, 4), agent="9")
    await ask_many(world, range(4, 6), agent="10")
    assert (await world.claim(level=1)).skipped == {"agent_not_free": 5}
    await world.agent_comes_free("10")
    assert (await world.claim(level=2)).dialed == 1
    call = await newest_call(world)
    assert (call["contact"], call["agent"]) == ("4", "10"), "the one that was due first"
    assert (await world.claim(level=3)).dialed == 1
    assert "agent" not in await newest_call(world), "one callback at a time for each agent"
    await world.check_invariants()


async def test_what_stands_aside_is_anyones_after_the_grace(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2, agents=2)
    await ask(world, "2", -60, agent="9")
    await world.sweep()
    assert (await world.claim(level=1)).skipped == {"agent_not_free": 1}
    await end_agent_window(world, "2")
    await world.claim(level=2)
    call = await newest_call(world)
    assert (call["contact"], call.get("agent")) == ("2", None)
    assert not await world.client.exists("sd:c:1:agent_callbacks")


async def test_callbacks_that_stand_aside_can_move_be_suppressed_or_loaded_again(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=4, agents=2)
    await ask_many(world, range(1, 4), agent="9")
    await world.claim(level=1)
    await ask(world, "1", -1, agent="8")
    await world.services.suppression.suppress_contact("1", "2", "event")
    await world.services.campaigns.load("1", [world.row("3", 9)], 3)
    await world.claim(level=1)
    for agent in ("9", "8"):
        await world.agent_comes_free(agent)
    assert (await world.claim(level=4)).dialed == 2
    calls: Any = await world.client.xrange("dialer:calls")
    assert {(fields["contact"], fields.get("agent")) for _, fields in calls[-2:]} == {("3", "9"), ("1", "8")}
    await world.check_invariants()


async def test_a_callback_whose_grace_is_over_leaves_those_that_stand_aside(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=3, agents=2)
    await ask_many(world, range(1, 3), agent="9")
    await world.claim(level=1)
    assert await world.client.zcard("sd:c:1:agent_callbacks") == 2
    record = await world.record("1")
    record["cb"]["gr"] -= AGENT_WINDOW_S * 1000
    await world.client.hset("sd:c:1:records", "1", msgspec.json.encode(record))
    await world.client.zincrby("sd:c:1:ready", -AGENT_WINDOW_S * 1000, "1")
    assert (await world.claim(level=2)).dialed == 1
    assert [
        str(name).rpartition(":")[2] for name in await world.client.zrange("sd:c:1:agent_callbacks", 0, -1)
    ] == ["2"]


async def test_one_that_stands_aside_is_counted_once_however_often_a_tick_claims(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=0, agents=2)
    now = (await world.claim(level=0)).server_ms
    hours = calling_hours(CampaignSettings(queue_name="q", rule_pack="us"), "UTC", now)

    async def claim(level: int) -> ClaimResult:
        wanted = world.claim_request(str(level), level, 2)
        return await claim_within_hours(world.services, "1", "sales", wanted, hours, now)

    day = next(name for name in NAMES.split() if 10 <= datetime.now(ZoneInfo(name)).hour < 18)
    for at in range(1, 3):
        row = load_row(Contact(id=at, phone_number=f"+57300123456{at}", timezone=day))
        await world.services.campaigns.load("1", [row], 3)
        if at == 1:
            await ask(world, "1", -60, agent="9")
        claimed = await claim(at)
        assert claimed.skipped == {"agent_not_free": 1}
    assert claimed.dialed == 1


@pytest.mark.long
async def test_more_than_one_batch_of_callbacks_is_for_any_agent_after_the_grace(world: LedgerWorld) -> None:
    """Agents who come at that moment find callbacks that are no longer theirs, and remove them."""
    agents = [f"a{number}" for number in range(120)]
    await world.open_campaign(contacts=1800, agents=2)
    for number in range(1, 1801):
        await ask(world, str(number), -60, agent=agents[number % 120])
    await world.sweep()
    while (await world.claim(level=1)).next_ms is not None:
        pass
    records: Any = await world.client.hgetall("sd:c:1:records")
    for contact, raw in records.items():
        record = msgspec.json.decode(raw)
        record["cb"]["gr"] -= AGENT_WINDOW_S * 1000
        await world.client.hset("sd:c:1:records", contact, msgspec.json.encode(record))
        await world.client.zincrby("sd:c:1:ready", -AGENT_WINDOW_S * 1000, contact)
    for agent in agents:
        await world.agent_comes_free(agent)
    for level in range(1, 6):
        await world.claim(level=level)
    assert await world.client.zcount("sd:c:1:ready", 2**47, "+inf") == 0


async def test_two_campaigns_do_not_call_for_one_agent_at_once(world: LedgerWorld) -> None:
    await world.open_campaign("1", contacts=1, agents=2)
    await world.open_campaign("2", contacts=1, first=11)
    await ask(world, "1", -1, agent="2")
    await ask(world, "11", -1, campaign="2", agent="2")
    assert (await world.claim("1", level=2, others={"2": 1.0})).dialed == 1
    assert (await world.claim("2", level=2, others={"1": 1.0})).dialed == 0
    call = (await world.reserved_calls())[0]
    assert await world.mark_sent(call) == "ok"
    assert (await world.claim("2", level=2, others={"1": 1.0})).dialed == 0
    await world.event("call_failed", call, disposition="busy")
    assert (await world.claim("2", level=2, others={"1": 1.0})).dialed == 1
    await world.check_invariants("1", "2")


async def test_an_answered_call_holds_its_agent_no_more(world: LedgerWorld) -> None:
    """It has made the agent busy, and an event frees them, whether or not the call's own end has come."""
    await world.open_campaign(contacts=2, agents=2)
    await ask_many(world, range(1, 3), agent="2")
    await world.event("call_answered", await world.place_one())
    assert not await world.client.exists(world.keys.calls_up)
    assert (await world.claim(level=2)).dialed == 0, "the agent talks"
    await world.agent_comes_free("2")
    assert (await world.claim(level=2)).dialed == 1
    await world.check_invariants()
