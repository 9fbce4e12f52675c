"""Wrong clocks: replicas an hour off change nothing, and a server whose clock is set stops and repeats nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from streamdialer.broker.connection import connect
from streamdialer.broker.keys import GROUP, Keys
from streamdialer.config.settings import Settings
from streamdialer.consumers.services import open_services
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.simulation.embedded_redis import EmbeddedServer
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.world.auditor import Audit
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.entities import Call
from tests.support.dialer import Dialer, run_dialer
from tests.support.eventually import eventually
from tests.support.faketime import SettableClock, calls_noted, off_by
from tests.support.ledger_fixture import LedgerWorld
from tests.support.process import process

HOUR_S, MINUTE_S = 3600, 60
FINAL = ("completed", "machine", "abandoned")
RETRIED = ("no_answer", "busy", "failed")
KEYS = Keys()
STEPS = {"an hour back": (-HOUR_S,), "ten minutes ahead and back again": (10 * MINUTE_S, 0)}
"""To what the server's clock is set, one after the other."""
RING_LIFE_S = 35.0
"""Longer than a phone rings; seconds of life."""
LACKS_AN_AGENT = "more unanswered calls than free agents"
SLOWER = 1.11
"""The ledger's clock may go a tenth slower while it waits for the server's to catch up."""


def no_contact_was_called_wrongly(audit: Audit) -> None:
    assert (audit.double_dials, audit.repeated_keys, audit.findings) == (0, {}, [])
    assert (audit.dialed_after_final, audit.over_max_retries) == (0, 0)


async def assert_counters_are_true(client: Redis, audit: Audit, campaign: int) -> None:
    """The public numbers are those of the telephone network."""
    public: Any = await client.hgetall(KEYS.campaign(str(campaign)))
    tally = audit.campaigns[campaign]
    assert int(public["total_calls"]) == tally.originates
    assert int(public["answered_calls"]) == tally.answered_by_person + tally.machine
    for name in ("no_answer", "busy", "failed", "abandoned", "machine"):
        assert int(public[name]) == getattr(tally, name), name
    assert (public["active_calls"], public["connected_calls"]) == ("0", "0")


# Replicas.


def at(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


@pytest.mark.parametrize("seconds", [HOUR_S, -HOUR_S])
def test_the_wrong_clocks_are_wrong_and_their_monotonic_clock_is_right(seconds: int) -> None:
    command = [sys.executable, "-c", "import time; print(time.time(), time.monotonic())"]
    told = subprocess.run(command, env={**os.environ, **off_by(seconds)}, capture_output=True, check=True)
    wall, monotonic = map(float, told.stdout.split())
    assert abs(wall - time.time() - seconds) < 20
    assert abs(monotonic - time.monotonic()) < 20


async def test_replicas_and_producers_an_hour_off_dial_as_with_right_clocks(
    redis: Redis, server: EmbeddedServer, tmp_path: Path
) -> None:
    speed = 60.0
    world = build_world(agents=8, contacts=32, campaigns=4, speed=speed, retry_delay_s=60)
    hours = {1: (-1800, 1800), 2: (3000, 9000), 3: (-9000, -3000), 4: (-1800, 1800)}
    began = time.time()
    for campaign, (start_s, end_s) in hours.items():
        world.campaigns[campaign].start_time, world.campaigns[campaign].end_time = at(start_s), at(end_s)
    world.campaigns[4].max_retries = 1000  # it would never come to an end
    world.campaigns[4].retry_delay = 0.1
    calls = calls_noted(world)
    ahead, behind = off_by(HOUR_S), off_by(-HOUR_S)
    scaled = {
        "STREAMDIALER_RING_TIMEOUT_S": "0.5",
        "STREAMDIALER_UNCERTAIN_MARGIN_S": "4",
        "STREAMDIALER_CAMPAIGN_CACHE_TTL_S": "0.5",
    }
    async with CallCentre(world, server.url, speed=speed) as centre:
        for campaign in hours:
            await centre.start_campaign(campaign)
        with ExitStack() as processes:
            for name, clock in (("ahead", ahead), ("behind", behind)):
                processes.enter_context(process(centre, server.url, tmp_path, "tick", **clock))
                processes.enter_context(
                    process(centre, server.url, tmp_path, "consume", "--name", name, **clock, **scaled)
                )
            wall_at_life = time.time() - centre.now / speed

            await eventually(lambda: sum(call.campaign_id == 4 for call in calls) > 3, within_s=30)
            closes_at = time.time() + 3
            world.campaigns[4].end_time = at(3)
            await eventually(lambda: is_over(centre, 1) and time.time() > closes_at + 1, within_s=40)
            names = await redis.xinfo_consumers(KEYS.stream("calls"), GROUP)
            assert {one["name"] for one in names} == {"ahead", "behind"}, "both worked"
        audit = centre.summary()
    placed = [(wall_at_life + call.placed_at / speed, call) for call in calls]
    no_contact_was_called_wrongly(msgspec.structs.replace(audit, dialed_after_final=0, findings=[]))
    await assert_counters_are_true(redis, audit, 1)
    assert {call.campaign_id for call in calls} == {1, 4}, "the others are closed by any right clock"
    last = max(when for when, call in placed if call.campaign_id == 4)
    assert closes_at - 2.5 < last < closes_at + 0.5, "it was dialed until it closed"
    for contact in world.contacts_of(1):
        assert contact.last_attempt is not None
        told = datetime.fromisoformat(contact.last_attempt).timestamp()
        assert began - 5 < told < time.time() + 5, "the backend gets the server's time"


def is_over(centre: CallCentre, campaign: int) -> bool:
    """Every contact has its end, as the backend shows it, and no phone is up."""
    final = all(
        contact.status in FINAL or (contact.status in RETRIED and contact.attempts == 3)
        for contact in centre.world.contacts_of(campaign)
    )
    return final and not centre.live_calls()


# The server.


@pytest.fixture
def clock(tmp_path: Path) -> SettableClock:
    return SettableClock(tmp_path)


@pytest.fixture
def clocked(clock: SettableClock) -> Iterator[EmbeddedServer]:
    """A server of its own, with a clock that can be set."""
    with EmbeddedServer(env=clock.environment) as running_server:
        yield running_server


@pytest.fixture
async def here(clocked: EmbeddedServer, settings: Settings) -> Settings:
    client = connect(clocked.url)
    await mark_server_trusted(client, KEYS)
    await client.aclose()
    return msgspec.structs.replace(settings, redis_url=clocked.url)


async def step(client: Redis, clock: SettableClock, seconds: int) -> None:
    """The server's clock is off by so much now, and the server has noticed."""
    clock.set_to(seconds)

    async def is_set() -> bool:
        told: Any = await client.time()
        return bool(abs(told[0] - time.time() - seconds) < 5)

    await eventually(is_set, within_s=2)


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
async def test_a_server_clock_that_is_set_in_mid_campaign_stops_and_repeats_nothing(
    here: Settings, clock: SettableClock, steps: tuple[int, ...]
) -> None:
    speed, delay_s = 60.0, 2.0
    world = build_world(agents=8, contacts=60, speed=speed, retry_delay_s=delay_s * speed)
    calls = calls_noted(world)
    async with run_dialer(here, world, speed=speed) as dialer:
        await dialer.until(lambda audit: audit.total.originates >= 20)
        set_at: list[float] = []
        before_steps = dialer.centre.now
        for seconds in steps:
            await step(dialer.services.client, clock, seconds)
            set_at.append(dialer.centre.now)
            await goes_on(dialer)
        audit = await dialer.until_all_are_final(within_s=90)
        # Set ahead, the deadlines of the calls that ring are over: the ledger counts on no answer of theirs.
        over_s = RING_LIFE_S if steps[0] > 0 else 0.0
        without_agent = world.auditor.calls_without_agent
        assert [at for at in without_agent if not before_steps < at < set_at[0] + over_s] == []
        other_findings = [finding for finding in audit.findings if LACKS_AN_AGENT not in finding]
        no_contact_was_called_wrongly(msgspec.structs.replace(audit, findings=other_findings))
        await assert_counters_are_true(dialer.services.client, audit, 1)
        assert await dialer.dead.count() == 0
    delays = list(retry_delays_s(calls, speed))
    # A deadline or a retry that was due within ten minutes is due at once when the clock is set ahead of them.
    is_early = {ended for ended, _ in delays} if steps[0] > 0 else set()
    crossed = [
        delay for ended, delay in delays if any(ended < when < ended + delay * speed for when in set_at)
    ]
    assert crossed, "retries were due across the step"
    for ended, delay in delays:
        if ended not in is_early or ended > set_at[-1]:
            assert delay_s - 0.05 < delay, "tried again before its time"
    assert min(crossed) < SLOWER * delay_s + 2, "the retry came when due, not an hour later"


def retry_delays_s(calls: list[Call], speed: float) -> Iterator[tuple[float, float]]:
    """Per call that was tried again: when it ended (s of life), and after how many wall-clock seconds."""
    newest: dict[Any, Call] = {}
    for call in calls:
        before = newest.get(call.contact_id)
        if before is not None:
            assert before.ended_at is not None
            yield before.ended_at, (call.placed_at - before.ended_at) / speed
        newest[call.contact_id] = call


async def goes_on(dialer: Dialer) -> None:
    """Dials, and runs every kind of periodic tick, as fast as ever."""
    placed = dialer.centre.summary().total.originates
    documents = len(dialer.centre.backend.statistics[1])
    looks = retry_looks(dialer)
    await eventually(lambda: dialer.centre.summary().total.originates > placed, within_s=3, what="dials")
    await eventually(
        lambda: len(dialer.centre.backend.statistics[1]) > documents + 1, within_s=3, what="statistics"
    )
    await eventually(lambda: retry_looks(dialer) > looks + 1, within_s=3, what="retry ticks")


def retry_looks(dialer: Dialer) -> int:
    return sum("last_attempt__lt" in one.query for one in dialer.centre.backend.requests)


@pytest.fixture
async def ledger(here: Settings) -> AsyncIterator[LedgerWorld]:
    quick = msgspec.structs.replace(here, reservation_lease_s=2.0, ring_timeout_s=1.5, uncertain_margin_s=0.5)
    async with open_services(quick) as services:
        world = LedgerWorld(services)
        world.retry_delay_ms = 2000
        yield world


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
async def test_leases_deadlines_and_retries_are_due_when_they_are_due(
    ledger: LedgerWorld, clock: SettableClock, steps: tuple[int, ...]
) -> None:
    """All three are due two seconds after the last moment before the clock was set back."""
    client = ledger.services.client
    for seconds in steps[:-1]:
        await step(client, clock, seconds)
    await ledger.open_campaign(contacts=4, agents=4)
    failed, silent, speaking = [await ledger.place_one() for _ in range(3)]
    assert (await ledger.claim(level=4)).dialed == 1
    await ledger.event("call_failed", failed, disposition="busy")
    began = time.monotonic()
    await step(client, clock, steps[-1])
    await ledger.event("call_ringing", speaking)
    seen: dict[str, float] = {}
    while len(seen) < 3:
        swept = await ledger.sweep()
        now = time.monotonic() - began
        for what, happened in (
            ("lease", swept.released),
            ("deadline", swept.no_event),
            ("retry", swept.promoted),
        ):
            if happened:
                seen.setdefault(what, now)
        assert now < 10, f"not due after ten seconds: {sorted({'lease', 'deadline', 'retry'} - seen.keys())}"
        await anyio.sleep(0.02)
    for what, after_s in seen.items():
        assert 1.8 < after_s < 2 * SLOWER + 0.5, (what, after_s)
    assert await ledger.state_of(silent.contact) == "deferred"
    await ledger.check_invariants()


async def has_group(client: Redis, stream: str) -> bool:
    with suppress(ResponseError):  # the stream may not exist yet
        return bool(await client.xinfo_groups(stream))
    return False


@pytest.mark.parametrize("steps", [(0,), *STEPS.values()], ids=["not at all", *STEPS])
async def test_what_a_dead_replica_held_when_the_clock_was_set_is_taken_over(
    here: Settings, clock: SettableClock, steps: tuple[int, ...]
) -> None:
    world = build_world(agents=2, contacts=2, mode="preview", speed=60)
    async with run_dialer(here, world, start=False) as dialer:
        client, events = dialer.services.client, KEYS.stream("events")
        await eventually(lambda: has_group(client, events))
        for seconds in steps[:-1]:
            await step(client, clock, seconds)
            await dialer.services.campaigns.due_campaigns(1)  # the ledger has met that time
        async with client.pipeline(transaction=True) as pipe:  # before any living replica can have it
            pipe.xadd(events, {"type": "nonsense"})
            pipe.xreadgroup(GROUP, "died", {events: ">"}, count=1)
            await pipe.execute()
        await step(client, clock, steps[-1])
        await eventually(dialer.dead.count, within_s=15, what="taken over, then a dead letter")
