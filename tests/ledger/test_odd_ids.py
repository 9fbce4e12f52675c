"""Ids of any form: a contact, an agent and a campaign keep theirs from the list to the call and its events."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from streamdialer.broker.entries import Entry
from streamdialer.consumers.calls import Call, CallsStage, read_call
from streamdialer.consumers.dialing.contact_rows import load_row
from streamdialer.consumers.event_entry import read_event
from streamdialer.consumers.services import Services
from streamdialer.gateways.dialer_api import DialerAPI
from streamdialer.gateways.originate_reply import Reply
from streamdialer.gateways.originate_request import OriginateRequest
from streamdialer.model import Attempt, CallEvent, Contact, PreviewEvent, normalise_id, plain_id
from tests.support.callbacks import ask, newest_call
from tests.support.ledger_fixture import LedgerWorld
from tests.support.preview_fixture import PREVIEW_LIMITS

IDS: Final[list[int | str]] = [
    *(
        "ana.lopez+vip@correo.co",
        "00Q/5f",
        "LEAD:123",
        "12 34",
        "Ñandú-7",
        "x" * 80,
        0,
        -5,
        "{a}",
        "a#b",
        "007",
        "%2F",
    ),
    *(9007199254740993, "1890123456789012347", "a\\b", "*", "1:1", "名前"),
]
CAMPAIGN: Final = "North/2026 a"


@pytest.fixture
def world(services: Services) -> LedgerWorld:
    return LedgerWorld(services)


async def load(world: LedgerWorld, campaign: str, ids: list[int | str]) -> None:
    await world.open_campaign(campaign, contacts=0, agents=len(ids))
    contacts = [Contact(id=id_, phone_number=f"+5730012345{at:02}") for at, id_ in enumerate(ids)]
    rows = [load_row(contact, for_preview=True) for contact in contacts]
    assert (await world.services.campaigns.load(campaign, rows, 3)).added == len(ids)


async def test_every_contact_is_called_under_the_id_it_came_with(world: LedgerWorld) -> None:
    campaign = normalise_id(CAMPAIGN)
    await load(world, campaign, IDS)
    assert (await world.claim(campaign)).dialed == len(IDS)
    entries: Any = await world.client.xrange("dialer:calls")
    called = []
    for entry, fields in entries:
        attempt, call, _ = read_call(Entry(entry, fields))
        assert attempt.id.isascii()
        assert await world.mark_sent(attempt) == "ok"
        data = json.dumps({"campaign_id": CAMPAIGN, "contact_id": call.id})
        for kind in ("call_answered", "call_completed"):
            event = read_event(Entry("1-1", {"type": kind, "data": data}))
            assert isinstance(event, CallEvent)
            assert (event.campaign_id, event.contact_id) == (attempt.campaign, attempt.contact)
        assert await world.event("call_answered", attempt) == "applied"
        assert await world.event("call_completed", attempt) == "ended"
        called.append(call.id)
    assert called == IDS
    assert [type(id_) for id_ in called] == [type(id_) for id_ in IDS]
    assert (await world.client.hgetall(f"campaign:{CAMPAIGN}"))["total_calls"] == str(len(IDS))
    await world.check_invariants(campaign)


async def test_a_call_carries_its_attempt_its_agent_and_the_contacts_own_data(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[OriginateRequest] = []

    async def originate(self: DialerAPI, request: OriginateRequest) -> Reply:
        requests.append(request)
        return Reply(verdict="placed")

    monkeypatch.setattr(DialerAPI, "originate", originate)
    stage, attempt = CallsStage(services), Attempt("1:1:1:m", "1", "1", "t")
    of_preview = Call(id="1", phone_number="+573001234567", custom_data={"name": "Ana"}, agent="PJSIP%2F1001")
    of_others = Call(id=1, campaign_id="1", phone_number="+573001234567", variables={"name": "Ana"})
    for call in (of_preview, of_others):
        await stage._originate(attempt, call, may_be_up=False)
    assert [request.variables for request in requests] == [
        {"name": "Ana", "AGENT_ID": "PJSIP/1001"},
        {"name": "Ana"},
    ]
    assert [(each.campaign_wire_id, each.contact_wire_id) for each in requests] == [
        (None, "1"),
        ("1", 1),
    ]


@pytest.mark.parametrize("agent", ["PJSIP/1001", "Ana María", "0042", "a:b"])
async def test_an_agent_gets_the_callback_asked_for_under_any_id(world: LedgerWorld, agent: str) -> None:
    await load(world, "1", ["LEAD:1"])
    [contact, internal] = [normalise_id(each) for each in ("LEAD:1", agent)]
    assert await ask(world, contact, -10, agent=internal) == "applied"
    assert (await world.claim()).dialed == 0, "it waits for its agent"
    await world.agent_comes_free(internal)
    assert (await world.claim()).dialed == 1
    call = await newest_call(world)
    assert plain_id(call["agent"]) == agent
    await world.check_invariants()


async def test_agents_read_the_ids_that_their_programs_know(world: LedgerWorld) -> None:
    await load(world, "1", ["00Q/5f"])
    event = PreviewEvent(type="preview_requested", campaign_id="1", agent_id=normalise_id("PJSIP/1001"))
    assert await world.services.previews.offer(event, await world.write_entry(), PREVIEW_LIMITS) == "00Q%2F5f"
    entries: Any = await world.client.xrange("dialer:previews")
    told = entries[0][1]
    assert (told["agent_id"], told["contact_id"]) == ("PJSIP/1001", "00Q/5f")


async def test_a_tick_names_the_campaign_as_its_program_does(world: LedgerWorld) -> None:
    campaign = normalise_id(CAMPAIGN)
    await load(world, campaign, [1])
    await world.services.ticks.enqueue("dial", [campaign])
    entries: Any = await world.client.xrange("dialer:ticks")
    tick = entries[0][1]
    assert normalise_id(tick["campaign_id"]) == campaign
    assert tick["campaign_id"] == CAMPAIGN
