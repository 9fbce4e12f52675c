"""Tenants on one Redis: each has all names of its own, and moves to another Redis as a whole."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack, aclosing
from typing import Any

import anyio
import msgspec
import pytest
from redis.asyncio import Redis

from streamdialer import Producer, Replica, SyncProducer
from streamdialer.broker.background_duty import running
from streamdialer.broker.connection import connect, keys_for, keys_of, names_to_tell
from streamdialer.broker.heartbeat import Heartbeat
from streamdialer.broker.keys import Keys
from streamdialer.broker.layout import LAYOUT
from streamdialer.broker.scripts import Scripts
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.config.settings import Settings
from streamdialer.errors import CannotBeDone
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.operations.move import COPY_ROUNDS, MoveResult, Place, move
from streamdialer.simulation.embedded_redis import EmbeddedServer
from streamdialer.simulation.world.build import build_world
from tests.support.cli import Run, ok, refused
from tests.support.dialer import Dialer, run_dialer
from tests.support.eventually import eventually

ACME, BETA = (keys_for("redis://h", name) for name in ("acme", "beta"))


async def test_two_tenants_dial_the_same_ids_and_numbers_apart(redis: Redis, settings: Settings) -> None:
    async with AsyncExitStack() as opened:
        dialers: list[Dialer] = []
        for keys in (ACME, BETA):
            await mark_server_trusted(redis, keys)
            here = msgspec.structs.replace(settings, namespace=keys.prefix[1:5])
            world = build_world(agents=3, contacts=4, answer_rate=1.0)
            dialers.append(await opened.enter_async_context(run_dialer(here, world, speed=300)))
        for dialer in dialers:
            audit = await dialer.until_all_are_final()
            assert (audit.double_dials, audit.total.answered_by_person) == (0, 4)
    assert await redis.hget("{acme}:campaign:1", "total_calls") == "4"
    assert not await redis.exists("campaign:1")
    assert {str(key)[:7] async for key in redis.scan_iter()} <= {"{acme}:", "{beta}:", "sd:serv"}


async def test_a_start_message_of_another_tenant_is_not_heard(redis: Redis, settings: Settings) -> None:
    assert (Keys().channel, ACME.channel) == ("dialer:events", "{acme}:dialer:events")
    async with aclosing(redis.pubsub()) as heard:
        await heard.subscribe(BETA.channel)
        for keys in (ACME, BETA):
            await redis.publish(keys.channel, f"campaign:started:{keys.prefix}")

        async def message() -> Any:
            return await heard.get_message(ignore_subscribe_messages=True)

        assert (await eventually(message))["data"] == "campaign:started:{beta}:"


async def test_a_producer_writes_to_the_tenant_it_is_given(redis: Redis, server: EmbeddedServer) -> None:
    async with Producer.from_url(server.url, namespace="acme") as producer:
        await producer.event("agent_available", agent_id=1, queue="sales")

    def add_another() -> None:
        with SyncProducer.from_url(server.url, "acme") as blocking:
            blocking.event("agent_available", agent_id=1, queue="sales")

    await anyio.to_thread.run_sync(add_another)
    assert await redis.xlen("{acme}:dialer:events") == 2
    assert not await redis.exists("dialer:events")


@pytest.mark.parametrize("name", ["a b", "{a}", "a:b", "-a", "a*", "x" * 64])
def test_a_name_that_could_be_read_in_two_ways_is_refused(run: Run, name: str) -> None:
    refused(run(f"--namespace={name}", "campaign", "list"), 2, "STREAMDIALER_NAMESPACE", "letters, digits")
    refused(run("consume", f"--namespaces=acme,{name}"), 2, "--namespaces", "letters, digits")


def test_no_tenant_is_served_twice_by_one_command(run: Run) -> None:
    refused(run("tick", "--once", "--namespaces", "a,b,a"), 2, "different names")


def test_tick_serves_several_tenants(run: Run, db: Any) -> None:
    for keys in (ACME, BETA):
        db.hset(keys.campaign("1"), "status", "active")
    assert ok(run("tick", "--once", "--namespaces", "acme,beta")) == "6 ticks added\n"
    assert [db.xlen(keys.stream("ticks")) for keys in (ACME, BETA, Keys())] == [3, 3, 0]


def test_a_command_reads_the_tenant_it_is_given(run: Run, db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    db.hset(ACME.campaign("7"), "status", "active")
    assert "7" in ok(run("--namespace", "acme", "campaign", "list"))
    monkeypatch.setenv("STREAMDIALER_NAMESPACE", "acme")
    assert "7" in ok(run("campaign", "list"))
    assert "7" not in ok(run("--namespace", "beta", "campaign", "list"))


def test_on_cluster_names_that_nobody_has_chosen_are_told(settings: Settings) -> None:
    here = msgspec.structs.replace(settings, redis_url="redis+cluster://h")
    told = names_to_tell(here)
    assert told is not None
    assert "{dialer}:campaign:1" in told
    assert "STREAMDIALER_NAMESPACE" in told
    assert keys_of(here).campaign("1") == "{dialer}:campaign:1"
    assert names_to_tell(msgspec.structs.replace(here, namespace="acme")) is None
    assert names_to_tell(settings) is None


# the layout of the data


ANOTHER = pytest.mark.parametrize(("layout", "word"), [(LAYOUT - 1, "older"), (LAYOUT + 1, "newer")])


@ANOTHER
def test_no_command_works_with_data_of_another_version(run: Run, db: Any, layout: int, word: str) -> None:
    db.hset(Keys().server, "layout", str(layout))
    for command in (("campaign", "list"), ("consume",), ("run", "dial", "1", "--inline"), ("tick", "--once")):
        refused(run(*command), 1, word, f"layout {layout}")


def test_doctor_names_data_of_another_version(run: Run, db: Any) -> None:
    db.hset(Keys().server, "layout", str(LAYOUT + 1))
    assert "fail layout: the data in Redis was written by a newer" in run("doctor").stdout


@ANOTHER
async def test_no_replica_works_with_data_of_another_version(
    redis: Redis, settings: Settings, layout: int, word: str
) -> None:
    await redis.hset(Keys().server, "layout", str(layout))
    with pytest.raises(CannotBeDone, match=word):
        async with Replica(settings):
            pass


async def test_a_process_stops_when_a_newer_version_has_taken_over_the_data(
    redis: Redis, scripts: Scripts, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamdialer.broker.heartbeat.INTERVAL_S", 0.02)
    caplog.set_level(logging.ERROR, "streamdialer")
    shutdown = ShutdownSignal()
    async with running(Heartbeat(scripts, Keys(), shutdown, "it", "consume")):
        await eventually(lambda: redis.hget(Keys().server, "layout"))
        assert not shutdown.stopping
        await redis.hset(Keys().server, "layout", str(LAYOUT + 1))
        with anyio.fail_after(10):
            await shutdown.wait_stopping()
    assert [record.message for record in caplog.records] == ["this process stops"]


@pytest.fixture
async def scripts(redis: Redis) -> Any:
    async with Scripts(redis) as opened:
        yield opened


# moving a tenant


@pytest.fixture
def other_server() -> Any:
    with EmbeddedServer() as running_server:
        yield running_server


async def places(redis: Redis, other: Redis) -> tuple[Place, Place]:
    return Place(redis, ACME, "redis://old"), Place(other, ACME, "redis://new")


async def moved(source: Place, target: Place, wait_s: float = 10) -> tuple[MoveResult, list[str]]:
    said: list[str] = []
    return await move(source, target, wait_s=wait_s, say=said.append), said


async def test_a_tenant_goes_on_where_it_was_moved_to(
    redis: Redis, settings: Settings, other_server: EmbeddedServer
) -> None:
    await mark_server_trusted(redis, ACME)
    here = msgspec.structs.replace(settings, namespace="acme")
    world = build_world(agents=2, contacts=6, answer_rate=1.0)
    async with aclosing(connect(other_server.url)) as other:
        source, target = await places(redis, other)
        said: list[str] = []
        async with anyio.create_task_group() as tasks:
            results: list[MoveResult] = []

            async def move_it() -> None:
                results.append(await move(source, target, wait_s=20, say=said.append))

            async with run_dialer(here, world, speed=300) as dialer:
                await dialer.until(lambda audit: audit.total.originates >= 2)
                tasks.start_soon(move_it)
                await eventually(
                    lambda: not dialer.centre.live_calls() and any("stop these" in line for line in said)
                )
            await eventually(lambda: results)
        first = dialer.centre.summary()
        assert first.total.originates < 6
        assert said[0] == "paused: 1"
        assert results[0].started == ["1"]
        assert await other.hget(ACME.campaign("1"), "status") == "active"
        assert [str(key) async for key in redis.scan_iter("{acme}:*")] == [ACME.server]
        there = msgspec.structs.replace(here, redis_url=other_server.url)
        async with run_dialer(there, world, speed=300, start=False) as dialer:
            audit = await dialer.until_all_are_final()
        assert audit.double_dials == 0
        assert await other.hget(ACME.server, "loss_count") is None, "the new server counts as the old one"


async def filled(client: Redis, keys: Keys) -> None:
    await client.hset(keys.campaign("1"), "status", "active")
    await client.hset(keys.dnc, "573001234567", "asked")
    await client.xadd(keys.stream("events"), {"type": "x"})
    await client.xgroup_create(keys.stream("events"), "streamdialer", "0")
    await client.set(keys.tick("1-1"), b"\xff\x00", px=60_000)


async def test_every_key_is_moved_as_it_is(redis: Redis, other_server: EmbeddedServer) -> None:
    async with aclosing(connect(other_server.url)) as other:
        source, target = await places(redis, other)
        await filled(redis, ACME)
        await redis.set("{beta}:campaign:1", "another tenant's")
        reading: list[Any] = [redis, other]
        before = await reading[0].dump(ACME.stream("events"))
        result, _ = await moved(source, target)
        assert (result.keys, result.started) == (4, ["1"])
        assert await reading[1].dump(ACME.stream("events")) == before
        assert 50_000 < await other.pttl(ACME.tick("1-1")) <= 60_000
        assert await redis.get("{beta}:campaign:1") == "another tenant's"
        await redis.delete("{beta}:campaign:1")
        back, _ = await moved(target, source)
        assert back.keys == 4
        assert await redis.hget(ACME.campaign("1"), "status") == "active"
        await redis.delete(ACME.tick("1-1"))


async def test_nothing_is_moved_while_a_call_may_be_up(redis: Redis, other_server: EmbeddedServer) -> None:
    async with aclosing(connect(other_server.url)) as other:
        source, target = await places(redis, other)
        await filled(redis, ACME)
        for state in ("reserved", "dialing", "connected", "orphaned"):
            key = getattr(ACME, state)("1")
            await redis.zadd(key, {"5": 1})
            with pytest.raises(
                CannotBeDone, match=r"nothing was moved: waiting for 1 calls.*stay paused: 1; run it"
            ):
                await moved(source, target, wait_s=0)
            await redis.delete(key)
        assert await other.dbsize() == 0
        assert await redis.hget(ACME.campaign("1"), "status") == "paused"
        result, _ = await moved(source, target)
        assert result.started == ["1"], "what the first try has paused"


async def test_nothing_is_moved_while_a_process_runs(
    redis: Redis, scripts: Scripts, other_server: EmbeddedServer
) -> None:
    async with aclosing(connect(other_server.url)) as other:
        source, target = await places(redis, other)
        await filled(redis, ACME)
        async with running(Heartbeat(scripts, ACME, ShutdownSignal(), "r1", "consume")):
            await eventually(lambda: redis.exists(ACME.replicas))
            with pytest.raises(CannotBeDone, match=r"stop these processes now: r1 \(consume\)"):
                await moved(source, target, wait_s=0)
        assert await other.dbsize() == 0


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize("after", range(1, 18))
async def test_a_move_that_was_interrupted_is_finished(
    redis: Redis, other_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, after: int, *, is_done: bool
) -> None:
    """The connection is cut before or after each write of the move, to either server."""
    async with aclosing(connect(other_server.url)) as other:
        source, target = await places(redis, other)
        await filled(redis, ACME)
        with monkeypatch.context() as broken:
            calls = [0]
            for client in (redis, other):
                for name in ("hset", "hsetnx", "hdel", "eval", "unlink", "delete"):
                    whole = getattr(client, name)

                    async def breaks(*args: Any, whole: Any = whole, **options: Any) -> Any:
                        calls[0] += 1
                        if calls[0] == after and not is_done:
                            raise ConnectionError("cut")
                        answer = await whole(*args, **options)
                        if calls[0] == after:
                            raise ConnectionError("cut")
                        return answer

                    broken.setattr(client, name, breaks)
            with pytest.raises(ConnectionError):
                await moved(source, target)
        await moved(source, target)
        assert [str(key) async for key in redis.scan_iter("{acme}:*")] == [ACME.server]
        assert await redis.hkeys(ACME.server) == ["moved_to", "layout"]
        assert await other.dbsize() == 5
        assert await other.hget(ACME.campaign("1"), "status") == "active"
        assert not await other.hexists(ACME.server, "moving")


async def test_a_second_move_takes_over_from_the_first(
    redis: Redis, other_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with aclosing(connect(other_server.url)) as other:
        source, target = await places(redis, other)
        await filled(redis, ACME)
        reading: Any = redis
        whole, results = reading.dump, list[MoveResult]()

        async def slow(name: str) -> Any:
            payload = await whole(name)
            if not results:
                monkeypatch.setattr(redis, "dump", whole)
                results.append((await moved(source, target))[0])
            return payload

        monkeypatch.setattr(redis, "dump", slow)
        with pytest.raises(CannotBeDone, match="another move has"):
            await moved(source, target)
        assert [result.keys for result in results] == [4]
        assert await other.hget(ACME.campaign("1"), "status") == "active"


@pytest.mark.parametrize("writes", [1, 100])
async def test_what_is_written_during_the_copy_comes_along_or_stops_the_move(
    redis: Redis, other_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    async with aclosing(connect(other_server.url)) as other:
        source, target = await places(redis, other)
        await filled(redis, ACME)
        reading: Any = redis
        whole, left, events = reading.dump, [writes], ACME.stream("events")

        async def dump(name: str) -> Any:
            payload = await whole(name)
            if name == events and left[0]:
                left[0] -= 1
                await redis.xadd(events, {"type": "do_not_call"})
            return payload

        monkeypatch.setattr(redis, "dump", dump)
        if writes > COPY_ROUNDS:
            with pytest.raises(CannotBeDone, match="programs go on writing"):
                await moved(source, target)
            assert await redis.xlen(events) > 1, "nothing was deleted"
        else:
            await moved(source, target)
            assert await other.xlen(events) == 2


async def test_what_programs_write_to_the_old_server_afterwards_is_named_and_kept(
    redis: Redis, other_server: EmbeddedServer
) -> None:
    async with aclosing(connect(other_server.url)) as other:
        source, target = await places(redis, other)
        await filled(redis, ACME)
        await moved(source, target)
        assert (await moved(source, target))[0].keys == 0, "once more does no harm"
        await redis.xadd(ACME.stream("events"), {"type": "do_not_call"})
        with pytest.raises(CannotBeDone, match=r"still write to redis://old, such as \{acme\}:dialer:events"):
            await moved(source, target)
        assert await redis.xlen(ACME.stream("events")) == 1


async def test_data_that_is_there_is_not_overwritten(redis: Redis, other_server: EmbeddedServer) -> None:
    async with aclosing(connect(other_server.url)) as other:
        source, target = await places(redis, other)
        await filled(redis, ACME)
        await other.hset(ACME.campaign("9"), "status", "active")
        with pytest.raises(CannotBeDone, match="holds data of this namespace already"):
            await moved(source, target)
        assert await redis.hget(ACME.campaign("1"), "status") == "active"


async def test_a_loss_that_nobody_has_noticed_is_noticed_after_the_move(
    redis: Redis, other_server: EmbeddedServer
) -> None:
    async with aclosing(connect(other_server.url)) as other:
        source, target = await places(redis, other)
        await filled(redis, ACME)
        await redis.hset(ACME.server, "run", "another")
        await moved(source, target)
        assert await other.hget(ACME.server, "run") == "another"


def test_programs_with_the_old_address_refuse_and_name_the_new_one(run: Run, db: Any) -> None:
    with EmbeddedServer(tcp=True) as new:
        db.hset("campaign:1", "status", "active")
        assert "active campaigns: 1" in ok(run("namespace", "move", "--to", new.url))
        for command in (("campaign", "list"), ("consume",), ("tick", "--once")):
            refused(run(*command), 1, "was moved to", new.url)
        assert "active" in ok(run("--redis-url", new.url, "campaign", "list"))
        refused(run("namespace", "move", "--to", "nonsense"), 2, "--to")
