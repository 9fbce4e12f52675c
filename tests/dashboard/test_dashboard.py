"""The dashboard over real HTTP: what it shows, what it does and what it logs."""

from __future__ import annotations

import logging
import re
import socket
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner, Result

from streamdialer.broker.keys import STAGES
from streamdialer.cli import app, extras
from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.reasons import REASONS
from streamdialer.dashboard.formatting import Formatting
from streamdialer.dashboard.language import UTC
from streamdialer.dashboard.middleware import HEADERS
from streamdialer.operations.campaigns import campaign_rows
from streamdialer.operations.streams import stream_states
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.cli import refused
from tests.support.dashboard_fixture import (
    GUARDED,
    KEYS,
    LOOK,
    WALL,
    HttpClient,
    add_dead_letter,
    kinds,
    know_campaign,
    visiting,
)
from tests.support.eventually import eventually

PAGES = ("/", "/campaigns/7", "/calls", "/agents", "/contacts", "/streams", "/replicas", "/dead")
NUMBER = "+573001234567"
ENGLISH = Formatting("en", UTC)


async def status(redis: Redis, campaign: str = "7") -> Any:
    return await redis.hget(KEYS.campaign(campaign), "status")


# ---- what it shows ----


async def test_every_page_is_there_and_loads_nothing_from_elsewhere(redis: Redis, settings: Settings) -> None:
    await know_campaign(redis)
    letter = await add_dead_letter(redis, type="x")
    async with visiting(settings) as visitor:
        for path in (*PAGES, f"/dead/{letter}"):
            page = await visitor.get(path)
            assert page.status_code == 200, page.text
            assert "://" not in page.text
            assert "<script>" not in page.text
            assert " style=" not in page.text
        for file in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text):
            assert (await visitor.get(file)).status_code == 200


async def test_every_answer_has_the_headers_that_keep_others_out(redis: Redis, settings: Settings) -> None:
    async with visiting(settings, **GUARDED) as visitor:
        for path in ("/login", "/", "/nowhere", "/static/live.js", "/static/none", "/live"):
            answer = await visitor.get(path)
            assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, path
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


async def test_a_campaign_says_why_it_is_not_dialed(redis: Redis, settings: Settings) -> None:
    await know_campaign(redis, status="paused")
    async with visiting(settings) as visitor:
        for path in ("/", "/campaigns/7"):
            page = (await visitor.get(path)).text
            assert "Campaign 7 is not dialed: its status is" in page
            assert f"What to do: {ENGLISH.with_code(REASONS['not_active'].remedy)}." in page
        missing = await visitor.get("/campaigns/8")
        assert (missing.status_code, "Campaign 8 is not known." in missing.text) == (404, True)


async def test_the_numbers_are_those_of_the_command_line(redis: Redis, settings: Settings) -> None:
    await know_campaign(redis, status="paused")
    states = {"ready": 1, "deferred": 2, "final": 3, "dialing": 4, "connected": 5, "orphaned": 6}
    for state, count in states.items():
        contacts = {f"{state}-{number}": 10.0**15 for number in range(count)}
        await redis.zadd(getattr(KEYS, state)("7"), contacts)
    await redis.zadd(KEYS.dialing("7"), {"past its deadline": 1.0})
    for _ in range(6):
        await redis.xadd(KEYS.stream("updates"), {"campaign": "7"})
    async with visiting(settings) as visitor:
        campaign, streams = (await visitor.get("/campaigns/7")).text, (await visitor.get("/streams")).text
    row = (await campaign_rows(redis, KEYS, ["7"]))[0]
    assert (row.ready, row.deferred, row.active_calls, row.connected_calls) == (1, 2, 5, 5)
    figures = dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]+)</dd>", campaign))
    expected = {"Contacts ready": "1", "Deferred": "2", "Final": "3"}
    expected |= {"Calls ringing": "5", "Connected": "5", "Uncertain": "7"}
    assert figures | expected == figures
    lengths = dict(re.findall(r'row">(\w+)</th><td data-label="Length">(\d+)<', streams))
    assert lengths == {
        state.stream: str(state.length)
        for state in await stream_states(redis, KEYS)
        if state.stream in STAGES
    }


async def test_foreign_text_is_escaped_and_numbers_are_masked(redis: Redis, settings: Settings) -> None:
    letter = await add_dead_letter(
        redis, type="<script>alert(1)</script>", data=f'{{"phone_number": "{NUMBER}"}}', phone_2=NUMBER
    )
    async with visiting(settings) as visitor:
        page = (await visitor.get(f"/dead/{letter}")).text
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert NUMBER not in page
    assert page.count("•567") == 2


async def test_many_campaigns_come_in_pages(redis: Redis, settings: Settings) -> None:
    for campaign in range(1, 31):
        await know_campaign(redis, str(campaign))
    async with visiting(settings) as visitor:
        first, second = (await visitor.get("/")).text, (await visitor.get("/?page=2")).text
        beyond = await visitor.get("/?page=99999999999999999999")
    assert ('id="campaign-24"' in first, 'id="campaign-25"' in first) == (True, False)
    assert ('id="campaign-24"' in second, 'id="campaign-30"' in second) == (False, True)
    assert beyond.status_code == 200


async def is_unavailable(visitor: HttpClient) -> bool:
    return (await visitor.get("/")).status_code == 503


async def test_the_page_says_that_redis_does_not_answer(settings: Settings) -> None:
    with EmbeddedServer() as mortal:
        async with visiting(settings, redis_url=mortal.url) as visitor:
            assert (await visitor.get("/streams")).status_code == 200
            mortal.stop()
            await eventually(
                lambda: is_unavailable(visitor), what="the overview in memory is too old to show"
            )
            gone = [await visitor.get(path) for path in ("/dead", "/", "/streams")]
    for page in gone:
        assert (page.status_code, "Redis does not answer" in page.text) == (503, True)
        assert page.headers["refresh"] == "5"


# ---- what it does ----


async def test_campaign_actions_do_what_the_command_line_does(redis: Redis, settings: Settings) -> None:
    await know_campaign(redis, status="paused")
    channel = redis.pubsub()
    await channel.subscribe("dialer:events")
    async with visiting(settings) as visitor:
        started = await visitor.send("/campaigns/7/start", back="/campaigns/7")
        assert (started.status_code, started.headers["location"]) == (303, "/campaigns/7")
        assert await status(redis) == "active"
        assert await redis.hget(KEYS.campaign("7"), "started_at")
        assert "Campaign 7 is now active." in (await visitor.get("/campaigns/7")).text
        assert "is now active" not in (await visitor.get("/campaigns/7")).text
        await visitor.send("/campaigns/7/pause")
        assert await status(redis) == "paused"
        await visitor.send("/campaigns/start", campaign="new_one")
        assert await status(redis, "new_one") == "active"
    messages = [message async for message in _messages(channel)]
    assert messages == ["campaign:started:7", "campaign:paused:7", "campaign:started:new_one"]


async def _messages(channel: Any) -> Any:
    while (message := await channel.get_message(ignore_subscribe_messages=False, timeout=0.2)) is not None:
        if message["type"] == "message":
            yield message["data"]
    await channel.aclose()


async def test_stopping_asks_first(redis: Redis, settings: Settings) -> None:
    await know_campaign(redis)
    async with visiting(settings) as visitor:
        question = await visitor.send("/campaigns/7/stop")
        assert (question.status_code, "Stop campaign 7 permanently?" in question.text) == (200, True)
        assert await status(redis) == "active"
        await visitor.send("/campaigns/7/stop", confirmed="yes")
        assert await status(redis) == "cancelled"


async def test_an_action_that_cannot_be_done_says_so(redis: Redis, settings: Settings) -> None:
    async with visiting(settings) as visitor:
        await visitor.send("/campaigns/9/pause")
        assert "Not done: campaign 9:" in (await visitor.get("/")).text
        assert (await visitor.send("/campaigns/start", campaign="a\tb")).status_code == 400
        assert (await visitor.send("/campaigns/7/explode")).status_code == 404
    assert await status(redis, "9") is None


async def test_dead_letters_are_replayed_and_dropped(redis: Redis, settings: Settings) -> None:
    first, second, third, fourth = [await add_dead_letter(redis, type=kind) for kind in "abcd"]
    async with visiting(settings) as visitor:
        await visitor.send("/dead/replay", id=[first])
        assert await kinds(redis, "events") == ["a"]
        question = await visitor.send("/dead/drop", id=[second, third])
        assert "Drop 2 dead letters permanently?" in question.text
        assert await kinds(redis, "dead") == ["b", "c", "d"]
        await visitor.send("/dead/drop", id=[second, third], confirmed="yes")
        assert await kinds(redis, "dead") == ["d"]
        missing = await visitor.send("/dead/replay", id=[fourth, third])
        assert missing.status_code == 303
        assert "Not done: there is no dead letter" in (await visitor.get("/dead")).text
        assert await kinds(redis, "dead") == ["d"]
        await visitor.send("/dead/replay", all="yes")
        assert await kinds(redis, "events") == ["a", "d"]
        await add_dead_letter(redis, type="e")
        assert "Drop all 1 dead letter permanently?" in (await visitor.send("/dead/drop", all="yes")).text
        await visitor.send("/dead/drop", all="yes", confirmed="yes")
        assert await kinds(redis, "dead") == []
        for nonsense in ({}, {"id": ["x"]}):
            assert (await visitor.send("/dead/drop", confirmed="yes", **nonsense)).status_code == 400


async def test_every_action_is_logged_with_user_address_subject_and_outcome(
    redis: Redis, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("streamdialer").setLevel("ERROR")  # audit lines are logged all the same
    await know_campaign(redis)
    async with visiting(settings, **GUARDED) as visitor:
        await visitor.log_in()
        await visitor.send("/campaigns/7/pause")
        await visitor.send("/campaigns/8/pause")
        await visitor.send("/logout")
        await visitor.log_in(WALL, LOOK)
        await visitor.send("/campaigns/7/start")
        await visitor.send("/logout")
        await visitor.log_in(WALL, "a guess")
    logging.getLogger("streamdialer").setLevel("NOTSET")
    lines = [vars(record) for record in caplog.records if record.name == "streamdialer.audit"]
    assert all(line["address"] == "127.0.0.1" for line in lines)
    assert [(line.get("user"), line.get("action", line["msg"]), line["outcome"]) for line in lines] == [
        ("anna", "log-in", "done"),
        ("anna", "campaign pause", "Campaign 7 is now paused."),
        ("anna", "campaign pause", "failed"),
        ("anna", "log-out", "done"),
        ("wall", "log-in", "done"),
        ("wall", "/campaigns/7/start", "read-only"),
        ("wall", "log-out", "done"),
        ("wall", "log-in", "refused"),
    ]
    assert lines[1]["subject"] == "7"
    assert not [line for line in lines if LOOK in str(line) or "a guess" in str(line)]


# ---- starting it ----


@pytest.fixture
def run_dashboard(clean_environment: None) -> Any:
    def invoke(*arguments: str, **environment: str) -> Result:
        return CliRunner().invoke(app, ["dashboard", *arguments], env=environment)

    return invoke


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com"])
def test_without_a_login_it_refuses_other_addresses_than_loopback(run_dashboard: Any, host: str) -> None:
    refused(run_dashboard("--host", host), 2, "without a log-in", "STREAMDIALER_DASHBOARD_TOKEN")


def test_without_a_login_it_refuses_a_proxy(run_dashboard: Any) -> None:
    refused(run_dashboard(STREAMDIALER_DASHBOARD_BEHIND_PROXY="true"), 2, "without a log-in", "proxy")


def test_a_taken_port_and_a_missing_server_are_one_line(run_dashboard: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused(run_dashboard("--port", port), 1, f"port {port}")
    refused(run_dashboard("--port", port, REDIS_URL="redis://127.0.0.1:1"), 3, "cannot be reached")


def test_without_the_extra_it_names_what_to_install(
    run_dashboard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda module: None if module == "jinja2" else True)
    refused(run_dashboard(), 2, "pip install 'streamdialer[dashboard]'")


async def test_the_liveness_page_needs_no_login(redis: Redis, settings: Settings) -> None:
    async with visiting(settings, **GUARDED) as visitor:
        answer = await visitor.get("/live")
    assert (answer.status_code, answer.json()) == (httpx.codes.OK, {"status": "ok"})
