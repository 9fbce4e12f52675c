"""The overview: its numbers are those of the ledger and the streams, in few round trips, whatever is missing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from rich.console import Console

from streamdialer.broker.activity import SHOWN_PER_STAGE, Activity, subject_of
from streamdialer.broker.background_duty import running
from streamdialer.broker.entries import Entry
from streamdialer.broker.heartbeat import HEARTBEAT, TTL_S, Heartbeat, ReplicaState, read_replicas
from streamdialer.broker.keys import STAGES, Keys
from streamdialer.broker.layout import LAYOUT
from streamdialer.broker.scripts import Scripts
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.cli.top_view import render, span
from streamdialer.config.settings import Settings
from streamdialer.consumers.services import Services
from streamdialer.ledger.samples import MAX_SAMPLES, Sample, Samples, read_samples
from streamdialer.operations.campaigns import campaign_rows
from streamdialer.operations.overview.collect import overview
from streamdialer.operations.overview.trends import forecast_end, trends_of, utilisation
from streamdialer.operations.overview.views import Agents, CampaignOverview, Overview
from streamdialer.simulation.world.build import build_world
from tests.support.dialer import run_dialer
from tests.support.eventually import eventually

KEYS = Keys()


def sample(minute: int, **changes: Any) -> Sample:
    plain: dict[str, Any] = dict.fromkeys(Sample.__struct_fields__, 0)
    return Sample(**(plain | {"at": minute * 60_000, "pending": None} | changes))


async def test_its_numbers_are_those_of_the_ledger(settings: Settings, redis: Redis) -> None:
    world = build_world(agents=6, contacts=60, campaigns=2, mode="predictive", answer_rate=0.8, speed=30)
    async with run_dialer(settings, world, speed=30, replicas=2, sample_interval_s=0.4) as dialer:
        scripts, client = dialer.services.scripts, dialer.services.client
        await eventually(lambda: client.llen(KEYS.samples("1")))

        async def agrees() -> Overview | None:
            """Between two equal readings of the rows nothing has happened, so the overview shows the same."""
            before = await campaign_rows(client, KEYS, ["1", "2"])
            seen = await overview(scripts, KEYS)
            if await campaign_rows(client, KEYS, ["1", "2"]) != before:
                return None
            if not all(one.answered for one in seen.campaigns):
                return None
            for row, one in zip(before, seen.campaigns, strict=True):
                assert (one.ready, one.deferred, one.reserved) == (row.ready, row.deferred, row.reserved)
                assert (one.ringing, one.connected) == (row.active_calls, row.connected_calls)
                assert (one.calls, one.answered) == (row.totals["total_calls"], row.totals["answered_calls"])
            return seen

        seen: Overview = await eventually(agrees)
        first = seen.campaigns[0]
        assert (first.campaign_id, first.name, first.mode, first.status) == (
            1,
            "Campaign 1",
            "predictive",
            "active",
        )
        assert first.agents.logged_in == 6
        assert first.abandon_rate is not None
        assert (first.abandon_rate.cap, first.abandon_rate.window_h) == (0.03, 24)
        assert first.answer_rate is not None
        assert 0 < first.answer_rate <= 1
        assert seen.queues[0].campaigns == [1, 2]
        assert {stream.stream for stream in seen.streams} == set(STAGES)
        await eventually(lambda: handled(scripts), what="replicas that have said what they do")


async def handled(scripts: Scripts) -> bool:
    seen = await overview(scripts, KEYS)
    replicas = [one for one in seen.replicas if one.state.role == "consume"]
    done = sum(one.state.stages["events"].done for one in replicas if "events" in one.state.stages)
    return len(replicas) == 2 and done > 0 and all(one.state.rss_bytes > 10_000_000 for one in replicas)


async def test_hundreds_of_campaigns_take_no_more_round_trips_than_a_few(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await services.client.hset(
        KEYS.directory, mapping={str(number): f"q{number % 7}" for number in range(190)}
    )
    await overview(services.scripts, KEYS)
    sent = 0
    send = AbstractConnection.send_packed_command

    async def counted(self: Any, *args: Any, **kwargs: Any) -> None:
        nonlocal sent
        sent += 1
        await send(self, *args, **kwargs)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", counted)
    seen = await overview(services.scripts, KEYS)
    assert len(seen.campaigns) == 190
    assert sent <= 8


async def test_of_an_empty_server_it_says_that_there_is_nothing(services: Services) -> None:
    seen = await overview(services.scripts, KEYS)
    assert (seen.campaigns, seen.queues, seen.replicas, seen.dead, seen.alerts) == ([], [], [], 0, [])
    assert [stream.length for stream in seen.streams] == [0, 0, 0, 0]


async def test_silent_and_orphaned_calls_are_uncertain(services: Services) -> None:
    client, later_ms = services.client, 4e12
    await client.hset(KEYS.directory, "1", "sales")
    await client.zadd(KEYS.dialing("1"), {"5": 1, "6": later_ms})
    await client.zadd(KEYS.orphaned("1"), {"7": later_ms, "8": later_ms})
    await client.hset(KEYS.outbox("1"), "5", "{}")
    [campaign] = (await overview(services.scripts, KEYS)).campaigns
    assert (campaign.ringing, campaign.silent, campaign.orphaned, campaign.uncertain) == (2, 1, 2, 3)
    assert campaign.unconfirmed == 1


async def test_alerts_say_what_is_wrong_errors_first(services: Services) -> None:
    client = services.client
    await client.hset(KEYS.directory, "1", "sales")
    await client.hset(KEYS.campaign("1"), "status", "active")
    await client.xadd(KEYS.stream("dead"), {"reason": "unknown_type"})
    now_ms = (await client.time())[0] * 1000
    await client.hset(KEYS.server, mapping={"hold_until": str(now_ms + 40_000)})
    await client.hset(KEYS.api, mapping={"until": str(now_ms + 9000), "reason": "dialer_api_credentials"})
    await services.scripts.run(
        HEARTBEAT,
        [KEYS.replicas, KEYS.replica_states, KEYS.server],
        ["r1", msgspec.json.encode(state()).decode(), 600_000, LAYOUT],
    )
    await client.zadd(KEYS.replicas, {"r1": now_ms - 60_000})
    seen = await overview(services.scripts, KEYS)
    codes = [alert.code for alert in seen.alerts]
    assert codes == [
        "data_loss",
        "dialer_api_credentials",
        "no_decisions",
        "no_replica",
        "no_producer",
        "replica_silent",
        "dead_letters",
    ]
    assert seen.alerts[2].campaign_id == 1


def state() -> ReplicaState:
    return ReplicaState(role="consume", version="1", host="h", pid=1, uptime_s=1, rss_bytes=1, stages={})


# samples


async def kept(redis: Redis) -> list[Sample]:
    found: Any = await redis.lrange(KEYS.samples("1"), 0, -1)
    return read_samples(found)


async def test_samples_come_once_in_an_interval_are_bounded_and_go_with_the_campaign(
    services: Services, redis: Redis
) -> None:
    patient, hasty = Samples(services.scripts, KEYS, 60_000), Samples(services.scripts, KEYS, 0)
    await patient.take("1", "sales", 5)
    assert not await redis.exists(KEYS.samples("1")), "the ledger does not know the campaign"
    await services.campaigns.register("1", "sales", "", previous="")
    await patient.take("1", "sales", 5)
    await patient.take("1", "sales", 6)
    assert [one.pending for one in await kept(redis)] == [5]
    for odd in (None, "many", True, -1, 10**30):
        await hasty.take("1", "sales", odd)
    assert [one.pending for one in await kept(redis)] == [5, None, None, None, None, None]
    for _ in range(40):
        await hasty.take("1", "sales")
    assert await redis.llen(KEYS.samples("1")) == MAX_SAMPLES
    assert await redis.pttl(KEYS.samples("1")) > 0
    await redis.hset(KEYS.campaign("1"), "status", "completed")
    assert await services.campaigns.delete("1", "sales") == "ok"
    assert not await redis.exists(KEYS.samples("1"))


def test_a_course_is_what_happened_between_samples() -> None:
    course = trends_of(
        [sample(0, calls=10, answered=3), sample(1, calls=18, answered=2, free=4), sample(2, calls=18)]
    )
    assert [(one.calls, one.answered, one.free, one.seconds) for one in course] == [
        (8, 0, 4, 60),
        (0, 0, 0, 60),
    ]


def test_utilisation_is_the_share_that_worked() -> None:
    now = Agents(free=1, busy=2, wrapup=1, away=5)
    assert utilisation([sample(0, free=4), sample(1, busy=4)], now) == pytest.approx(7 / 12)
    assert utilisation([], Agents(free=0, busy=0, wrapup=0, away=3)) is None


@pytest.mark.parametrize(
    ("left", "end_minute"),
    [
        ([100, 90, 80], 10),  # ten a minute: eight more minutes
        ([100, 90], None),  # too few
        ([80, 80, 80], None),
        ([80, 90, 100], None),
        ([20, 10, 0], 2),
    ],
)
def test_the_end_of_the_list_is_forecast_from_its_fall(left: list[int], end_minute: int | None) -> None:
    counted = [sample(minute, pending=pending) for minute, pending in enumerate(left)]
    by_ledger = [sample(minute, ready=ready) for minute, ready in enumerate(left)]
    expected = None if end_minute is None else end_minute * 60_000
    assert forecast_end(counted) == forecast_end(by_ledger) == expected
    assert forecast_end([sample(0), *counted[:2]]) is None, "counted in another way"
    assert forecast_end([]) is None


# heartbeats


async def test_a_process_that_ends_is_forgotten_and_one_that_dies_is_silent_first(services: Services) -> None:
    run = ShutdownSignal()
    run.activity.register_stage("calls")
    async with running(Heartbeat(services.scripts, KEYS, run, "here", "consume")):
        await eventually(lambda: services.client.zcard(KEYS.replicas))
        [one] = (await overview(services.scripts, KEYS)).replicas
        assert (one.name, one.is_silent, list(one.state.stages)) == ("here", False, ["calls"])
    assert await services.client.exists(KEYS.replicas, KEYS.replica_states) == 0
    raw = msgspec.json.encode(state()).decode()
    [silent] = read_replicas([("gone", 0)], {"gone": raw, "other": raw}, 11_000)
    assert silent.is_silent
    await services.client.zadd(KEYS.replicas, {"gone": 1})
    await services.client.hset(KEYS.replica_states, "gone", raw)
    await services.scripts.run(
        HEARTBEAT,
        [KEYS.replicas, KEYS.replica_states, KEYS.server],
        ["here", raw, round(TTL_S * 1000), LAYOUT],
    )
    assert await services.client.hkeys(KEYS.replica_states) == ["here"]


def test_the_oldest_entries_in_progress_are_listed_without_numbers() -> None:
    activity = Activity()
    entries = [Entry(f"{number}-0", {"kind": "dial", "campaign_id": str(number)}) for number in range(9)]
    for entry in entries:
        activity.begin("ticks", entry)
    activity.end("ticks", entries[0], "done")
    activity.end("ticks", entries[8], "failed")
    told = activity.by_stage()["ticks"]
    assert (told.in_progress, told.done, told.again, len(told.doing)) == (7, 1, 1, SHOWN_PER_STAGE)
    assert told.doing[0].subject == "dial 1"


@pytest.mark.parametrize(
    ("fields", "subject"),
    [
        (
            {"attempt": "7:12:2:m9x", "campaign": "7", "contact": "12", "token": "t", "call": "{}"},
            "7:12:2:m9x",
        ),
        ({"type": "call_answered", "data": '{"campaign_id": 7, "contact_id": 12}'}, "call_answered 7:12"),
        ({"type": "do_not_call", "phone_number": "+573001234567"}, "do_not_call"),
        ({"type": "agent_available", "agent_id": "5"}, "agent_available 5"),
        ({"type": "call_answered", "data": "{"}, "call_answered"),
        ({"campaign": "7", "contact": "12"}, "7:12"),
        ({}, ""),
    ],
)
def test_what_an_entry_is_about(fields: dict[str, str], subject: str) -> None:
    assert subject_of(Entry("1-0", fields)) == subject


# the picture


def campaign(number: int, **changes: Any) -> CampaignOverview:
    plain: dict[str, Any] = {
        "campaign_id": number,
        "name": "Spring \x1b[2Jsale " + "x" * 70,
        "mode": "predictive",
        "status": "active",
        "queue": "sales",
        "is_dialing": number % 2 == 0,
        "reason": None,
        "why": f"Campaign {number} is not dialed: " + "because " * 30,
        "agents": Agents(free=12, busy=130, wrapup=14, away=2),
        "utilisation": 0.874,
        "answer_rate": 0.31,
        "abandon_rate": None,
        "pending": None,
        "forecast_end": 9_000_000,
        "trend": [],
    }
    counts = dict.fromkeys(set(CampaignOverview.__struct_fields__) - plain.keys(), 12345)
    return CampaignOverview(**(counts | plain | changes))


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (120, 24), (200, 60)])
@pytest.mark.parametrize("campaigns", [0, 1, 5, 300])
@pytest.mark.parametrize("trouble", ["", "Redis does not answer; " + "x" * 200])
async def test_the_picture_fits_the_terminal(
    services: Services, size: tuple[int, int], campaigns: int, trouble: str
) -> None:
    seen = await overview(services.scripts, KEYS)
    raw = msgspec.json.encode(state()).decode()
    names = [f"a-long-name-of-a-host-{number}" for number in range(9)]
    seen = msgspec.structs.replace(
        seen,
        campaigns=[campaign(number) for number in range(campaigns)],
        replicas=read_replicas([(name, 0) for name in names], dict.fromkeys(names, raw), 1000),
    )
    width, height = size
    console = Console(width=width, height=height, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(render(seen, width=width, height=height, trouble=trouble))
    lines = captured.get().splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "\x1b" not in text
    assert "ticks" in text
    assert "updates" in text
    assert not trouble or "Redis does not answer" in text
    if campaigns == 5:
        assert "12/130/14" in text
        assert "87%" in text


def test_spans_are_short() -> None:
    assert [span(s) for s in (0.44, 42, 300, 3900, 300_000)] == ["0.4s", "42s", "5m", "1h05", "3d"]
