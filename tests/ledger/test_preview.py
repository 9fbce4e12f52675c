"""Preview mode: an agent is shown a contact, and nothing is dialed before they take it."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
import pytest

from streamdialer.consumers.services import Services
from streamdialer.ledger.previews import PreviewLimits
from streamdialer.ledger.recovery import InFlightRow
from streamdialer.model import PreviewEvent
from tests.support.ledger_reader import move_clock
from tests.support.preview_fixture import OFFER_S, PREVIEW_LIMITS, PreviewWorld, preview_limits


@pytest.fixture
def world(services: Services) -> PreviewWorld:
    return PreviewWorld(services)


async def test_an_agent_is_shown_the_first_contact_and_another_agent_the_next(world: PreviewWorld) -> None:
    await world.open_campaign(contacts=3)
    assert await world.says("requested", "5") == "1"
    assert await world.says("requested", "6") == "2"
    assert await world.says("requested", "5") == "1", "who asks again is shown the same"
    assert await world.state_of("1") == "previewing"
    offer = (await world.told())[0]
    assert (offer["type"], offer["agent_id"], offer["contact_id"]) == ("preview_offered", "5", "1")
    assert offer["data"]["phone_number"] == "+155501"
    assert offer["data"]["attempts"] == 0
    assert await world.reserved_calls() == []
    await world.check_invariants()


async def test_what_is_shown_is_what_the_backend_said_to_the_letter(world: PreviewWorld) -> None:
    await world.open_campaign(contacts=1)
    call = {"id": 1, "phone_number": "+1555", "custom_data": {"debt": 10**17 + 1, "notes": [], "rate": 1.0}}
    await world.client.hset("sd:c:1:contacts", "1", msgspec.json.encode(call))
    await world.says("requested", "5")
    shown = (await world.told())[0]["data"]
    assert {name: shown[name] for name in call} == call


async def test_a_request_delivered_again_is_answered_once_even_after_the_answer(world: PreviewWorld) -> None:
    await world.open_campaign(contacts=3)
    entry = await world.write_entry()
    assert await world.says("requested", "5", entry=entry) == "1"
    assert await world.says("accepted", "5", "1") == "reserved"
    assert await world.says("requested", "5", entry=entry) == "1"
    assert await world.count("1", "previewing") == 0
    assert len(await world.told()) == 1


async def test_an_accepted_contact_is_called_once_and_for_that_agent(world: PreviewWorld) -> None:
    await world.open_campaign(contacts=2)
    await world.says("requested", "5")
    entry = await world.write_entry()
    for _ in range(3):
        assert await world.says("accepted", "5", "1", entry=entry) == "reserved"
    [attempt] = await world.reserved_calls()
    assert attempt.contact == "1"
    entries: Any = await world.client.xrange("dialer:calls")
    assert entries[0][1]["agent"] == "5"
    assert await world.mark_sent(attempt) == "ok"
    assert await world.says("accepted", "5", "1", entry=entry) == "reserved"
    assert len(await world.reserved_calls()) == 1
    await world.check_invariants()


async def test_an_acceptance_need_not_name_the_contact(world: PreviewWorld) -> None:
    await world.open_campaign(contacts=2)
    await world.says("requested", "5")
    entry = await world.write_entry()
    for _ in range(2):
        assert await world.says("accepted", "5", entry=entry) == "reserved"
    [attempt] = await world.reserved_calls()
    assert await world.mark_sent(attempt) == "ok"
    assert await world.says("accepted", "5", entry=entry) == "reserved"
    assert [one["type"] for one in await world.told()] == ["preview_offered"], "nothing was refused"


async def test_an_agent_cannot_accept_what_another_or_no_agent_is_shown(world: PreviewWorld) -> None:
    await world.open_campaign(contacts=3)
    await world.says("requested", "5")
    await world.says("requested", "6")
    assert await world.says("accepted", "6", "1") == "not_offered"
    assert await world.says("accepted", "7", "1") == "no_offer"
    assert await world.says("accepted", "7", "3") == "no_offer"
    assert await world.says("skipped", "6", "1") == "not_offered"
    assert await world.reserved_calls() == []
    refused = [
        (one["agent_id"], one["data"]["reason"]) for one in await world.told() if "refused" in one["type"]
    ]
    assert refused == [("6", "not_offered"), ("7", "no_offer"), ("7", "no_offer")]


async def test_an_offer_ends_and_the_contact_is_ready_again(world: PreviewWorld) -> None:
    await world.open_campaign(contacts=1)
    await world.says("requested", "5")
    assert (await world.sweep()).offers_expired == 0
    await world.check_invariants()
    await world.age(OFFER_S + 1)
    assert await world.says("accepted", "5", "1") == "no_offer", "swept or not"
    assert (await world.sweep()).offers_expired == 1
    assert await world.state_of("1") == "ready"
    ended = (await world.told())[-1]
    assert (ended["type"], ended["agent_id"], ended["contact_id"]) == ("preview_expired", "5", "1")
    assert await world.says("requested", "6") == "1"
    await world.check_invariants()


async def test_a_skipped_contact_goes_behind_the_others_of_its_priority(world: PreviewWorld) -> None:
    await world.open_campaign(contacts=0)
    rows = [world.row("1", 5), world.row("2", 5), world.row("3", 4)]
    await world.services.campaigns.load("1", rows, 3)
    await world.says("requested", "5")
    assert await world.says("skipped", "5", "1") == "skipped"
    assert "of" not in await world.record("1")
    assert [await world.says("requested", agent) for agent in ("5", "6", "7")] == ["2", "1", "3"]
    await world.check_invariants()


@pytest.mark.parametrize("answer", ["accepted", "skipped"])
async def test_an_answer_to_an_older_offer_leaves_the_newer_alone(world: PreviewWorld, answer: str) -> None:
    await world.open_campaign(contacts=1)
    await world.says("requested", "5")
    late = await world.write_entry()
    await world.age(OFFER_S + 1)
    await world.sweep()
    await world.says("requested", "5")
    assert await world.says(answer, "5", "1", entry=late) == "older_offer"
    assert await world.state_of("1") == "previewing"


async def test_a_skip_delivered_again_does_not_skip_the_next_offer(world: PreviewWorld) -> None:
    await world.open_campaign(contacts=1)
    await world.says("requested", "5")
    skip = await world.write_entry()
    assert await world.says("skipped", "5", entry=skip) == "skipped"
    assert await world.says("skipped", "5", entry=skip) == "no_offer"
    await world.says("requested", "5")
    assert await world.says("skipped", "5", entry=skip) == "older_offer"


async def test_what_forbids_a_claim_forbids_offers_and_acceptances(world: PreviewWorld) -> None:
    await world.open_campaign(contacts=2)
    await world.says("requested", "5")
    closed = msgspec.structs.replace(PREVIEW_LIMITS, open_until_ms=1)
    full = msgspec.structs.replace(PREVIEW_LIMITS, max_concurrent=0)

    async def both(reason: str, preview_limits: PreviewLimits = PREVIEW_LIMITS) -> None:
        assert await world.says("accepted", "5", "1", preview_limits=preview_limits) == reason
        assert await world.says("requested", "6", preview_limits=preview_limits) == ""
        none = (await world.told())[-1]
        assert (none["type"], none["data"]) == ("preview_none", {"reason": reason})

    await world.client.hset("campaign:1", "status", "paused")
    await both("not_active")
    await world.client.hset("campaign:1", "status", "active")
    await both("window_closed", closed)
    await world.client.hset("sd:api", mapping={"until": "9e15", "reason": "dialer_api_down"})
    await both("dialer_api_down")
    await world.client.hdel("sd:api", "until")
    assert await world.says("accepted", "5", "1", preview_limits=full) == "concurrency"
    assert await world.reserved_calls() == []
    assert await world.state_of("1") == "previewing", "it may still be taken"
    assert await world.says("accepted", "5", "1") == "reserved"


async def test_after_a_pause_of_the_api_one_acceptance_probes_it(world: PreviewWorld) -> None:
    await world.open_campaign(contacts=2)
    for agent in ("5", "6"):
        await world.says("requested", agent)
    await world.client.hset("sd:api", mapping={"until": "1", "reason": "dialer_api_down"})
    assert await world.says("accepted", "5") == "reserved"
    assert await world.says("accepted", "6") == "dialer_api_down"


async def test_contacts_out_of_attempts_are_not_shown(world: PreviewWorld) -> None:
    await world.open_campaign(contacts=0)
    await world.services.campaigns.load("1", [world.row("1", 5, attempts=2), world.row("2", 4)], 3)
    fewer = preview_limits(max_retries=2)
    assert await world.says("requested", "5", preview_limits=fewer) == "2"
    assert await world.state_of("1") == "final"
    none = preview_limits(max_retries=0)
    assert await world.says("accepted", "5", "2", preview_limits=none) == "max_attempts"
    assert await world.state_of("2") == "final"
    await world.check_invariants()


async def test_a_late_request_is_not_answered_with_a_contact(world: PreviewWorld) -> None:
    await world.open_campaign(contacts=1)
    seconds, _ = await world.client.time()
    assert await world.says("requested", "5", entry=f"{(seconds - OFFER_S - 2) * 1000}-0") == ""
    assert (await world.told())[-1]["data"] == {"reason": "late"}


async def test_callbacks_are_shown_first_and_to_their_agent_alone(world: PreviewWorld) -> None:
    await world.open_campaign(contacts=3, priority=10)
    seconds, _ = await world.client.time()
    asked = partial(world.services.callbacks.schedule, "1", "2", (seconds - 1) * 1000, agent="5")
    await asked(entry=await world.write_entry(), phone_number="+15559")
    await world.sweep()
    assert await world.says("requested", "6") == "1"
    assert await world.says("requested", "5") == "2"
    assert (await world.told())[-1]["data"]["callback_number"] == "+15559"
    assert await world.says("skipped", "5") == "skipped"
    assert [await world.says("requested", agent) for agent in ("5", "7")] == ["3", ""], (
        "it is not anyone's yet"
    )
    assert await world.state_of("2") == "ready"
    await world.check_invariants()


@pytest.mark.long
async def test_callbacks_for_other_agents_do_not_hide_the_line(world: PreviewWorld) -> None:
    await world.open_campaign(contacts=701)
    seconds, _ = await world.client.time()
    for number in range(1, 701):
        await world.services.callbacks.schedule(
            "1", str(number), (seconds - 60) * 1000 + number, agent="5", entry=await world.write_entry()
        )
    assert await world.says("requested", "6") == "701"
    assert await world.says("requested", "7") == ""
    assert await world.says("requested", "5") == "1"
    await world.check_invariants()


async def test_a_callback_asked_for_meanwhile_ends_the_offer(world: PreviewWorld) -> None:
    await world.open_campaign(contacts=1)
    await world.says("requested", "5")
    seconds, _ = await world.client.time()
    await world.services.callbacks.schedule("1", "1", (seconds + 99) * 1000, entry=await world.write_entry())
    assert await world.state_of("1") == "deferred"
    assert await world.says("accepted", "5", "1") == "no_offer"
    await world.check_invariants()


async def test_an_agent_learns_when_an_offer_is_withdrawn(world: PreviewWorld) -> None:
    await world.open_campaign(contacts=4)
    for agent in "1234":
        assert await world.says("requested", agent) == agent
    await world.services.suppression.suppress_contact("1", "1", "event")
    seconds, _ = await world.client.time()
    await world.services.callbacks.schedule("1", "2", (seconds + 99) * 1000, entry=await world.write_entry())
    assert await world.says("accepted", "3") == "reserved"
    assert await world.says("skipped", "4") == "skipped"
    due = await world.client.zscore("sd:sweep_schedule", "1")
    assert due is not None
    assert due <= (await world.claim(level=0)).ledger_ms, "at once"
    await world.sweep()
    await world.sweep()
    ended = [one for one in await world.told() if one["type"] == "preview_expired"]
    assert [(one["agent_id"], one["contact_id"], one["data"]["reason"]) for one in ended] == [
        ("1", "1", "do_not_call"),
        ("2", "2", "callback"),
    ]
    assert ended[0]["request"] == (await world.told())[0]["request"]
    await world.check_invariants()


async def test_late_news_of_a_call_ends_the_offer_of_its_contact(world: PreviewWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    attempt = await world.place_one()
    await world.settle(attempt, "not_placed", "campaign", 0)
    await move_clock(world.client, world.keys, 1)
    await world.says("requested", "5")
    await world.event("call_ringing", attempt)
    assert await world.state_of("1") == "dialing"
    assert await world.says("accepted", "5", "1") == "no_offer"
    await world.sweep()
    assert (await world.told())[-1]["data"] == {"reason": "late_news"}
    await world.check_invariants()


async def test_offers_are_forgotten_like_the_line_when_memory_was_lost(world: PreviewWorld) -> None:
    await world.open_campaign(contacts=2)
    await world.says("requested", "5")
    await world.client.hset("sd:server", mapping={"run": "another", "hold_until": "0"})
    assert await world.says("accepted", "5", "1") == "data_loss"
    await world.services.memory.drop_reloadable("1")
    assert await world.count("1", "previewing") == 0
    assert not await world.client.hexists("sd:c:1:records", "1")
    await world.sweep()
    assert (await world.told())[-1]["data"] == {"reason": "data_loss"}


async def test_a_contact_shown_here_and_called_before_a_data_loss_is_held(world: PreviewWorld) -> None:
    await world.open_campaign(contacts=1)
    await world.says("requested", "5")
    await world.client.hset("sd:server", mapping={"run": "another", "hold_until": "0"})
    await world.claim()
    doubted = InFlightRow(world.row("1", attempts=1), False, None)
    assert await world.services.memory.hold_in_flight("1", [doubted], world.retry) == 1
    assert await world.state_of("1") == "orphaned"
    assert await world.count("1", "previewing") == 0


async def test_cleanup_leaves_no_offer(world: PreviewWorld) -> None:
    await world.open_campaign(contacts=1)
    await world.says("requested", "5")
    await world.client.hset("campaign:1", "status", "completed")
    assert await world.services.campaigns.delete("1", "sales") == "ok"
    assert not await world.client.exists("sd:c:1:previewing")


async def test_an_agent_for_whom_a_call_is_on_its_way_is_refused_another(world: PreviewWorld) -> None:
    await world.open_campaign(contacts=2, agents=1)
    assert await world.says("requested", "1") == "1"
    assert await world.says("accepted", "1") == "reserved"
    assert await world.says("requested", "1") == "2"
    assert await world.says("accepted", "1") == "agent_not_free"
    assert (await world.told())[-1]["data"] == {"reason": "agent_not_free"}
    call = (await world.reserved_calls())[0]
    assert await world.mark_sent(call) == "ok"
    assert await world.says("accepted", "1") == "agent_not_free"
    await world.event("call_failed", call, disposition="busy")
    assert await world.says("accepted", "1") == "reserved", "the offer stayed"
    await world.check_invariants()


async def test_a_contact_whom_another_campaign_has_called_since_is_verified_before_it_is_called(
    world: PreviewWorld,
) -> None:
    await world.open_campaign("1", contacts=1, agents=2)
    await world.open_campaign("2", contacts=1)
    assert await world.says("requested", "2") == "1"
    attempt = await world.reserve("2", others={"1": 1.0})
    assert await world.mark_sent(attempt) == "ok"
    await world.event("call_completed", attempt)
    update = await world.services.outbox.lease("2", "1", "worker")
    assert not isinstance(update, str)
    await world.services.outbox.acknowledge("2", "1", "worker", update.version, "taken")
    event = PreviewEvent(type="preview_accepted", campaign_id="1", agent_id="2", contact_id="1")
    asked = await world.services.previews.accept(event, await world.write_entry(), PREVIEW_LIMITS)
    assert not isinstance(asked, str)
    assert asked.stale == ["1"]
    # the backend shows it as completed
    assert await world.services.backlog.remove_missing("1", asked.ledger_ms, ["1"]) == 1
    assert await world.says("accepted", "2", "1") == "no_offer"


async def test_a_verified_contact_that_is_still_pending_is_called(world: PreviewWorld) -> None:
    await world.open_campaign(contacts=1, agents=2)
    assert await world.says("requested", "2") == "1"
    await world.make_stale("1")
    event = PreviewEvent(type="preview_accepted", campaign_id="1", agent_id="2", contact_id="1")
    asked = await world.services.previews.accept(event, await world.write_entry(), PREVIEW_LIMITS)
    assert not isinstance(asked, str)
    await world.services.campaigns.load("1", [world.row("1")], 3, asked_ms=asked.ledger_ms)
    assert await world.says("accepted", "2", "1") == "reserved"
