"""Caps in the ledger: attempts, conversations, gaps and cool-offs, per contact and per number, in rolling windows."""

from __future__ import annotations

import itertools
from functools import partial
from random import Random
from typing import Any

import msgspec
import pytest

from streamdialer.consumers.services import Services
from streamdialer.errors import CampaignError
from streamdialer.ledger.previews import PreviewLimits
from streamdialer.ledger.recovery import InFlightRow
from streamdialer.ledger.types import LostCall
from streamdialer.model import Attempt, CampaignSettings
from streamdialer.operations.contact_detail import contact_detail
from streamdialer.operations.eligibility import fetch_calling_hours
from streamdialer.rules.caps import caps_of
from streamdialer.rules.rule_pack import load_pack
from tests.support.caps_fixture import HOUR_S, CapsWorld
from tests.support.long_tests import some_are_long
from tests.support.preview_fixture import PreviewWorld

NUMBER = "+573001234567"
DIGITS = NUMBER[1:]


@pytest.fixture
async def world(services: Services) -> CapsWorld:
    world = CapsWorld(services)
    await world.know("1", "1", NUMBER)
    await world.know("2", "2", NUMBER)
    await world.set_agents(9)
    return world


async def check(world: CapsWorld) -> None:
    await world.check_invariants(*world.known)


async def test_attempts_are_counted_per_number_in_all_campaigns(world: CapsWorld) -> None:
    world.cap("us-fl")
    await world.missed("1")
    await world.missed("2")
    await world.missed("1")
    for campaign in ("1", "2"):
        assert await world.refused(campaign) == {"cap_attempts": 1}
        record = await world.record(campaign, campaign)
        assert (record["p"], record["w"]["y"]) == ("deferred", "cap_attempts")
        assert record["w"]["s"] == (
            "rule pack us-fl 2026.1 (Fla. Stat. 501.616(6)(b), not verified): "
            "at most 3 attempts in 24 h per person; 3 counted"
        )
        assert 24 * HOUR_S - 905 <= await world.due_in_s(campaign, campaign) <= 24 * HOUR_S - 903
    doc = await world.backend_doc("1")
    assert doc["s"] == "pending", "and that is what it still is"
    await check(world)


async def test_when_the_oldest_call_leaves_the_window_one_more_is_allowed(world: CapsWorld) -> None:
    world.cap("us-fl")
    for _ in range(3):
        await world.missed("1")
    assert await world.refused("1") == {"cap_attempts": 1}
    await world.pass_time(await world.due_in_s("1") - 2)
    assert await world.state_of("1") == "deferred"
    assert await world.refused("2") == {"cap_attempts": 1}
    await world.pass_time(3)
    assert [await world.state_of("1"), await world.state_of("2", "2")] == ["ready", "ready"]
    await world.call("2", "call_failed")
    assert await world.refused("1") == {"cap_attempts": 1}
    assert 290 < await world.due_in_s("1") < 301, "the second of the four leaves next"
    await check(world)


async def test_under_a_lowered_cap_all_calls_that_are_too_many_must_leave(world: CapsWorld) -> None:
    world.cap("us-fl")
    for _ in range(3):
        await world.missed("1")
    world.cap(attempt_caps=[{"count": 2, "window_h": 24, "scope": "number"}])
    assert await world.refused("1") == {"cap_attempts": 1}
    assert 24 * HOUR_S - 604 < await world.due_in_s("1") <= 24 * HOUR_S - 602, "until the second has left"


async def test_a_cap_on_contacts_does_not_look_at_the_number(world: CapsWorld) -> None:
    world.cap(attempt_caps=[{"count": 1, "window_h": 24, "scope": "contact"}])
    await world.missed("1")
    assert await world.refused("1") == {"cap_attempts": 1}
    assert (await world.record("1"))["w"]["s"].startswith("the campaign's own: at most 1 attempt in 24 h per")
    await world.missed("2")


@pytest.mark.parametrize(
    ("said", "data", "kind"),
    [
        (["call_answered", "call_completed"], {}, "c"),
        (["call_answered"], {}, "c"),
        (["call_completed"], {}, "c"),
        (["call_answered", "call_failed"], {"disposition": "busy"}, "c"),
        (["call_answered"], {"answered_by": "machine"}, "m"),
        (["call_answered", "call_completed"], {"disposition": "machine"}, "m"),
        (["call_failed"], {"disposition": "busy"}, "a"),
        (["call_answered", "call_abandoned"], {}, "b"),
    ],
)
async def test_a_conversation_is_one_with_a_person(
    world: CapsWorld, said: list[str], data: dict[str, str], kind: str
) -> None:
    world.cap("co")
    await world.call("1", *said, **data)
    assert await world.counted(DIGITS) == await world.counted(":1") == [kind]
    if await world.count("1", "connected"):
        assert await world.refused("2") == ({"cap_conversations": 1} if kind == "c" else {"in_call": 1})
    elif kind != "c":
        await world.missed("2")
    else:
        assert await world.refused("2") == {"cap_conversations": 1}
        assert 24 * HOUR_S - 2 <= await world.due_in_s("2", "2") <= 24 * HOUR_S
    await check(world)


async def test_after_a_machines_answer_the_person_rests_from_its_end(world: CapsWorld) -> None:
    world.cap("uk")
    await world.call("1", "call_answered", "call_completed", answered_by="machine")
    assert await world.refused("2") == {"machine_cooloff": 1}
    assert 24 * HOUR_S - 2 <= await world.due_in_s("2", "2") <= 24 * HOUR_S
    await world.pass_time(24 * HOUR_S)
    await world.missed("2")


async def test_after_an_abandoned_call_the_number_rests_from_its_end(world: CapsWorld) -> None:
    world.cap("uk")
    attempt = await world.call("1", "call_answered")
    await world.pass_time(40)
    await world.event("call_abandoned", attempt)
    assert await world.refused("2") == {"abandon_cooloff": 1}
    assert 72 * HOUR_S - 2 <= await world.due_in_s("2", "2") <= 72 * HOUR_S
    await world.pass_time(72 * HOUR_S)
    await world.missed("2")


async def test_the_longest_wait_is_the_one_reported(world: CapsWorld) -> None:
    world.cap(
        attempt_caps=[{"count": 2, "window_h": 24, "scope": "number"}],
        min_gap={"hours": 2, "scope": "number"},
    )
    await world.missed("1")
    assert await world.refused("2") == {"min_gap": 1}
    await world.pass_time(2 * HOUR_S)
    await world.missed("2")
    assert await world.refused("1") == {"cap_attempts": 1}
    assert await world.due_in_s("1") > 21 * HOUR_S


async def test_a_cap_that_is_reached_after_the_reservation_forbids_sending(world: CapsWorld) -> None:
    world.cap(attempt_caps=[{"count": 1, "window_h": 24, "scope": "number"}])
    first = await world.call("1")
    await world.settle(first, "not_placed")
    second = await world.reserve("2")
    await world.event("call_failed", first, disposition="busy")  # it was placed, then
    begin = world.services.campaigns.mark_sent
    assert (await begin(second, "run", "")).status == "cap_attempts"
    assert (await begin(second, "run", "")).status == "stale"
    assert await world.counted(DIGITS) == ["a"]
    assert await world.state_of("2", "2") == "ready"
    assert await world.refused("2") == {"cap_attempts": 1}
    await check(world)


async def test_a_call_that_was_not_placed_is_not_counted(world: CapsWorld) -> None:
    world.cap(attempt_caps=[{"count": 1, "window_h": 24, "scope": "number"}])
    attempt = await world.call("1")
    assert await world.counted(DIGITS) == ["a"]
    await world.settle(attempt, "not_placed")
    assert await world.counted(DIGITS) == []
    assert not await world.client.zcard(world.keys.call_history_newest)
    await world.event("call_ringing", attempt)
    assert await world.counted(DIGITS) == ["a"], "it was, then"
    assert await world.refused("2") == {"cap_attempts": 1}
    await check(world)


async def test_news_after_the_deadline_makes_a_conversation_of_it(world: CapsWorld) -> None:
    world.cap("co")
    await world.know("3", "3", "+573007654321")
    silent = await world.call("1")
    other = await world.call("3", "call_ringing")
    await world.event("call_failed", other, disposition="busy")
    written = await world.write_entry()
    await world.pass_time(46)
    assert await world.state_of("1") == "deferred"
    assert await world.counted(DIGITS) == ["a"]
    await world.event("call_answered", silent, entry=written)
    assert await world.counted(DIGITS) == ["c"]
    await world.event("call_completed", silent)
    assert await world.refused("2") == {"cap_conversations": 1}
    await check(world)


async def test_late_news_of_an_older_attempt_changes_what_it_counts_as(world: CapsWorld) -> None:
    world.cap("us-fl")
    first = await world.call("1", "call_failed", call_id="A", disposition="no_answer")
    await world.pass_time(301)
    await world.missed("1")
    assert await world.counted(DIGITS) == ["a", "a"]
    await world.event("call_abandoned", first, call_id="A")
    assert sorted(await world.counted(DIGITS)) == ["a", "b"]
    await check(world)


@pytest.mark.parametrize(
    "said",
    [
        ["call_ringing", "call_answered", "call_completed"],
        ["call_answered", "call_abandoned", "call_completed"],
    ],
)
async def test_the_events_of_a_call_count_the_same_in_any_order(world: CapsWorld, said: list[str]) -> None:
    world.cap("co")
    ends = set()
    for number, order in enumerate(itertools.permutations([*said, said[0]]), start=10):
        await world.know("1", str(number), f"+5730000000{number}")
        await world.set_agents(9)
        attempt = await world.call("1")
        while attempt.contact != str(number):
            await world.event("call_completed", attempt)
            attempt = await world.call("1")
        for kind in order:
            await world.event(kind, attempt)
        ends.add(tuple(await world.counted(f"5730000000{number}")))
    assert ends == {("b",) if "call_abandoned" in said else ("c",)}


async def test_the_number_that_was_called_is_counted_and_not_the_contacts_others(world: CapsWorld) -> None:
    world.cap(attempt_caps=[{"count": 1, "window_h": 24, "scope": "number"}])
    await world.know("3", "3", "+573000000001", "+573000000002")
    await world.missed("3")
    assert await world.counted("573000000001") == ["a"]
    assert await world.counted("573000000002") == []
    await world.missed("3")
    assert await world.counted("573000000002") == ["a"]
    assert await world.refused("3") == {"cap_attempts": 1}


async def test_nothing_is_counted_until_a_campaign_has_caps_and_then_all_calls_are(world: CapsWorld) -> None:
    await world.missed("1")
    assert not await world.client.exists(world.keys.call_history)
    world.cap("us-fl")
    await world.missed("2")
    world.cap("none")
    await world.missed("1")
    await world.missed("1")
    assert await world.counted(DIGITS) == ["a", "a", "a"]
    await world.missed("1")
    world.cap("us-fl")
    assert await world.refused("2") == {"cap_attempts": 1}


async def test_calls_are_forgotten_when_the_longest_window_any_campaign_had_is_over(world: CapsWorld) -> None:
    world.cap("us-regf")
    await world.missed("2")
    world.cap(attempt_caps=[{"count": 9, "window_h": 1, "scope": "number"}])
    await world.missed("1")
    await world.pass_time(6 * 24 * HOUR_S)
    assert await world.counted(DIGITS) == ["a", "a"], "the other campaign counts them"
    await world.missed("1")
    await world.pass_time(24 * HOUR_S + 700)
    await world.missed("1")
    assert await world.counted(DIGITS) == ["a", "a"]
    await world.pass_time(8 * 24 * HOUR_S)
    assert await world.client.hkeys(world.keys.call_history) == ["longest"]
    assert not await world.client.exists(world.keys.call_history_newest)


async def test_counts_outlive_a_restart_that_keeps_data_and_contacts(world: CapsWorld) -> None:
    world.cap(attempt_caps=[{"count": 1, "window_h": 48, "scope": "contact"}])
    attempt = await world.call("1", "call_failed", disposition="invalid")
    services = world.services
    await services.client.hdel(services.keys.outbox("1"), "1")
    await services.client.zadd(services.keys.final("1"), {"1": 1})
    await world.sweep("1")
    assert await services.client.hget(services.keys.records("1"), attempt.contact) is None
    await world.know("1", "1", NUMBER)
    await services.client.hset(services.keys.server, "run", "another")
    await world.claim("1", 0, others=world.others["1"])
    await services.client.hset(services.keys.server, "hold_until", "0")
    assert await services.memory.mark_rebuilt("1", (await services.memory.state()).rebuild_epoch)
    assert await world.refused("1") == {"cap_attempts": 1}


async def test_a_call_redis_forgot_is_counted_at_all_numbers_it_may_have_called(world: CapsWorld) -> None:
    numbers = ("+573000000001", "+573000000002")
    await world.know("1", "7", *numbers)
    row = world.known["1"]["7"]
    await world.client.flushall()
    world.known = {}
    await world.services.campaigns.due_campaigns(10)
    await world.open_campaign("1", contacts=0)
    world.cap("us-fl")
    assert (
        await world.services.memory.hold_in_flight(
            "1", [InFlightRow(row, True, None)], world.retry, world.caps
        )
        == 1
    )
    for number in numbers:
        assert await world.counted(number[1:]) == ["c"]
    assert await world.counted(":7") == ["c"]


async def test_a_forgotten_call_that_an_event_brings_back_is_counted(world: CapsWorld) -> None:
    await world.know("1", "7", "+573000000001")
    row = world.known["1"]["7"]
    await world.client.flushall()
    await world.services.campaigns.due_campaigns(10)
    await world.open_campaign("1", contacts=0)
    world.cap("us-fl")
    lost = LostCall(msgspec.structs.replace(row, attempts=2), True, world.retry, world.caps)
    assert await world.event("call_ringing", Attempt("1:7:1:m", "1", "7", ""), lost=lost) == "applied"
    for name in (":7", "573000000001"):
        assert await world.counted(name) == ["a"]
    seen = InFlightRow(lost.row, False, None)
    await world.services.memory.hold_in_flight("1", [seen], world.retry, world.caps)
    assert await world.counted(":7") == ["a"], "the same call"


async def test_a_contact_that_waits_for_a_cap_is_shown_with_the_reason(world: CapsWorld) -> None:
    world.cap("us-fl")
    for _ in range(3):
        await world.missed("1")
    await world.refused("1")
    detail = await contact_detail(
        world.client, world.keys, "1", "1", partial(fetch_calling_hours, world.services.settings, "1")
    )
    assert (detail.state, detail.reason) == ("deferred", "cap_attempts")
    assert "Fla. Stat. 501.616(6)(b)" in (detail.detail or "")
    assert detail.until is not None


async def test_a_contact_over_its_cap_is_neither_shown_nor_called_in_preview(services: Services) -> None:
    world = PreviewWorld(services)
    await world.open_campaign(contacts=1)
    caps = caps_of(
        load_pack("none"),
        CampaignSettings(queue_name="sales", attempt_caps=[{"count": 1, "window_h": 24, "scope": "contact"}]),
    )
    preview_limits = PreviewLimits(open_until_ms=None, retry=world.retry, max_concurrent=10, caps=caps)
    assert await world.says("requested", "1001", preview_limits=preview_limits) == "1"
    assert await world.says("accepted", "1001", preview_limits=preview_limits) == "reserved"
    attempt = (await world.reserved_calls())[-1]
    assert await world.mark_sent(attempt) == "ok"
    await world.event("call_failed", attempt, disposition="busy")
    await world.age(301)
    await world.sweep()
    assert await world.says("requested", "1001", preview_limits=PreviewLimits(None, world.retry, 10)) == "1"
    assert await world.says("accepted", "1001", preview_limits=preview_limits) == "cap_attempts"
    assert (await world.record("1"))["w"]["y"] == "cap_attempts"
    assert await world.says("requested", "1002", preview_limits=preview_limits) == ""
    assert [told["data"].get("reason") for told in (await world.told())[-2:]] == [
        "cap_attempts",
        "no_contacts",
    ]


@pytest.mark.parametrize("seed", some_are_long(range(12), *range(1, 12)))
async def test_no_window_ever_holds_more_calls_than_the_cap(services: Services, seed: int) -> None:
    draw, world = Random(seed), CapsWorld(services)
    numbers = [f"+57300000000{n}" for n in range(3)]
    for contact in range(1, 10):
        await world.know(str(1 + contact % 3), str(contact), *draw.sample(numbers, draw.choice((1, 1, 2))))
    await world.set_agents(20)
    caps = {"count": draw.choice((1, 2, 3)), "window_h": draw.choice((1, 5)), "scope": "number"}
    world.cap(attempt_caps=[caps])
    sent: dict[str, list[float]] = {}
    reserved: list[tuple[Any, str]] = []
    read = 0
    for _ in range(60):
        campaign = draw.choice(("1", "2", "3"))
        await world.claim(campaign, draw.choice((2, 5)), others=world.others[campaign])
        entries: Any = await services.client.xrange(services.keys.stream("calls"))
        calls = await world.reserved_calls()
        for (_, fields), attempt in list(zip(entries, calls, strict=True))[read:]:
            number = fields.get("phone_number") or world.known[attempt.campaign][attempt.contact].call
            reserved.append((attempt, next(one for one in numbers if one in number)))
        read = len(entries)
        draw.shuffle(reserved)
        for _ in range(min(len(reserved), draw.choice((0, 2, 4)))):
            attempt, number = reserved.pop()
            if await world.mark_sent(attempt) != "ok":
                continue
            record = await world.record(attempt.contact, attempt.campaign)
            sent.setdefault(number, []).append(record["h"][-1]["sm"])
            kind = draw.choice(("call_failed", "call_failed", "call_answered", "call_abandoned"))
            await world.event(kind, attempt)
            if kind == "call_answered":
                await world.event("call_failed", attempt, disposition="callback")
        await world.pass_time(draw.choice((0, 30, 301, 1200, 4000)))
        await check(world)
    window_ms = int(caps["window_h"]) * HOUR_S * 1000
    assert any(len(instants) > int(caps["count"]) for instants in sent.values()), "windows have rolled"
    for instants in sent.values():
        for at in instants:
            held = [one for one in instants if at <= one < at + window_ms]
            assert len(held) <= int(caps["count"]), (caps, instants)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"attempt_caps": [{"count": 0, "window_h": 24, "scope": "number"}]}, "attempt_caps is"),
        ({"attempt_caps": [3]}, '3, takes {"count": 3, "window_h": 24, "scope": "number"}'),
        ({"contact_caps": [{"count": 1, "window_h": 24, "scope": "planet"}]}, "planet"),
        ({"contact_caps": [{"count": 1, "window_h": 99999, "scope": "number"}]}, "<= 8784"),
        ({"min_gap": {"hours": "a few", "scope": "contact"}}, 'takes {"hours": 4, "scope": "number"}'),
        ({"abandon_cooloff": {"hours": 72, "scope": "number", "colour": "red"}}, "colour"),
    ],
)
def test_caps_that_cannot_be_read_are_refused_in_one_line(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(CampaignError) as refused:
        caps_of(load_pack("none"), CampaignSettings(queue_name="sales", **settings))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_campaigns_caps_come_on_top_of_its_packs() -> None:
    own: dict[str, Any] = {"attempt_caps": [{"count": 9, "window_h": 999, "scope": "contact"}]}
    caps = caps_of(load_pack("us-regf"), CampaignSettings(queue_name="sales", **own))
    assert [(rule.reason, rule.count, rule.scope) for rule in caps.rules] == [
        ("cap_attempts", 7, "subject"),
        ("cap_conversations", 1, "subject"),
        ("cap_attempts", 9, "contact"),
    ]
    assert caps.longest_ms == 999 * HOUR_S * 1000
    assert caps_of(load_pack("none"), CampaignSettings(queue_name="sales")).encoded() == ""
