"""`contact show`: a contact's state, how its calls ended, when it may be called next and why."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from anyio.to_thread import run_sync

from streamdialer.consumers.dialing.contact_rows import load_row
from streamdialer.consumers.services import Services
from streamdialer.errors import CannotBeDone
from streamdialer.model import CampaignSettings, Contact
from streamdialer.operations.contact_detail import ContactDetail, contact_detail
from streamdialer.rules.calling_hours import CallingHours, calling_hours
from tests.support.caps_fixture import CapsWorld
from tests.support.cli import Run, ok, read, refused
from tests.support.ledger_fixture import LedgerWorld
from tests.support.preview_fixture import PreviewWorld
from tests.support.zones import zone_where


async def shown(world: LedgerWorld, contact: str = "1", **settings: Any) -> ContactDetail:
    """The contact of a campaign with these settings."""

    async def fetch_hours() -> CallingHours:
        seconds, _ = await world.client.time()
        return calling_hours(CampaignSettings(queue_name="sales", **settings), "UTC", seconds * 1000)

    return await contact_detail(world.client, world.keys, "1", contact, fetch_hours)


async def one_contact(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)


async def test_a_ready_contact_may_be_called_now(world: LedgerWorld) -> None:
    await one_contact(world)
    detail = await shown(world)
    assert (detail.state, detail.state_text, detail.until, detail.reason) == (
        "ready",
        "may be called now",
        None,
        None,
    )
    assert (detail.campaign_status, detail.priority, detail.numbers) == ("active", 5, ["••••501"])
    assert detail.shown_pending_at is not None
    assert (detail.not_confirmed, detail.attempts) == (None, [])


async def test_a_ready_contact_of_a_paused_campaign_is_not_called_now(world: LedgerWorld) -> None:
    await one_contact(world)
    await world.client.hset("campaign:1", "status", "paused")
    assert (
        await shown(world)
    ).state_text == "may be called once the campaign is active: its status is 'paused'"


async def test_a_ready_contact_outside_its_hours_says_when_they_open(world: LedgerWorld) -> None:
    await one_contact(world)
    detail = await shown(world, start_time="2999-01-31T09:00:00", timezone="America/Bogota")
    assert (detail.state, detail.state_text) == ("ready", "may be called from 2999-01-31T14:00:00.000+00:00")
    assert (detail.until, detail.reason) == ("2999-01-31T14:00:00.000+00:00", "window_closed")
    over = await shown(world, end_time="2020-01-31T09:00:00")
    assert (over.state_text, over.reason) == ("is not called any more", "window_closed")


async def test_a_ready_contact_outside_the_hours_of_the_law_says_which(world: LedgerWorld) -> None:
    night, day = zone_where(0, 6), zone_where(10, 18)
    await world.open_campaign(contacts=0)
    row = load_row(Contact(id=1, phone_number="+12125550123", timezone=night))
    await world.services.campaigns.load("1", [row], 3)
    detail = await shown(world, rule_pack="us-regf", timezone=day)
    assert (detail.state, detail.reason) == ("ready", "window_closed")
    assert detail.state_text == f"may be called from {detail.until}"
    assert str(detail.detail).startswith("rule pack us-regf ")


async def test_a_ready_contact_over_a_cap_says_until_when(services: Services) -> None:
    world = CapsWorld(services)
    world.cap(min_gap={"hours": 2, "scope": "contact"})
    await world.know("1", "1", "+573001234567")
    await world.set_agents(1)
    await world.missed()
    detail = await shown(world)
    assert (detail.state, detail.reason) == ("ready", "min_gap")
    assert detail.state_text == f"may be called from {detail.until}"


async def test_a_ready_contact_whose_attempts_are_used_up_or_number_is_listed(world: LedgerWorld) -> None:
    await one_contact(world)
    world.max_attempts = 0
    await world.claim(level=0)
    assert ((await shown(world)).state_text, (await shown(world)).reason) == (
        "is not called any more",
        "max_attempts",
    )


async def test_unknown_calling_hours_are_named_as_the_reason(world: LedgerWorld) -> None:
    await one_contact(world)

    async def fetch_hours() -> str:
        return "backend: no answer"

    detail = await contact_detail(world.client, world.keys, "1", "1", fetch_hours)
    assert detail.state_text == (
        "may be called now if its calling hours allow it, which are not known: backend: no answer"
    )


async def test_the_time_line_of_an_attempt_and_why_the_contact_waits(world: LedgerWorld) -> None:
    await one_contact(world)
    attempt = await world.place_one()
    await world.event("call_ringing", attempt, call_id="c-1")
    assert (await shown(world)).state == "dialing"
    await world.event("call_failed", attempt, call_id="c-1", disposition="busy")
    detail = await shown(world)
    (call,) = detail.attempts
    assert (call.attempt, call.number, call.state, call.disposition, call.call_id) == (
        attempt.id,
        "••••501",
        "ended",
        "busy",
        "c-1",
    )
    assert call.answered_at is None
    assert None not in (call.reserved_at, call.sent_at, call.ended_at)
    assert str(call.reserved_at) <= str(call.sent_at) <= str(call.ended_at) < str(detail.until)
    assert (detail.state, detail.reason, detail.detail) == ("deferred", "retry", "busy")
    assert detail.state_text == f"may be called from {detail.until}"
    news = detail.not_confirmed
    assert news is not None
    assert (news.status, news.attempts) == ("busy", 1)


async def test_a_final_contact_says_how_its_last_call_ended(world: LedgerWorld) -> None:
    await one_contact(world)
    attempt = await world.place_one()
    await world.event("call_answered", attempt)
    assert (await shown(world)).attempts[0].answered_at is not None
    await world.event("call_completed", attempt)
    detail = await shown(world)
    assert (detail.state, detail.reason, detail.until) == ("final", "completed", None)


async def test_why_a_contact_was_never_called(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1)
    bad = msgspec.structs.replace(world.row("2"), problem="no phone number")
    await world.services.campaigns.load("1", [bad, world.row("3", attempts=3)], 3)
    later_ms = (await world.claim(level=0)).ledger_ms + 1
    await world.services.backlog.remove_missing("1", later_ms, ["1"])
    assert [((await shown(world, one)).reason) for one in ("1", "2", "3")] == [
        "gone",
        "invalid",
        "max_attempts",
    ]


async def test_a_previewing_contact_names_its_agent(services: Services) -> None:
    world = PreviewWorld(services)
    await world.open_campaign(contacts=1)
    await world.says("requested", "5")
    detail = await shown(world)
    assert detail.state == "previewing"
    assert detail.state_text == (f"agent 5 sees it and may call it; ready again at {detail.until}")


async def test_a_contact_that_asked_not_to_be_called_is_final(world: LedgerWorld) -> None:
    await one_contact(world)
    await world.services.suppression.suppress_contact("1", "1", "event")
    assert ((await shown(world)).state, (await shown(world)).reason) == ("final", "do_not_call")


async def test_a_callback_that_is_owed_and_the_number_of_its_call(world: LedgerWorld) -> None:
    await one_contact(world)
    seconds, _ = await world.client.time()
    noted = await world.services.callbacks.schedule(
        "1",
        "1",
        (seconds - 1) * 1000,
        entry=await world.write_entry(),
        agent="1",
        phone_number="+15559777",
        compared="+15559777",
    )
    assert noted == "applied"
    callback = (await shown(world)).callback
    assert callback is not None
    assert (callback.number, callback.agent) == ("••••••777", "1")
    assert callback.at < str(callback.for_agent_until)
    assert (await shown(world)).state_text == (
        f"may be called now for agent 1, and for any agent from {callback.for_agent_until}"
    )
    attempt = await world.place_one()
    await world.event("call_failed", attempt, disposition="busy")
    detail = await shown(world)
    assert detail.callback is None
    assert [one.number for one in detail.attempts] == ["••••••777"]


async def test_times_are_the_servers_when_its_clock_was_set_back(world: LedgerWorld) -> None:
    await one_contact(world)
    before = await shown(world)
    await world.client.hset("sd:server", "clock_offset", "3600000")
    after = await shown(world)
    assert str(after.shown_pending_at) < str(before.shown_pending_at)


async def test_the_number_of_each_attempt_of_a_contact_with_several(world: LedgerWorld) -> None:
    call = msgspec.json.encode({"id": 1, "phone_number": "+1001", "phones": ["+1001", "+1002"]}).decode()
    await world.open_campaign(contacts=0)
    await world.services.campaigns.load("1", [msgspec.structs.replace(world.row("1"), call=call)], 3)
    for _ in range(2):
        await world.set_agents(1)
        await world.event("call_failed", await world.place_one(), disposition="no_answer")
        await world.age(301)
        await world.sweep()
    detail = await shown(world)
    assert detail.numbers == ["••001", "••002"]
    assert [attempt.number for attempt in detail.attempts] == detail.numbers


async def test_an_unknown_contact_is_an_error(world: LedgerWorld) -> None:
    await one_contact(world)
    with pytest.raises(CannotBeDone, match="contact 9 of campaign 1 is not known here"):
        await shown(world, "9")


# ---- the command ----


async def test_the_command_prints_it_for_people_and_as_json(world: LedgerWorld, run: Run) -> None:
    await one_contact(world)
    await world.event("call_failed", await world.place_one(), disposition="busy")
    text = ok(await run_sync(run, "contact", "show", "1", "1"))
    assert "next call         may be called from" in text
    assert "retry (busy)" in text
    assert "1:1:1:" in text
    assert "+15550" not in text
    document = read(await run_sync(run, "contact", "show", "1", "1", "--json"))
    assert (document["contact_id"], document["state"], document["not_confirmed"]["status"]) == (
        1,
        "deferred",
        "busy",
    )


@pytest.mark.parametrize(("contact", "code", "word"), [("9", 1, "not known here"), ("a\nb", 2, "contact")])
async def test_the_command_says_what_is_wrong_in_one_line(
    world: LedgerWorld, run: Run, contact: str, code: int, word: str
) -> None:
    refused(await run_sync(run, "contact", "show", "1", contact), code, word)
