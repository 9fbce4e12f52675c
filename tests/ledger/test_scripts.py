"""Running scripts: gathered into pipelines, asked again when a reply is lost, stopped without hanging."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, InvalidResponse

from streamdialer.broker.connection import connect
from streamdialer.broker.scripts import PIPELINES, Script, Scripts
from streamdialer.consumers.services import Services
from streamdialer.errors import Unreachable
from streamdialer.ledger.campaigns import DUE_CAMPAIGNS
from streamdialer.model import Agent
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.eventually import eventually
from tests.support.ledger_fixture import LedgerWorld


async def test_many_tasks_share_few_round_trips(redis: Redis, services: Services) -> None:
    before = int((await redis.info("stats"))["total_reads_processed"])
    async with anyio.create_task_group() as tasks:
        for _ in range(500):
            tasks.start_soon(services.campaigns.due_campaigns, 1)
    reads = int((await redis.info("stats"))["total_reads_processed"]) - before
    assert reads < 60


async def test_scripts_the_server_has_forgotten_are_loaded_again(redis: Redis, services: Services) -> None:
    await services.campaigns.due_campaigns(1)
    await redis.script_flush()
    assert await services.campaigns.due_campaigns(1) == []


async def test_a_lost_reply_is_asked_for_again(
    redis: Redis, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await services.campaigns.due_campaigns(1)  # the server knows the script from now on
    send: Callable[[Any], Awaitable[list[Any]]] = services.scripts._send
    tries: list[int] = []

    async def lossy(batch: Any) -> list[Any]:
        answers = await send(batch)
        tries.append(len(batch))
        if len(tries) < 3:
            raise RedisConnectionError("the reply was lost")
        return answers

    monkeypatch.setattr(services.scripts, "_send", lossy)
    assert await services.campaigns.due_campaigns(1) == []
    assert len(tries) == 3


async def test_an_answer_that_is_no_answer_is_asked_for_again(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    send: Callable[[Any], Awaitable[list[Any]]] = services.scripts._send
    tries: list[int] = []

    async def garbled(batch: Any) -> list[Any]:
        tries.append(len(batch))
        if len(tries) <= 2 * PIPELINES:
            raise InvalidResponse("Protocol error")
        return await send(batch)

    monkeypatch.setattr(services.scripts, "_send", garbled)
    with anyio.fail_after(10):
        assert await services.campaigns.due_campaigns(1) == []


async def test_what_cannot_be_sent_is_said_to_its_caller_and_the_others_go_on(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(batch: Any) -> list[Any]:
        raise DataError("Invalid input of type")

    with monkeypatch.context() as patch:
        patch.setattr(services.scripts, "_send", refuses)
        for _ in range(2 * PIPELINES):
            with pytest.raises(DataError), anyio.fail_after(5):
                await services.campaigns.due_campaigns(1)
    with anyio.fail_after(5):
        assert await services.campaigns.due_campaigns(1) == []


async def test_without_patience_a_server_that_is_away_is_said_at_once() -> None:
    client = connect("redis://127.0.0.1:9/0")
    async with Scripts(client, patient=False) as scripts:
        with pytest.raises(Unreachable, match="does not answer"):
            await scripts.run(DUE_CAMPAIGNS, ["sd:sweep_schedule"], [1])
    await client.aclose()


async def test_closing_ends_even_when_a_cancellation_is_swallowed(server: EmbeddedServer) -> None:
    client = connect(server.url)
    scripts = Scripts(client)

    async def swallows_the_first(runs: Any) -> list[Any]:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(60)
        return []

    scripts._send = swallows_the_first  # type: ignore[method-assign]
    with anyio.fail_after(5):
        async with scripts, anyio.create_task_group() as tasks:
            tasks.start_soon(scripts.run, DUE_CAMPAIGNS, ["sd:sweep_schedule"], [1])
            await anyio.sleep(0.05)
            tasks.cancel_scope.cancel()
    await client.aclose()


async def test_more_tasks_than_connections_take_turns(services: Services) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(300):
            tasks.start_soon(services.queues.queue_of, str(number))


async def test_a_server_that_takes_no_writes_now_is_waited_for(
    redis: Redis, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    await services.queues.replace_agents("sales", [Agent(7, "offline")], 1)
    await redis.config_set("min-replicas-to-write", 1)
    answers: list[str] = []

    async def note() -> None:
        applied = await services.queues.apply_agent_event("sales", "7", state="available", entry="2-0")
        answers.append(applied.status)

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(note)
            await eventually(lambda: "Redis refuses writes, waiting for it" in caplog.messages)
            assert answers == []
            assert not await redis.exists("sd:q:sales:free")
            await redis.config_set("min-replicas-to-write", 0)
            await eventually(lambda: answers == ["freed"])
    finally:
        await redis.config_set("min-replicas-to-write", 0)


async def test_scripts_add_no_trace_field_unless_tracing_is_on(services: Services) -> None:
    world = LedgerWorld(services)
    await world.open_campaign(contacts=1, agents=1)
    attempt = await world.place_one()
    entries: Any = await services.client.xrange(services.keys.stream("calls"))
    assert "traceparent" not in entries[0][1]
    assert await world.event("call_answered", attempt) == "applied"
    await services.ticks.enqueue("dial", ["1"])
    entries = await services.client.xrange(services.keys.stream("ticks"))
    assert entries[-1][1] == {"kind": "dial", "campaign_id": "1", "wake": "1"}


async def test_periodic_ticks_of_many_campaigns_come_one_after_the_other(services: Services) -> None:
    campaigns, client, keys = list(map(str, range(50))), services.client, services.keys
    for campaign in campaigns:
        await client.hset(keys.campaign(campaign), "status", "active")
    assert len(await services.ticks.enqueue("dial", campaigns, interval_s=3600)) == 50, (
        "the first come at once"
    )
    assert await services.ticks.enqueue("dial", campaigns, interval_s=3600) == []
    stored: Any = await client.hgetall(keys.tick_slots)
    starts = sorted(int(slot) % 3_600_000 for slot in stored.values())
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert max(gaps) < 3_600_000 / 4, "no quarter of the interval is without ticks"


async def test_a_tick_that_an_event_adds_takes_the_place_of_the_periodic_one(services: Services) -> None:
    client, keys, ticks = services.client, services.keys, services.ticks
    await client.hset(keys.campaign("1"), "status", "active")
    (first,) = await ticks.enqueue("dial", ["1"], interval_s=3600)
    await ticks.start("1", first)
    long_ago = int(await client.hget(keys.tick_slots, "dial:1") or 0) - 2 * 3_600_000
    await client.hset(keys.tick_slots, "dial:1", str(long_ago))
    (woken,) = await ticks.enqueue("dial", ["1"])
    await ticks.start("1", woken)
    assert await ticks.enqueue("dial", ["1"], interval_s=3600) == []
    await client.hset(keys.tick_slots, "dial:1", str(long_ago))
    assert len(await ticks.enqueue("dial", ["1"], interval_s=3600)) == 1


async def test_a_script_that_only_reads_runs_on_a_server_without_the_command_for_it() -> None:
    reading = Script("streamdialer.ledger", "abandon_metrics", only_reads=True)
    with EmbeddedServer("--rename-command", "EVALSHA_RO", "") as old:
        async with aclosing(connect(old.url)) as client, Scripts(client) as scripts:
            with anyio.fail_after(10):
                assert await scripts.run(reading, ["server"], []) == "{}"
