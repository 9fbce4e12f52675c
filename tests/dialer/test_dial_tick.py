"""A dial tick reads each input once per try, claims at most three times, and records why it tried again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import msgspec
import pytest
from aiohttp import web
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from streamdialer.broker.background_duty import running
from streamdialer.broker.connection import server_ms
from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.agent_lists import AgentLists
from streamdialer.consumers.dialing.campaign_cache import WAITS_AFTER, CampaignCache
from streamdialer.consumers.dialing.pending_check import PendingCheck
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.errors import Unreachable
from streamdialer.gateways.agent_rows import AgentList
from streamdialer.ledger.queues import QueueLedger
from streamdialer.ledger.types import ClaimResult
from streamdialer.ledger.zone_hours import MissingHours
from streamdialer.model import CampaignSettings
from streamdialer.simulation.world.build import build_world
from tests.support.dialer import open_centre
from tests.support.eventually import eventually
from tests.support.ticks_stage import CountedTicks


@pytest.fixture
async def ticks(settings: Settings, redis: Redis) -> AsyncIterator[CountedTicks]:
    """Two campaigns of ten contacts on one queue with four agents; agents and contacts are read once a minute."""
    world = build_world(agents=4, contacts=20, campaigns=2)
    changes = {"agents_cache_ttl_s": 60, "refill_interval_s": 60}
    async with open_centre(settings, world, **changes) as (centre, services):
        for campaign in world.campaigns:
            await services.client.hset(f"campaign:{campaign}", "status", "active")
        counted = CountedTicks(centre, services)
        with counted.counting():
            yield counted


def refuse(
    monkeypatch: pytest.MonkeyPatch, ticks: CountedTicks, reason: str, times: int, after: Callable[[], None]
) -> None:
    """The next claims find an input out of date."""
    claim, left = ticks.services.campaigns.reserve_contacts, [times]

    async def refused(*args: Any) -> ClaimResult:
        claimed = await claim(*args)
        if not left[0]:
            return claimed
        left[0] -= 1
        after()
        return msgspec.structs.replace(claimed, dialed=0, reason=reason)

    monkeypatch.setattr(type(ticks.services.campaigns), "reserve_contacts", staticmethod(refused))


def claim_in_two(monkeypatch: pytest.MonkeyPatch, ticks: CountedTicks, **second: Any) -> list[ClaimResult]:
    """The first claim misses hours; the later ones place nothing, and differ by `second`."""
    claim, claims = ticks.services.campaigns.reserve_contacts, list[ClaimResult]()

    async def claim_again(*args: Any) -> ClaimResult:
        claims.append(await claim(*args))
        if len(claims) == 1:
            return msgspec.structs.replace(claims[0], missing=MissingHours({}, {}))
        return msgspec.structs.replace(claims[-1], dialed=0, **second)

    monkeypatch.setattr(type(ticks.services.campaigns), "reserve_contacts", staticmethod(claim_again))
    return claims


async def test_a_first_tick_refreshes_what_it_does_not_know_and_claims_once(ticks: CountedTicks) -> None:
    result = await ticks.dial()
    assert (result.status, result.dialed, result.retries) == ("ok", 4, None)
    assert (ticks.scripts["queue_snapshot"], ticks.scripts["reserve_contacts"]) == (1, 1)


async def test_a_tick_with_fresh_inputs_is_a_start_a_snapshot_and_a_claim(ticks: CountedTicks) -> None:
    await ticks.dial()
    await ticks.dial()  # reads the list once more: it may have held more contacts than the first page
    result = await ticks.dial()
    assert ticks.scripts == {"start_tick": 1, "queue_snapshot": 1, "reserve_contacts": 1}
    assert result.ages_s is not None
    assert result.ages_s.keys() == {"settings", "agents", "contacts"}
    assert all(0 <= age_s < 30 for age_s in result.ages_s.values()), result.ages_s


async def test_a_campaign_that_joins_the_queue_costs_one_more_try(ticks: CountedTicks) -> None:
    await ticks.dial("1")
    await ticks.dial("2")
    result = await ticks.dial("1")
    assert (result.retries, ticks.scripts["reserve_contacts"]) == (["queue"], 1)
    assert (await ticks.dial("1")).retries is None


@pytest.mark.parametrize(
    ("reason", "outdated"),
    [("queue_changed", "queue"), ("trunk_changed", "trunk"), ("not_rebuilt", "not_rebuilt")],
)
@pytest.mark.parametrize("times", [1, 2, 3, 9])
async def test_a_claim_that_finds_an_input_out_of_date_is_repeated_at_most_twice(
    ticks: CountedTicks, monkeypatch: pytest.MonkeyPatch, reason: str, outdated: str, times: int
) -> None:
    claims: list[None] = []
    refuse(monkeypatch, ticks, reason, times, lambda: claims.append(None))
    result = await ticks.dial()
    tries = min(3, times)
    assert (len(claims), result.retries) == (tries, [outdated] * tries)
    if times < 3:
        assert result.reason != reason
    else:
        status = "skipped" if reason == "not_rebuilt" else "error"
        assert (result.status, result.reason, result.dialed) == (status, reason, 0)


async def test_a_rebuilt_campaign_is_dialed_in_the_same_tick(ticks: CountedTicks) -> None:
    await ticks.dial()
    lost_ms = await server_ms(ticks.services.client) + 1000
    await ticks.services.client.hset(
        ticks.services.keys.server, mapping={"rebuild_epoch": "an epoch", "lost": lost_ms}
    )
    result = await ticks.dial()
    assert (result.retries, result.dialed, result.refilled) == (["not_rebuilt"], 4, 10)


async def test_after_a_rebuild_the_age_of_the_agent_list_is_checked_again(ticks: CountedTicks) -> None:
    await ticks.dial()
    await ticks.services.client.hset(ticks.services.keys.server, "rebuild_epoch", "an epoch")
    await ticks.dial()
    assert ticks.scripts["begin_agent_poll"] == 1


async def test_an_error_of_redis_stays_one_so_that_the_entry_does_not_become_a_dead_letter(
    ticks: CountedTicks, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(queues: QueueLedger, queue: str) -> list[str]:
        raise RedisConnectionError("Connection closed by server.")

    monkeypatch.setattr(QueueLedger, "campaigns", away)
    with pytest.raises(RedisConnectionError):
        await ticks.dial()


async def test_calls_of_an_earlier_claim_are_recorded_although_the_backend_cannot_verify_the_next_contacts(
    ticks: CountedTicks, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = claim_in_two(monkeypatch, ticks, stale=["9"])

    async def away(*args: Any) -> int:
        raise Unreachable("the backend does not answer")

    monkeypatch.setattr(PendingCheck, "confirm", away)
    result = await ticks.dial()
    assert (result.status, result.dialed, len(claims)) == ("ok", 4, 2)


async def test_the_age_of_the_agent_list_is_that_of_the_campaigns_own_queue(ticks: CountedTicks) -> None:
    await ticks.dial()
    own = await ticks.services.queues.queue_of("1")
    assert (await ticks.services.ticks.start("1", "9-0", own)).agents_polled_ms > 0
    await ticks.services.client.hset(ticks.services.keys.directory, "1", "another")
    start = await ticks.services.ticks.start("1", "9-1", own)
    assert (start.queue, start.agents_polled_ms) == ("another", 0)


async def test_a_tick_that_has_placed_calls_is_recorded_as_such_although_its_last_claim_was_refused(
    ticks: CountedTicks, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim_in_two(monkeypatch, ticks, reason="queue_changed")
    result = await ticks.dial()
    assert (result.status, result.reason, result.dialed) == ("ok", None, 4)
    assert result.retries == ["hours", "queue", "queue"]


@pytest.fixture
def no_other_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(cache: CampaignCache, campaign: str) -> None:
        return None

    monkeypatch.setattr(CampaignCache, "_read_shared", nothing)


@pytest.mark.usefixtures("no_other_replica")
async def test_while_one_tick_reads_the_settings_anew_another_goes_on_with_the_old(
    ticks: CountedTicks, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, settings = CampaignCache(ticks.services), ticks.services.settings
    old, read, go_on = await cache.settings_of("1"), ticks.services.backend.campaign, anyio.Event()

    async def slow(campaign: str) -> CampaignSettings:
        await go_on.wait()
        return msgspec.structs.replace(await read(campaign), max_retries=9)

    monkeypatch.setattr(ticks.services.backend, "campaign", slow)
    now = anyio.current_time()
    found: list[int] = []

    async def read_anew() -> None:
        found.append((await cache.settings_of("1")).max_retries)

    with pytest.MonkeyPatch.context() as later:
        late_s = now + settings.campaign_cache_ttl_s + 1
        later.setattr("streamdialer.consumers.ttl_cache.monotonic", lambda: late_s)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read_anew)
            await anyio.wait_all_tasks_blocked()
            with anyio.fail_after(5):
                assert await cache.settings_of("1") == old
            go_on.set()
        assert found == [9]
        assert (await cache.settings_of("1")).max_retries == 9


@pytest.mark.usefixtures("no_other_replica")
async def test_where_settings_are_read_in_the_background_no_tick_waits_for_them(
    ticks: CountedTicks, monkeypatch: pytest.MonkeyPatch
) -> None:
    wakeups, services = WakeupScheduler(ticks.services), ticks.services
    cache, ttl_s = CampaignCache(services, wakeups), services.settings.campaign_cache_ttl_s
    old, read, go_on = await cache.settings_of("1"), services.backend.campaign, anyio.Event()
    now, asked, woken = anyio.current_time(), list[str](), list[str]()

    async def slow(campaign: str) -> CampaignSettings:
        asked.append(campaign)
        await go_on.wait()
        return msgspec.structs.replace(await read(campaign), max_retries=9)

    async def is_away(campaign: str) -> CampaignSettings:
        raise Unreachable(f"no campaign {campaign}")

    monkeypatch.setattr(services.backend, "campaign", slow)
    monkeypatch.setattr(wakeups, "campaign_within", lambda name, _: woken.append(name))
    with pytest.MonkeyPatch.context() as later:
        clock = [now + ttl_s + 1]
        later.setattr("streamdialer.consumers.ttl_cache.monotonic", lambda: clock[0])
        async with running(cache):
            await anyio.wait_all_tasks_blocked()
            with anyio.fail_after(5):
                assert await cache.settings_of("1") == old
                await anyio.wait_all_tasks_blocked()
                assert await cache.settings_of("1") == old
            assert asked == ["1"], "one request at a time"
            go_on.set()
            await eventually(lambda: woken == ["1"], what="a tick for the changed settings")
            assert (await cache.settings_of("1")).max_retries == 9
            monkeypatch.setattr(services.backend, "campaign", is_away)
            clock[0] += ttl_s + 1
            assert (await cache.settings_of("1")).max_retries == 9
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(Unreachable):  # the tick after a failed read says so
                await cache.settings_of("1")
            monkeypatch.setattr(services.backend, "campaign", read)
            assert await cache.settings_of("1") == old
            monkeypatch.setattr(services.backend, "campaign", is_away)
            clock[0] += WAITS_AFTER * ttl_s + 1
            with pytest.raises(Unreachable):  # much too old: the tick waits
                await cache.settings_of("1")


async def test_a_slow_backend_is_asked_once_for_the_agents_that_several_ticks_wait_for(
    ticks: CountedTicks, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ticks.dial("1")
    await ticks.dial("2")
    agents, asked = ticks.services.backend.agents, list[str]()

    async def slow(queue: str) -> AgentList:
        asked.append(queue)
        await anyio.sleep(0.2)
        return await agents(queue)

    monkeypatch.setattr(ticks.services.backend, "agents", slow)
    monkeypatch.setattr(AgentLists, "is_fresh", lambda *_: False)  # it is too old by the time it arrives
    async with anyio.create_task_group() as tasks:
        for campaign in ("1", "2", "1", "2"):
            tasks.start_soon(ticks.dial, campaign)
    assert len(asked) == 1


async def test_a_short_list_is_read_again_only_when_its_contacts_are_gone(ticks: CountedTicks) -> None:
    lists = 0

    def count(request: web.Request) -> None:
        nonlocal lists
        lists += request.query.get("status") == "pending"

    ticks.centre.backend.set_responder(count)
    assert [(await ticks.dial()).dialed for _ in range(3)] == [4, 0, 0]
    assert lists == 1
    await ticks.services.client.delete(ticks.services.keys.ready("1"))
    await ticks.dial()
    assert lists == 2
