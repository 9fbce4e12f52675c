"""Traces of real replicas, as a collector receives them; without the setting there are none."""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.observability.tracing import read_traceparent
from streamdialer.operations.session import free_port
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.eventually import eventually
from tests.support.http_server import listening
from tests.support.otel_collector import PHONE, WITHIN_S, WRITER, Collector, Outside, replica

KEYS = Keys()
TRACE, WRITER_ID = WRITER.split("-")[1:3]


class Floor:
    """A campaign that dials its one contact, and everything around it."""

    def __init__(self, redis: Redis, server: EmbeddedServer, folder: Path, stack: AsyncExitStack) -> None:
        self.redis = redis
        self.collector = Collector()
        self.outside = Outside()
        self.log = folder / "log"
        self._url = server.url
        self._stack = stack
        self._outside_url = self._collector_url = ""

    async def open(self) -> None:
        self._outside_url = await self._stack.enter_async_context(listening(self.outside.answer))
        self._collector_url = await self._stack.enter_async_context(listening(self.collector.take))
        await self.redis.hset(KEYS.campaign("1"), "status", "active")

    def start(self, name: str = "one", stages: str = "", **environment: str) -> subprocess.Popen[bytes]:
        """A replica that sends its traces to the collector unless `environment` says otherwise."""
        given = {"OTEL_EXPORTER_OTLP_ENDPOINT": self._collector_url} | environment
        log = self.log.with_name(f"{name}.log")
        return self._stack.enter_context(replica(name, self._url, self._outside_url, log, stages, **given))

    async def tick(self, **fields: str) -> None:
        entry: dict[Any, Any] = {"kind": "dial", "campaign_id": "1", **fields}
        await self.redis.xadd(KEYS.stream("ticks"), entry)

    async def event(self, kind: str, trace: str = "", **data: Any) -> None:
        entry: dict[Any, Any] = {"type": kind, "data": msgspec.json.encode(data).decode()}
        await self.redis.xadd(KEYS.stream("events"), entry | ({"traceparent": trace} if trace else {}))

    async def is_placed(self) -> str:
        """Waits for the call; the `traceparent` of its request."""
        await eventually(lambda: self.outside.traces_of("POST /calls/originate"))
        (trace,) = self.outside.traces_of("POST /calls/originate")
        return trace

    async def is_updated(self, status: str) -> str:
        """Waits until the backend has been told; the `traceparent` of the request."""
        await eventually(lambda: self.outside.traces_of("PATCH /api/contacts/5/", status))
        return self.outside.traces_of("PATCH /api/contacts/5/", status)[-1]

    async def record(self) -> dict[str, Any]:
        raw: Any = await self.redis.hget(KEYS.records("1"), "5")
        return dict(msgspec.json.decode(raw))


@pytest.fixture
async def floor(redis: Redis, server: EmbeddedServer, tmp_path: Path) -> AsyncIterator[Floor]:
    async with AsyncExitStack() as stack:
        opened = Floor(redis, server, tmp_path, stack)
        await opened.open()
        yield opened


async def test_one_trace_from_the_tick_to_the_end_of_the_call_across_processes(floor: Floor) -> None:
    ticks = floor.start("ticks", "ticks")
    floor.start("others", "calls,events,updates")
    await floor.tick(traceparent=WRITER)
    request = await floor.is_placed()
    await floor.event("call_answered", campaign_id=1, contact_id=5, agent_id=7)
    told = read_traceparent(await floor.is_updated("answered"))
    near = f"00-{TRACE}-00000000000000aa-01"  # the Dialer API goes on with the trace of our request
    await floor.event("call_completed", near, campaign_id=1, contact_id=5)
    await floor.is_updated("completed")

    seen = floor.collector
    tick, decide, claim = [await seen.one(name, TRACE) for name in ("tick", "decide", "claim")]
    call, originate = await seen.one("call"), await seen.one("POST dialer_api")
    answered, completed = await seen.one("call_answered"), await seen.one("call_completed")
    await eventually(lambda: len(seen.named("update")) == 3)
    updates = {one.attributes["streamdialer.status"]: one for one in seen.named("update")}
    chain = [tick, decide, claim, call, originate]
    assert {one.trace for one in [*chain, answered, completed, *updates.values()]} == {TRACE}
    assert [one.parent for one in chain] == [WRITER_ID, tick.id, decide.id, claim.id, call.id]
    assert (answered.parent, completed.parent) == (call.id, "00000000000000aa")
    assert {status: one.parent for status, one in updates.items()} == dict.fromkeys(
        ("dialing", "answered", "completed"), call.id
    )
    assert [one.process for one in [*chain, answered]] == ["ticks"] * 3 + ["others"] * 3
    assert request == originate.traceparent
    patch = next(one for one in seen.named("PATCH backend") if one.id == f"{told.span_id:016x}")
    assert patch.parent == updates["answered"].id
    settings = next(one for one in seen.named("GET backend", TRACE) if one.process == "ticks")
    assert settings.parent in (tick.id, decide.id)

    attempt = str(call.attributes["streamdialer.attempt"])
    assert re.fullmatch(r"1:5:1:[0-9a-z]+", attempt)
    subject = {"streamdialer.attempt": attempt, "streamdialer.campaign": "1", "streamdialer.contact": "5"}
    for one in (call, answered, completed, *updates.values()):
        assert subject.items() <= one.attributes.items(), one.name
    assert call.attributes["streamdialer.verdict"] == "placed"
    assert originate.attributes["http.response.status_code"] == 200
    assert claim.attributes["streamdialer.campaign"] == decide.attributes["streamdialer.campaign"] == "1"
    assert not [one for one in seen.steps if one.is_error]

    assert ticks.poll() is None
    wake = await seen.one("wake")  # the call is over: what comes of it is another trace, linked to this one
    assert (wake.trace != TRACE, wake.parent) == (True, "")
    assert wake.links == [(TRACE, completed.id)]
    assert PHONE.encode() not in b"".join(seen.raw)
    assert PHONE.removeprefix("+").encode() not in b"".join(seen.raw)


async def test_an_event_that_frees_an_agent_begins_the_trace_of_the_next_call(floor: Floor) -> None:
    floor.outside.agent = "busy"
    floor.start()
    await floor.tick()
    first = await floor.collector.one("tick")
    assert (first.parent, first.attributes["streamdialer.reason"]) == ("", "no_agents")
    floor.outside.agent = "available"
    await floor.event("agent_available", WRITER, agent_id=7, queue="sales")
    await floor.is_placed()
    freed, wake = await floor.collector.one("agent_available"), await floor.collector.one("wake")
    tick, call = await floor.collector.one("tick", TRACE), await floor.collector.one("call")
    assert (freed.trace, freed.parent) == (TRACE, WRITER_ID)
    assert [wake.parent, tick.parent] == [freed.id, wake.id]
    assert call.trace == TRACE


async def test_a_malformed_traceparent_is_ignored(floor: Floor) -> None:
    malformed = ["", "nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01", "\x00" * 55]
    floor.start()
    for writer in malformed:
        await floor.tick(traceparent=writer)
    await floor.is_placed()
    await eventually(lambda: len(floor.collector.named("tick")) == len(malformed))
    ticks = floor.collector.named("tick")
    assert {one.parent for one in ticks} == {""}
    assert len({one.trace for one in ticks}) == len(malformed), "each begins a trace of its own"
    call = await floor.collector.one("call")
    await floor.event("call_answered", "nonsense", campaign_id=1, contact_id=5)
    assert (await floor.collector.one("call_answered")).parent == call.id
    assert await floor.redis.xlen(KEYS.stream("dead")) == 0


async def test_what_an_agent_accepts_is_in_the_trace_of_the_acceptance(floor: Floor) -> None:
    floor.outside.mode = "preview"
    floor.start()
    await floor.tick()  # brings the contact
    await floor.collector.one("tick")
    await floor.event("preview_requested", campaign_id=1, agent_id=7)
    await eventually(lambda: floor.redis.xlen(KEYS.previews))
    await floor.event("preview_accepted", WRITER, campaign_id=1, agent_id=7)
    await floor.is_placed()
    accepted, call = await floor.collector.one("preview_accepted"), await floor.collector.one("call")
    assert (accepted.parent, call.trace, call.parent) == (WRITER_ID, TRACE, accepted.id)


async def test_an_event_that_belongs_to_nothing_is_an_error_in_its_writers_trace(floor: Floor) -> None:
    floor.start()
    await floor.event("call_answered", WRITER, campaign_id=1, contact_id=77)
    step = await floor.collector.one("call_answered")
    assert (step.trace, step.parent, step.is_error) == (TRACE, WRITER_ID, True)
    assert step.attributes["error.type"] == "BadEntry"


async def test_another_services_trace_of_the_call_is_linked(floor: Floor) -> None:
    floor.start()
    await floor.tick()
    await floor.is_placed()
    await floor.event("call_answered", WRITER, campaign_id=1, contact_id=5)
    call, answered = await floor.collector.one("call"), await floor.collector.one("call_answered")
    assert (answered.trace, answered.parent) == (call.trace, call.id)
    assert answered.links == [(TRACE, WRITER_ID)]


async def test_the_standard_variable_samples_unless_the_writer_has_decided(floor: Floor) -> None:
    floor.start(OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0")
    await floor.tick()
    trace = await floor.is_placed()
    assert read_traceparent(trace).is_valid
    assert not read_traceparent(trace).trace_flags.sampled, "the request says not to begin a trace"
    await floor.event("call_answered", campaign_id=1, contact_id=5)
    await floor.is_updated("answered")
    assert "tr" not in (await floor.record())["h"][0], "nothing is kept of it"
    await floor.tick(traceparent=WRITER)
    await floor.collector.one("tick")
    assert {one.trace for one in floor.collector.steps} == {TRACE}


@pytest.mark.parametrize("way", ["refuses", "hangs"])
async def test_a_collector_that_is_away_changes_nothing_and_is_logged_once(floor: Floor, way: str) -> None:
    floor.collector.pause_s = 60
    refusing = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    process = floor.start(**(refusing if way == "refuses" else {}))
    lines = "the collector does not take traces"
    await floor.tick()
    await floor.is_placed()
    await floor.event("call_answered", campaign_id=1, contact_id=5)
    await floor.event("call_completed", campaign_id=1, contact_id=5)
    await floor.is_updated("completed")
    log = floor.log.with_name("one.log")
    await eventually(lambda: lines in log.read_text("utf-8"))
    for _ in range(20):
        await floor.tick(traceparent=WRITER)
        await anyio.sleep(0.1)
    process.terminate()
    assert await anyio.to_thread.run_sync(process.wait, WITHIN_S) == 0
    assert log.read_text("utf-8").count(lines) == 1
    told = [line for line in log.read_text("utf-8").splitlines() if "export" in line]
    assert all(lines in line for line in told), "nothing of the library's own"


async def test_a_collector_that_comes_back_is_logged_and_gets_traces(floor: Floor) -> None:
    floor.collector.status = 400
    floor.start()
    log = floor.log.with_name("one.log")
    await floor.tick()
    await eventually(lambda: "does not take traces" in log.read_text("utf-8"))
    floor.collector.status = 200
    await floor.tick(traceparent=WRITER)
    await floor.collector.one("tick", TRACE)
    await eventually(lambda: "takes traces again" in log.read_text("utf-8"))


async def test_unasked_nothing_is_written_sent_or_kept(floor: Floor) -> None:
    floor.start(OTEL_EXPORTER_OTLP_ENDPOINT="")
    await floor.tick()
    assert await floor.is_placed() == ""
    await floor.event("call_answered", campaign_id=1, contact_id=5)
    assert await floor.is_updated("answered") == ""
    assert not any(trace for _, _, trace in floor.outside.asked)
    assert "tr" not in (await floor.record())["h"][0]
