"""The ticks of a campaign without contacts are one script call each, until anything changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from streamdialer.broker.entries import Entry
from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing import idle
from streamdialer.ledger.types import LoadRow
from streamdialer.model import CampaignSettings, TickResult
from streamdialer.simulation.world.build import build_world
from tests.support.dialer import open_centre
from tests.support.ticks_stage import NUMBERS, CountedTicks

IDLE = {"start_tick": 1}


class Ticks(CountedTicks):
    async def dial(self, campaign: str = "1") -> TickResult:
        """What is stored under the tick's id."""
        self.scripts.clear()
        tick = f"{next(NUMBERS)}-0"
        await self.stage.handle(Entry(tick, {"kind": "dial", "campaign_id": campaign}))
        raw: Any = await self.services.client.get(self.services.keys.tick(tick))
        return msgspec.json.decode(raw, type=TickResult)


@pytest.fixture
async def ticks(settings: Settings, redis: Redis) -> AsyncIterator[Ticks]:
    world = build_world(agents=4, contacts=0)
    async with open_centre(settings, world, refill_interval_s=60) as (centre, services):
        await services.client.hset("campaign:1", "status", "active")
        counted = Ticks(centre, services)
        with counted.counting():
            yield counted


async def test_a_campaign_without_contacts_costs_one_script_call(ticks: Ticks) -> None:
    decided = await ticks.dial()
    assert (decided.reason, ticks.scripts["reserve_contacts"]) == ("no_contacts", 1)
    repeated = await ticks.dial()
    assert ticks.scripts == IDLE
    assert (repeated.status, repeated.reason, repeated.detail) == ("skipped", "no_contacts", decided.detail)
    assert (repeated.at or 0) >= (decided.at or 1)
    decisions = ticks.services.keys.decisions("1")
    assert await ticks.services.client.xlen(decisions) == 1, "only what was decided is a decision"


async def a_contact_comes(ticks: Ticks) -> None:
    call = '{"id": 1, "phone_number": "+573001234567", "n": ["+573001234567"]}'
    await ticks.services.campaigns.load("1", [LoadRow("1", 5, 0, call, shown="x")], 3)


async def the_settings_change(ticks: Ticks) -> None:
    (campaign,) = ticks.centre.world.campaigns.values()
    campaign.max_retries = 7
    await ticks.services.client.delete(ticks.services.keys.shared_settings("1"))
    ticks.stage._dial_tick.campaigns._campaigns.pop("1")
    await ticks.stage._dial_tick.campaigns.settings_of("1")


async def the_campaign_is_paused(ticks: Ticks) -> None:
    await ticks.services.client.hset("campaign:1", "status", "paused")


async def its_queue_changes(ticks: Ticks) -> None:
    await ticks.services.client.hset(ticks.services.keys.directory, "1", "another")


async def another_server_answers(ticks: Ticks) -> None:
    await ticks.services.client.hset(ticks.services.keys.server, "run", "0" * 40)


async def it_must_be_rebuilt(ticks: Ticks) -> None:
    await ticks.services.client.hset(ticks.services.keys.server, "rebuild_epoch", "an epoch")


async def its_list_is_due(ticks: Ticks) -> None:
    ticks.stage._refill._reads.pop("1")


@pytest.mark.parametrize(
    "change",
    [
        a_contact_comes,
        the_settings_change,
        the_campaign_is_paused,
        its_queue_changes,
        another_server_answers,
        it_must_be_rebuilt,
        its_list_is_due,
    ],
)
async def test_it_decides_anew_when(ticks: Ticks, change: Callable[[Ticks], Awaitable[None]]) -> None:
    await ticks.dial()
    await ticks.dial()
    assert ticks.scripts == IDLE
    await change(ticks)
    result = await ticks.dial()
    assert ticks.scripts["save_tick_result"] == 1
    assert result.dialed == (1 if change is a_contact_comes else 0)


@pytest.mark.parametrize("limit", ["age", "window"])
async def test_it_decides_anew_after_a_while(
    ticks: Ticks, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    if limit == "window":
        note = idle.IdleCampaigns.note
        monkeypatch.setattr(
            idle.IdleCampaigns, "note", lambda found, result, settings, _: note(found, result, settings, 5.0)
        )
    await ticks.dial()
    now = monotonic()
    for late_s, decides in ((0.0, False), (4.0, False), (6.0, limit == "window"), (idle.IDLE_S + 1, True)):
        with pytest.MonkeyPatch.context() as later:
            later.setattr("streamdialer.consumers.dialing.idle.monotonic", lambda late_s=late_s: now + late_s)
            offered = ticks.stage._dial_tick.without_contacts("1", 60)
        assert (offered is None) == decides, late_s


@pytest.mark.parametrize(
    ("changes", "is_kept"),
    [
        ({}, True),
        ({"reason": "no_agents"}, True),
        ({"reason": "no_agents", "ready": 3}, False),
        ({"reason": "dialer_api_unreachable"}, False),
        ({"reason": None, "status": "ok"}, False),
        ({"adaptive": {"place": 0}}, False),
        ({"shadow": {"place": 0}}, False),
    ],
)
def test_only_what_needs_no_look_is_said_again(changes: dict[str, Any], is_kept: bool) -> None:
    result = TickResult(status="skipped", kind="dial", campaign_id="1", reason="no_contacts", ready=0)
    found, settings = idle.IdleCampaigns(), CampaignSettings(queue_name="q")
    found.note(result, settings, None)
    found.note(msgspec.structs.replace(result, **changes), settings, None)
    assert (found.result_of("1", settings) is not None) == is_kept
