"""The Asterisk producer between a scripted AMI server and a real Redis: what it writes, also across gaps."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Scripts
from streamdialer.config.settings import Settings
from streamdialer.gateways.ami.client import AmiClient
from streamdialer.producers.asterisk import traces
from streamdialer.producers.asterisk import watch as watch_module
from streamdialer.producers.asterisk.traces import trace_key
from streamdialer.producers.asterisk.watch import watch
from streamdialer.producers.asterisk.writing import EventWriter
from tests.support.ami_asterisk import ScriptedAsterisk
from tests.support.ami_server import text_of
from tests.support.asterisk_capture import summaries
from tests.support.eventually import eventually
from tests.support.ledger_fixture import LedgerWorld

pytestmark = [pytest.mark.anyio, pytest.mark.leaves("dialer:events")]
TALK, RING = "sd-1:1:0:k.", "sd-1:2:0:k."


class Events:
    """What stands in the stream."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def all(self, *types: str) -> list[dict[str, Any]]:
        entries: Any = await self._redis.xrange("dialer:events")
        read = [{"type": fields["type"], **json.loads(fields["data"])} for _, fields in entries]
        return [each for each in read if not types or each["type"] in types]

    async def until(self, count: int, *types: str) -> list[dict[str, Any]]:
        """These events, as soon as there are so many."""

        async def are_there() -> list[dict[str, Any]] | None:
            found = await self.all(*types)
            return found if len(found) >= count else None

        found: list[dict[str, Any]] = await eventually(are_there, within_s=10, what=f"{count} {types}")
        return found


@pytest.fixture
def written(redis: Redis) -> Events:
    return Events(redis)


@pytest.fixture
def asterisk() -> ScriptedAsterisk:
    return ScriptedAsterisk()


@asynccontextmanager
async def watching(
    asterisk: ScriptedAsterisk, redis: Redis, producers: int = 1, *, max_events: int = 1000, **changes: Any
) -> AsyncIterator[list[AmiClient]]:
    """Producers that watch it."""
    settings = Settings(redis_url="redis://unused", **{"ring_timeout_s": 2.0, **changes})
    clients = [
        AmiClient(asterisk.url(), max_events=max_events, longest_pause_s=0.1) for _ in range(producers)
    ]
    async with Scripts(redis) as scripts, anyio.create_task_group() as tasks:
        for client in clients:
            tasks.start_soon(watch, client, EventWriter(scripts, Keys()), settings)
        yield clients
        tasks.cancel_scope.cancel()


async def test_at_connect_it_lists_the_calls_and_the_agents(
    asterisk: ScriptedAsterisk, redis: Redis, written: Events
) -> None:
    asterisk.channels = {TALK: "Up", RING: "Ringing", "1795.7": "Up"}
    asterisk.members = {
        ("sales", "PJSIP/1001"): "1",
        ("sales", "PJSIP/1002"): "2",
        ("support", "PJSIP/1003"): "5",
    }
    async with asterisk.running(), watching(asterisk, redis):
        (live,) = await written.until(1, "source_live")
        assert live["calls"] == ["1:1:0:k", "1:2:0:k"]
        assert live["source"] == f"asterisk:127.0.0.1:{asterisk.port}"
        assert live["since"].endswith("+00:00")
        lists = {each["queue"]: each for each in await written.until(2, "queue_agents")}
        assert lists["sales"]["agents"] == [
            {"agent_id": "PJSIP/1001", "state": "available"},
            {"agent_id": "PJSIP/1002", "state": "busy"},
        ]
        assert lists["support"]["agents"] == [{"agent_id": "PJSIP/1003", "state": "offline"}]
        assert {each["source"] for each in lists.values()} == {live["source"]}
        assert [each["call_id"] for each in await written.all("call_ringing")] == [RING]


async def test_a_captured_conversation_becomes_its_events(
    asterisk: ScriptedAsterisk, redis: Redis, written: Events
) -> None:
    async with asterisk.running(), watching(asterisk, redis):
        await written.until(1, "source_live")
        for message in summaries()["13-answered-agent-hangs-up"]:
            await asterisk.send(text_of(**{name: values[0] for name, values in message._values.items()}))
        await written.until(1, "call_completed")
        told = [each for each in await written.all() if each["type"].startswith("call_")]
        assert [each["type"] for each in told] == ["call_ringing", "call_answered", "call_completed"]
        assert {each["attempt_id"] for each in told} == {"1:005:1"}
        assert told[1]["agent_id"] == "Local/1001@agents/n"


async def test_a_cut_link_is_read_up_on(asterisk: ScriptedAsterisk, redis: Redis, written: Events) -> None:
    asterisk.channels = {TALK: "Up", RING: "Ringing"}
    async with asterisk.running(), watching(asterisk, redis):
        await written.until(1, "source_live")
        asterisk.channels = {RING: "Ringing"}
        await asterisk.cut()
        lives = await written.until(2, "source_live")
        assert lives[1]["calls"] == ["1:2:0:k"]
        await asterisk.call_event("Hangup", RING, Cause="17", ChannelStateDesc="Ringing")
        (failed,) = await written.until(1, "call_failed")
        assert failed["disposition"] == "busy"


async def test_after_asterisk_was_killed_nothing_is_said_of_phones_until_they_have_stopped_ringing(
    asterisk: ScriptedAsterisk, redis: Redis, written: Events
) -> None:
    asterisk.channels = {TALK: "Up", RING: "Ringing"}
    async with asterisk.running(), watching(asterisk, redis):
        await written.until(1, "source_live")
        asterisk.started, asterisk.channels = "17:20:00", {}
        asterisk.boot(0)
        await asterisk.cut()
        began = anyio.current_time()
        (completed,) = await written.until(1, "call_completed")
        assert completed["call_id"] == TALK
        lives = await written.until(2, "source_live")
        assert anyio.current_time() - began > 1.9
        assert lives[1]["calls"] == []
        assert await written.all("call_failed") == []


async def test_a_producer_that_starts_just_after_asterisk_waits_as_well(
    asterisk: ScriptedAsterisk, redis: Redis, written: Events
) -> None:
    asterisk.boot(1)
    async with asterisk.running(), watching(asterisk, redis, ring_timeout_s=2.5):
        began = anyio.current_time()
        await written.until(1, "queue_agents")
        await written.until(1, "source_live")
        assert anyio.current_time() - began > 1.0


async def test_it_waits_as_long_as_a_call_of_any_campaign_may_ring(
    asterisk: ScriptedAsterisk, redis: Redis, written: Events
) -> None:
    keys = Keys()
    await redis.hset(keys.directory, mapping={"1": "sales", "2": "sales", "3": "support"})
    await redis.hset(keys.queue_pacing("sales"), mapping={"1": '{"mode":"power"}', "2": ""})
    await redis.hset(keys.queue_pacing("support"), "3", '{"deadline_ms":17500}')
    asterisk.boot(0)
    async with asterisk.running(), watching(asterisk, redis, ring_timeout_s=0.1):
        began = anyio.current_time()
        await written.until(1, "source_live")
        assert anyio.current_time() - began > 1.5, "2.5 s less the second that the uptime is rounded by"


async def test_lost_events_are_answered_by_a_look_at_the_whole(
    asterisk: ScriptedAsterisk, redis: Redis, written: Events, caplog: pytest.LogCaptureFixture
) -> None:
    async with asterisk.running(), watching(asterisk, redis, max_events=50):
        await written.until(1, "source_live")
        asterisk.channels = {TALK: "Up"}
        await asterisk.send(text_of(Event="Newexten", Uniqueid="1.1") * 5000)
        lives = await written.until(2, "source_live")
        assert lives[-1]["calls"] == ["1:1:0:k"]
        assert "events of Asterisk were lost" in caplog.text


async def test_it_looks_at_the_whole_again_and_again(
    asterisk: ScriptedAsterisk, redis: Redis, written: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "SYNC_EVERY_S", 0.1)
    async with asterisk.running(), watching(asterisk, redis):
        lives = await written.until(4, "source_live")
        since = [datetime.fromisoformat(each["since"]) for each in lives]
        assert max(since) - min(since) < timedelta(seconds=0.2), "there was no gap"
        assert len(await written.all("queue_agents")) >= 3


async def test_a_user_who_may_list_nothing_is_told_what_to_mend(
    asterisk: ScriptedAsterisk, redis: Redis, written: Events, caplog: pytest.LogCaptureFixture
) -> None:
    asterisk.answers["Status"] = lambda action: text_of(
        Response="Error", ActionID=action["ActionID"], Message="Permission denied"
    )
    async with asterisk.running(), watching(asterisk, redis):
        await eventually(lambda: "check write= of the AMI user" in caplog.text)
        assert await written.all() == []


async def test_a_trunk_that_takes_nothing_is_told_once(
    asterisk: ScriptedAsterisk, redis: Redis, written: Events, caplog: pytest.LogCaptureFixture
) -> None:
    async with asterisk.running(), watching(asterisk, redis):
        await written.until(1, "source_live")
        for number in "12":
            await asterisk.event(
                "OriginateResponse",
                Response="Failure",
                Reason="0",
                Uniqueid=f"sd-1:{number}:0:k.",
                Channel="PJSIP/573001112233@trunk-none",
            )
        await written.until(2, "call_failed")
        warnings = [each for each in caplog.records if each.message.startswith("a trunk takes no calls")]
        assert [vars(each)["trunk"] for each in warnings] == ["PJSIP/trunk-none"]


async def test_a_list_that_got_old_is_not_written(redis: Redis, written: Events) -> None:
    live = {"type": "source_live", "source": "s", "since": "2026-01-01T00:00:00Z", "calls": []}
    async with Scripts(redis) as scripts:
        writer = EventWriter(scripts, Keys())
        now_ms = await writer.now_ms()
        assert not await writer.write_fresh(live, now_ms - 3500)
        assert await written.all() == []
        assert await writer.write_fresh(live, now_ms - 1000)
        assert await written.all() == [live]


async def test_two_producers_for_one_server_count_each_call_once(
    asterisk: ScriptedAsterisk, redis: Redis, written: Events, world: LedgerWorld
) -> None:
    await world.open_campaign("1", contacts=2, agents=2)
    attempt = await world.place_one()
    uniqueid = f"sd-{attempt.id}."
    async with asterisk.running(), watching(asterisk, redis, producers=2):
        await written.until(2, "source_live")
        await asterisk.call_event("Newstate", uniqueid, ChannelStateDesc="Ringing")
        await asterisk.call_event("Hangup", uniqueid, ChannelStateDesc="Ringing", Cause="17")
        failed = await written.until(2, "call_failed")
        assert failed[0] == failed[1]
        outcomes = [
            await world.event(
                each["type"],
                attempt,
                call_id=each["call_id"],
                attempt_id=each["attempt_id"],
                **({"disposition": each["disposition"]} if "disposition" in each else {}),
            )
            for each in await written.all("call_ringing", "call_failed")
        ]
    assert sorted(outcomes) == ["applied", "ended", "unchanged", "unchanged"]
    public = await world.public()
    assert (public["total_calls"], public["busy"], public["active_calls"]) == ("1", "1", "0")


@pytest.mark.parametrize(
    ("word", "events"),
    [
        ("completed", ["call_answered", "call_completed"]),
        ("machine", ["call_answered", "call_completed"]),
        ("abandoned", ["call_abandoned"]),
    ],
)
async def test_how_a_call_ended_that_nothing_watched_is_said_before_the_list_of_calls(
    asterisk: ScriptedAsterisk,
    redis: Redis,
    written: Events,
    world: LedgerWorld,
    word: str,
    events: list[str],
) -> None:
    """A trace of another attempt with the same key says nothing."""
    await world.open_campaign("1", contacts=2, agents=2)
    attempt, other = await world.place_one(), await world.place_one()
    asterisk.traces = {trace_key(attempt.id): f"{word} {attempt.id}", trace_key(other.id): f"{word} x"}
    async with asterisk.running(), watching(asterisk, redis):
        await written.until(1, "source_live")
    told = [each for each in await written.all() if "agent" not in each["type"]]
    assert [each["type"] for each in told] == [*events, "source_live"]
    assert {each.get("attempt_id") for each in told[:-1]} == {attempt.id}
    assert (told[-2].get("disposition") == "machine") is (word == "machine")


async def test_all_traces_are_read_before_the_list_of_calls(
    asterisk: ScriptedAsterisk,
    redis: Redis,
    written: Events,
    world: LedgerWorld,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(traces, "MAX_AT_ONCE", 2)
    await world.open_campaign("1", contacts=5, agents=5)
    attempts = [await world.place_one() for _ in range(5)]
    asterisk.traces = {trace_key(each.id): f"completed {each.id}" for each in attempts}
    async with asterisk.running(), watching(asterisk, redis):
        await written.until(1, "source_live")
    told = await written.all("call_completed", "source_live")
    assert {each.get("attempt_id") for each in told[:-1]} == {each.id for each in attempts}
    assert told[-1]["type"] == "source_live"


async def test_after_a_gap_calls_that_only_silence_has_ended_are_looked_for_once(
    asterisk: ScriptedAsterisk,
    redis: Redis,
    written: Events,
    world: LedgerWorld,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While this program was away, events of another call made the sweep believe the silence."""
    monkeypatch.setattr(watch_module, "SYNC_EVERY_S", 0.1)
    await world.open_campaign("1", contacts=3, agents=3)
    silent, other, failed = [await world.place_one() for _ in range(3)]
    for attempt in (silent, other, failed):
        await world.settle(attempt, "placed")
    await world.pass_deadlines(silent.contact, failed.contact)
    await world.event("call_ringing", other, attempt_id=other.id)
    await world.sweep()
    await world.event("call_failed", failed, attempt_id=failed.id, disposition="busy")
    assert [await world.state_of(each.contact) for each in (silent, failed)] == ["deferred", "deferred"]
    asterisk.channels = {f"sd-{other.id}.": "Ringing"}
    asterisk.traces = {trace_key(each.id): f"completed {each.id}" for each in (silent, failed)}
    async with asterisk.running(), watching(asterisk, redis):
        await written.until(3, "source_live")
    told = [each for each in await written.all() if "agent" not in each["type"]]
    assert [each["type"] for each in told[:4]] == [
        "call_ringing",
        "call_answered",
        "call_completed",
        "source_live",
    ]
    assert {each["attempt_id"] for each in told[1:3]} == {silent.id}
    assert [each["Key"] for each in asterisk.actions("DBGet")] == [trace_key(silent.id)]


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ("Permission denied", "check write= of the AMI user"),
        ("Asterisk is shutting down", "Asterisk is shutting down"),
    ],
)
async def test_no_list_is_written_while_traces_cannot_be_read(
    asterisk: ScriptedAsterisk,
    redis: Redis,
    written: Events,
    world: LedgerWorld,
    caplog: pytest.LogCaptureFixture,
    refusal: str,
    said: str,
) -> None:
    """What was seen of calls and agents is written all the same."""
    await world.open_campaign("1", contacts=2, agents=2)
    await world.place_one()
    asterisk.channels = {RING: "Ringing"}
    asterisk.answers["DBGet"] = lambda action: text_of(
        Response="Error", ActionID=action["ActionID"], Message=refusal
    )
    async with asterisk.running(), watching(asterisk, redis):
        await written.until(1, "call_ringing")
        await eventually(lambda: said in caplog.text)
        assert ("check write=" in caplog.text) is ("check write=" in said)
        assert await written.all("source_live") == []
        assert len(await written.all("queue_agents")) == 1


async def test_the_time_of_a_gap_is_told_by_the_clock_of_the_server(
    asterisk: ScriptedAsterisk, redis: Redis, written: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This machine's clock may be wrong."""

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Wrong:
            return cls(2040, 1, 1, tzinfo=tz)

    monkeypatch.setattr(watch_module, "datetime", Wrong)
    async with asterisk.running(), watching(asterisk, redis):
        (live,) = await written.until(1, "source_live")
    seconds, micros = await redis.time()
    age_s = seconds + micros / 1e6 - datetime.fromisoformat(live["since"]).timestamp()
    assert 0 <= age_s < 5


async def test_an_end_stands_in_the_stream_before_a_list_without_the_call(
    asterisk: ScriptedAsterisk, redis: Redis, written: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long Redis takes for the end."""
    monkeypatch.setattr(watch_module, "SYNC_EVERY_S", 0.05)
    write = EventWriter.write

    async def write_slowly(writer: EventWriter, events: list[dict[str, Any]]) -> None:
        if any(each["type"] == "call_failed" for each in events):
            await anyio.sleep(0.5)
        await write(writer, events)

    monkeypatch.setattr(EventWriter, "write", write_slowly)
    asterisk.channels = {RING: "Ringing"}
    async with asterisk.running(), watching(asterisk, redis):
        await written.until(2, "source_live")
        asterisk.channels = {}
        await asterisk.call_event("Hangup", RING, Cause="17", ChannelStateDesc="Ringing")
        await written.until(1, "call_failed")
        told = await written.all("call_failed", "source_live")
        at = [each["type"] for each in told].index("call_failed")
        assert [each["calls"] for each in told[:at]] == [["1:2:0:k"]] * at
