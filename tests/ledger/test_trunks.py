"""Calls per second and lines of a trunk: in the claim and when an agent accepts a preview."""

from __future__ import annotations

from random import Random
from typing import Any, cast

import msgspec
import pytest

from streamdialer.broker.entries import Entry
from streamdialer.config.loading import load as load_settings
from streamdialer.config.settings import Settings
from streamdialer.consumers.calls import CallsStage
from streamdialer.consumers.dialing.trunks import Trunks
from streamdialer.consumers.services import Services
from streamdialer.errors import SettingsError
from streamdialer.gateways.dialer_api import DialerAPI
from streamdialer.gateways.originate_reply import Reply
from streamdialer.gateways.originate_request import OriginateRequest
from streamdialer.ledger.previews import PreviewLimits, PreviewMissing
from streamdialer.ledger.rate_limits import RateLimits
from streamdialer.model import CampaignSettings, PreviewEvent
from tests.support.claims import claim_on_trunk
from tests.support.ledger_fixture import LedgerWorld
from tests.support.ledger_reader import move_clock
from tests.support.long_tests import some_are_long
from tests.support.preview_fixture import PreviewWorld


async def campaign(services: Services, name: str, contacts: int = 20, first: int = 1) -> LedgerWorld:
    """A campaign on a queue of its own, with agents enough."""
    world = LedgerWorld(services, f"queue-{name}")
    await world.open_campaign(name, contacts, first=first, agents=20)
    return world


async def live(services: Services, *campaigns: str) -> int:
    world = LedgerWorld(services)
    places = ("reserved", "dialing", "connected")
    return sum([await world.count(name, place) for name in campaigns for place in places])


@pytest.mark.parametrize(("per_second", "burst", "next_ms"), [(3.0, 3, 334), (0.25, 1, 4000), (2.5, 2, 200)])
async def test_a_claim_takes_what_the_pace_allows_and_says_when_more_may_follow(
    services: Services, per_second: float, burst: int, next_ms: int
) -> None:
    world = await campaign(services, "1")
    world.pace = RateLimits(calls_per_second=per_second)
    claimed = await world.claim("1", token="a")
    assert (claimed.dialed, claimed.limit) == (burst, "calls_per_second")
    assert claimed.next_ms is not None
    assert next_ms - 50 <= claimed.next_ms <= next_ms
    assert await world.claim("1", token="a") == claimed, "the same claim again takes no more"
    again = await world.claim("1", token="b")
    assert (again.dialed, again.limit) == (0, "calls_per_second")
    await move_clock(services.client, services.keys, 5)
    assert (await world.claim("1")).dialed == burst, "what was not used is kept for a second, not longer"
    await world.check_invariants()


async def test_the_limit_that_binds_first_is_the_one_reported(services: Services) -> None:
    world = await campaign(services, "1")
    world.pace = RateLimits(calls_per_second=5.0)
    claimed = await world.claim("1", 2)
    assert (claimed.dialed, claimed.limit, claimed.next_ms) == (2, "level", None)
    assert (await world.claim("1")).dialed == 3, "the rest of the second"


async def test_campaigns_on_one_trunk_share_its_pace(services: Services) -> None:
    first, second, other = [await campaign(services, name) for name in "123"]
    for world in (first, second):
        world.pace = RateLimits(trunk="a", trunk_calls_per_second=4.0)
    other.pace = RateLimits(trunk="b", trunk_calls_per_second=4.0)
    assert (await first.claim("1", 3)).dialed == 3
    claimed = await second.claim("2")
    assert (claimed.dialed, claimed.limit) == (1, "calls_per_second")
    assert (await other.claim("3")).dialed == 4


async def test_campaigns_on_one_trunk_share_its_lines(services: Services) -> None:
    first, second = await campaign(services, "1"), await campaign(services, "2")
    first.pace = RateLimits(trunk="a", trunk_channels=3)
    assert (await first.claim("1", 2)).dialed == 2
    second.pace = RateLimits(trunk="a", trunk_channels=3)
    refused = await second.claim("2")
    assert (refused.dialed, refused.reason) == (0, "trunk_changed"), "it was not told of the other"
    second.pace = RateLimits(trunk="a", trunk_channels=3, trunk_members=["1"])
    claimed = await second.claim("2")
    assert (claimed.dialed, claimed.limit, claimed.next_ms) == (1, "trunk_channels", 1000)
    assert (await first.claim("1")).reason == "trunk_changed"
    first.pace = RateLimits(trunk="a", trunk_channels=3, trunk_members=["2"])
    assert (await first.claim("1")).limit == "trunk_channels"

    attempt = (await first.reserved_calls())[0]
    assert await first.mark_sent(attempt) == "ok"
    await first.event("call_answered", attempt)
    assert (await first.claim("1")).dialed == 0, "who talks takes a line"
    await first.event("call_completed", attempt)
    assert (await second.claim("2")).dialed == 1


async def test_a_campaign_that_has_left_the_trunk_takes_no_line_of_it(services: Services) -> None:
    first, second = await campaign(services, "1"), await campaign(services, "2")
    first.pace = RateLimits(trunk="a", trunk_channels=3)
    assert (await first.claim("1", 3)).dialed == 3
    first.pace = RateLimits(trunk="b", trunk_channels=3)
    await first.claim("1")
    second.pace = RateLimits(trunk="a", trunk_channels=3, trunk_members=["1"])
    assert (await second.claim("2")).reason == "trunk_changed"
    third = await campaign(services, "3")
    third.pace = RateLimits(trunk="a", trunk_channels=3, trunk_members=["2"])
    await third.claim("3", 0)
    assert (await second.claim("2")).reason == "trunk_changed", (
        "as many members as it was passed, and not the same ones"
    )
    assert await services.client.hset(services.keys.trunks, "c:3", "b") == 0
    second.pace = RateLimits(trunk="a", trunk_channels=3)
    assert (await second.claim("2")).dialed == 3


async def test_a_campaign_that_was_cleaned_up_is_on_no_trunk(services: Services) -> None:
    first, second = await campaign(services, "1"), await campaign(services, "2")
    first.pace = second.pace = RateLimits(trunk="a")
    await first.claim("1", 1)
    await second.claim("2", 1)
    await services.client.hset(services.keys.campaign("2"), "status", "cancelled")
    attempt = (await second.reserved_calls())[1]
    assert await second.mark_sent(attempt) == "not_active"
    await services.client.delete(services.keys.outbox("2"))
    assert await services.campaigns.delete("2", "queue-2") == "ok"
    assert await services.client.hgetall(services.keys.trunks) == {"c:1": "a"}


async def test_an_agent_who_accepts_needs_a_line_and_the_pace_as_well(services: Services) -> None:
    other = await campaign(services, "2", first=101)
    other.pace = RateLimits(trunk="a", trunk_channels=1)
    assert (await other.claim("2")).dialed == 1
    world = PreviewWorld(services)
    await world.open_campaign(contacts=2)

    def preview_limits(**limits: object) -> PreviewLimits:
        given = msgspec.convert(limits, RateLimits)
        return PreviewLimits(open_until_ms=None, retry=world.retry, max_concurrent=10, rate_limits=given)

    assert await world.says("requested", "1001") == "1"
    assert await world.says("requested", "1002") == "2"
    full = preview_limits(trunk="a", trunk_channels=1, trunk_members=["2"])
    event = PreviewEvent(type="preview_accepted", campaign_id="1", agent_id="1001")
    needs = await services.previews.accept(
        event, await world.write_entry(), preview_limits(trunk="a", trunk_channels=1)
    )
    assert isinstance(needs, PreviewMissing)
    assert needs.trunk_changed, "the ledger was not told of the other campaign"
    assert await world.says("accepted", "1001", preview_limits=full) == "trunk_channels"
    slow = preview_limits(calls_per_second=0.5)
    assert await world.says("accepted", "1001", preview_limits=slow) == "reserved"
    assert await world.says("accepted", "1002", preview_limits=slow) == "calls_per_second"
    assert [told["data"].get("reason") for told in await world.told()][2:] == [
        "trunk_channels",
        "calls_per_second",
    ]
    await move_clock(services.client, services.keys, 3)
    assert await world.says("accepted", "1002", preview_limits=slow) == "reserved"
    await world.check_invariants()


@pytest.mark.parametrize("mode", ["claimed", "accepted"])
@pytest.mark.parametrize(("trunk", "caller_id"), [("sip-co", "+576015551234"), ("3", None), ("", None)])
async def test_a_call_carries_its_trunk_and_caller_id(
    services: Services, monkeypatch: pytest.MonkeyPatch, mode: str, trunk: str, caller_id: str | None
) -> None:
    requests: list[OriginateRequest] = []

    async def originate(_self: DialerAPI, request: OriginateRequest) -> Reply:
        requests.append(request)
        return Reply(verdict="placed")

    monkeypatch.setattr(DialerAPI, "originate", originate)
    rate_limits = RateLimits(trunk=trunk)
    if mode == "claimed":
        world = await campaign(services, "1")
        assert (await world.claim(level=1, rate_limits=rate_limits, caller_id=caller_id)).dialed == 1
    else:
        previews = PreviewWorld(services)
        await previews.open_campaign(contacts=1)
        assert await previews.says("requested", "1001") == "1"
        preview_limits = PreviewLimits(
            None, previews.retry, max_concurrent=10, rate_limits=rate_limits, caller_id=caller_id
        )
        assert await previews.says("accepted", "1001", preview_limits=preview_limits) == "reserved"
    ((entry, fields),) = cast(Any, await services.client.xrange(services.keys.stream("calls")))
    await CallsStage(services).handle(Entry(entry, fields))
    assert [(each.trunk, each.caller_id) for each in requests] == [(trunk, caller_id or "")]


@pytest.mark.parametrize("seed", some_are_long(range(4), 1, 2, 3))
async def test_live_calls_never_exceed_the_lines_however_campaigns_come_and_go(
    services: Services, settings: Settings, seed: int
) -> None:
    draw, lines = Random(seed), 5
    here = msgspec.structs.replace(services, settings=msgspec.structs.replace(settings, trunk_channels=lines))
    replicas = [Trunks(here), Trunks(here)]
    worlds = {name: await campaign(services, name, 8) for name in "1234"}
    full = 0
    for number in range(60):
        name = draw.choice("1234" if number > 20 else "12")
        world = worlds[name]
        wanted = world.claim_request(f"t{number}", draw.choice((1, 3, 9)), 20)
        of = CampaignSettings(queue_name=world.queue, trunk="a")
        claimed = await claim_on_trunk(here, draw.choice(replicas), name, of, wanted)
        assert claimed.reason in (None, "no_call_events"), claimed
        full += claimed.limit == "trunk_channels"
        assert await live(services, *"1234") <= lines
        for attempt in draw.sample(await world.reserved_calls(), 2 if number > 2 else 0):
            if await world.mark_sent(attempt) == "ok" or draw.random() < 0.3:
                kind = draw.choice(("call_answered", "call_failed", "call_completed"))
                await world.event(kind, attempt)
    assert full > 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STREAMDIALER_TRUNK_CHANNELS", "-1"),
        ("STREAMDIALER_TRUNK_CHANNELS", "many"),
        ("STREAMDIALER_TRUNK_CALLS_PER_SECOND", "-0.5"),
        ("STREAMDIALER_TRUNK_CALLS_PER_SECOND", "nan"),
    ],
)
def test_settings_that_make_no_sense_are_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"{name}: got '{value}', takes a"):
        load_settings(environ={name: value})
