"""Metrics and probes, asked over real HTTP of a real dialer."""

from __future__ import annotations

import threading
import time
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from redis.asyncio import Redis

from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.config.settings import Settings
from streamdialer.consumers.replica import ReplicaOptions, run_replica
from streamdialer.consumers.services import Services
from streamdialer.ledger.metrics import BATCH, HOURS_PER_COLLECT, LedgerMetrics
from streamdialer.observability import metrics
from streamdialer.observability.health import HealthPort
from streamdialer.operations.session import free_port
from streamdialer.simulation.embedded_redis import EmbeddedServer
from streamdialer.simulation.world.build import build_world
from tests.support.dialer import run_dialer
from tests.support.eventually import eventually, wait_until
from tests.support.health_port import Samples, read, scrape, status, status_is, value


def test_counters_end_in_total_and_times_are_in_seconds() -> None:
    for one in metrics.ALL:
        assert one.name.startswith("streamdialer_")
        assert one.name.endswith("_total") == (one.kind == "counter")
        assert one.kind not in ("histogram", "summary") or one.name.endswith("_seconds")
        assert one.meaning.endswith(".")
        assert not {"campaign", "contact", "agent", "attempt"} & set(one.labels)


async def test_a_running_dialer_shows_its_work(redis: Redis, settings: Settings) -> None:
    port = free_port()
    world = build_world(agents=6, contacts=40, campaigns=2, mode="progressive", speed=60)
    async with run_dialer(settings, world, health_port=port) as dialer:
        before = await scrape(port)
        await dialer.until(lambda audit: audit.total.originates >= 20, within_s=40)
        await eventually(lambda: status_is(port, "/ready", 200))

        async def renewed() -> Samples | None:
            samples = await scrape(port)
            is_whole = value(samples, "streamdialer_campaigns", state="active") == 2
            return samples if is_whole and value(samples, "streamdialer_agents") == 6 else None

        samples = await eventually(renewed, what="what Redis holds is measured anew")
        known = set(msgspec.to_builtins([one.name for one in metrics.ALL]))
        bases = {
            name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name, _ in samples
        }
        assert bases - known <= {name for name in bases if name.startswith("process_")}
        assert known <= bases, "each is there"

    def rise(name: str, **labels: str) -> float:
        return value(samples, name, **labels) - value(before, name, **labels)

    placed = rise("streamdialer_originates_total", verdict="placed")
    assert placed >= 10
    assert rise("streamdialer_entries_total", stage="calls", outcome="done") >= placed
    assert rise("streamdialer_entry_seconds_count", stage="events") > 0
    assert rise("streamdialer_http_requests_total", service="dialer_api", outcome="2xx") >= placed
    assert rise("streamdialer_http_request_seconds_count", service="backend") > 0
    assert rise("streamdialer_pacing_reserved_calls_total", mode="progressive") >= placed
    assert rise("streamdialer_pacing_wanted_calls_total", mode="progressive") >= placed
    assert rise("streamdialer_pacing_limits_total") > 0
    assert rise("streamdialer_ticks_total", kind="dial", status="ok") > 0
    assert rise("streamdialer_attempts_ended_total") > 0
    assert rise("streamdialer_reaction_seconds_count") > 0
    assert 0 < rise("streamdialer_reaction_seconds_sum") < 0.5 * rise("streamdialer_reaction_seconds_count")
    assert rise("streamdialer_script_seconds_count", script="reserve_contacts") > 0
    assert rise("streamdialer_redis_round_trip_seconds_count") > 0
    assert value(samples, "streamdialer_redis_up") == value(samples, "streamdialer_ready") == 1
    assert value(samples, "streamdialer_campaigns", state="active") == 2
    assert value(samples, "streamdialer_agents") == 6
    assert value(samples, "streamdialer_calls") + value(samples, "streamdialer_contacts") > 0
    assert value(samples, "streamdialer_dead_letters") == 0


async def test_what_redis_holds_is_measured(redis: Redis, services: Services) -> None:
    keys = services.keys
    now_s, _ = await redis.time()
    hour = now_s // 3600
    for number in range(BATCH + 2):
        await redis.hset(keys.directory, str(number), "sales")
    pacing = msgspec.json.encode({"cap": 0.03, "window_h": 24}).decode()
    for campaign, people, abandoned in (("0", 100, 2), ("1", 100, 9), ("2", 0, 0), ("3", 100, 50)):
        await redis.hset(keys.queue_pacing("sales"), campaign, pacing)
        await redis.hset(keys.campaign(campaign), "status", "paused" if campaign == "3" else "active")
        totals: Any = {
            f"p{hour % 744}": hour * 1_000_000 + people,
            f"b{hour % 744}": hour * 1_000_000 + abandoned,
            f"b{(hour - 30) % 744}": (hour - 30) * 1_000_000 + 77,
        }
        await redis.hset(keys.totals(campaign), mapping=totals)
    await redis.zadd(keys.dialing("0"), {"a": 1, "b": (now_s + 60) * 1000})
    await redis.zadd(keys.orphaned("1"), {"a": 1})
    await redis.zadd(keys.queue_free("sales"), {"7": 1, "8": 1})
    await redis.expire(keys.queue_free("sales"), 60)
    await redis.hset(keys.api, mapping={"until": (now_s + 60) * 1000, "reason": "dialer_api_down"})
    await redis.xgroup_create(keys.stream("calls"), "streamdialer", mkstream=True)
    for _ in range(3):
        await redis.xadd(keys.stream("calls"), {"a": "1"}, id=f"{(now_s - 90) * 1000}-*")
    await redis.xreadgroup("streamdialer", "me", {keys.stream("calls"): ">"}, count=1)

    before = {key: await redis.dump(key) for key in await redis.keys()}
    await LedgerMetrics(services.scripts, keys).collect()
    assert {key: await redis.dump(key) for key in await redis.keys()} == before, "nothing was written"

    samples = read(metrics.exposition(with_ledger=True).decode())
    assert value(samples, "streamdialer_campaigns", state="active") == 3
    assert value(samples, "streamdialer_campaigns", state="other") == BATCH - 1
    assert value(samples, "streamdialer_campaigns_over_abandon_cap") == 1
    assert value(samples, "streamdialer_abandon_ratio") == pytest.approx(11 / 200)
    assert value(samples, "streamdialer_abandon_ratio_of_cap_max") == pytest.approx(3.0)
    assert value(samples, "streamdialer_calls", state="dialing") == 2
    assert value(samples, "streamdialer_uncertain_attempts", why="silent") == 1
    assert value(samples, "streamdialer_uncertain_attempts", why="forgotten") == 1
    assert value(samples, "streamdialer_agents", state="free") == 2
    assert value(samples, "streamdialer_dialer_api_paused", reason="dialer_api_down") == 1
    assert value(samples, "streamdialer_dialer_api_paused", reason="dialer_api_credentials") == 0
    assert value(samples, "streamdialer_stream_length", stream="calls") == 3
    assert value(samples, "streamdialer_stream_lag", stream="calls") == 2
    assert 89 < value(samples, "streamdialer_stream_oldest_pending_seconds", stream="calls") < 100


async def test_abandon_rates_of_many_campaigns_are_read_in_turn(redis: Redis, services: Services) -> None:
    keys, window_h = services.keys, 720
    hour = (await redis.time())[0] // 3600
    pacing = msgspec.json.encode({"cap": 0.03, "window_h": window_h}).decode()
    for campaign in map(str, range(10)):
        await redis.hset(keys.directory, campaign, "sales")
        await redis.hset(keys.queue_pacing("sales"), campaign, pacing)
        await redis.hset(keys.campaign(campaign), "status", "active")
        totals: Any = {f"{letter}{(hour - 719) % 744}": (hour - 719) * 1_000_000 + 5 for letter in "pb"}
        await redis.hset(keys.totals(campaign), mapping=totals)
    readings, seen = LedgerMetrics(services.scripts, keys), []
    for _ in range(4):
        await readings.collect()
        seen.append(metrics.LEDGER.get_sample_value("streamdialer_campaigns_over_abandon_cap"))
    at_once = HOURS_PER_COLLECT // window_h
    assert seen == [at_once, 2 * at_once, 10, 10], "what was read before is remembered"
    for campaign in map(str, range(10)):
        await redis.hset(keys.totals(campaign), f"b{(hour - 719) % 744}", (hour - 719) * 1_000_000)
    for _ in range(3):
        await readings.collect()
    assert metrics.LEDGER.get_sample_value("streamdialer_campaigns_over_abandon_cap") == 0, "and read again"


async def test_a_redis_that_is_away_is_a_value_and_not_an_error(settings: Settings) -> None:
    port = free_port()
    with EmbeddedServer() as server:
        here = msgspec.structs.replace(settings, redis_url=server.url, health_port=port)
        run = ShutdownSignal()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run_replica, here, ReplicaOptions(), run)
            await eventually(lambda: status_is(port, "/ready", 200))
            server.kill()
            await eventually(lambda: status_is(port, "/ready", 503))
            samples = await scrape(port)
            assert value(samples, "streamdialer_redis_up") == value(samples, "streamdialer_ready") == 0
            assert "streamdialer_stream_length" not in {name for name, _ in samples}, "not known any more"
            assert await status(port, "/live") == 200
            server.restart()
            await eventually(lambda: status_is(port, "/ready", 200))
            run.stop()
            await eventually(lambda: status_is(port, "/live", 0))


async def test_a_stopping_replica_is_alive_and_not_ready() -> None:
    is_stopping = False

    async def measured() -> bool:
        return True

    port = free_port()
    async with HealthPort(measured, lambda: is_stopping).listening("127.0.0.1", port):
        await eventually(lambda: status_is(port, "/ready", 200))
        is_stopping = True
        assert await status(port, "/ready") == 503
        assert await status(port, "/live") == await status(port, "/") == 200
        assert await status(port, "/else") == 404


async def test_all_scrapes_share_one_reading() -> None:
    readings = 0

    async def measured() -> bool:
        nonlocal readings
        readings += 1
        await anyio.sleep(1)  # longer than it takes to start twenty scrapes on a busy machine
        return True

    port = free_port()
    async with HealthPort(measured, lambda: False).listening("127.0.0.1", port):
        await eventually(lambda: status_is(port, "/live", 200))
        async with anyio.create_task_group() as scrapes:
            for _ in range(20):
                scrapes.start_soon(scrape, port)
        assert readings == 1


def test_a_stuck_event_loop_does_not_answer() -> None:
    port, stuck, over = free_port(), threading.Event(), threading.Event()

    async def work() -> None:
        async def measured() -> bool:
            return True

        async with HealthPort(measured, lambda: False).listening("127.0.0.1", port):
            await eventually(stuck.is_set)
            over.wait(10)  # a handler that computes, or blocks: the thread lives
            await anyio.sleep(0.5)

    def is_live(timeout_s: float) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/live", timeout=timeout_s).status_code == 200
        except httpx.TransportError:
            return False

    loop = threading.Thread(target=anyio.run, args=(work,))
    loop.start()
    try:
        wait_until(lambda: is_live(1))
        stuck.set()
        time.sleep(0.05)
        assert not is_live(0.5)
        over.set()
        assert is_live(2), "and is alive again when the loop goes on"
    finally:
        stuck.set()
        over.set()
        loop.join()
