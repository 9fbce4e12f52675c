"""The consumer-group machinery: nothing is lost, nothing stops it, and it leaves nothing behind."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import msgspec
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from streamdialer.broker.concurrency import ConcurrencyLimit
from streamdialer.broker.connection import close, connect
from streamdialer.broker.consumer import StreamConsumer
from streamdialer.broker.consumer_group import ConsumerGroup
from streamdialer.broker.dead_letters import DeadLetters
from streamdialer.broker.entries import BadEntry, Entry
from streamdialer.broker.keys import GROUP, Keys, Stage
from streamdialer.broker.scripts import Scripts
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.consumers.services import Services
from streamdialer.errors import Unreachable
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.eventually import eventually

STREAM = "dialer:events"
RETENTION_MS = 60_000


class Worker:
    """A consumer in this process with a handler of the test's own."""

    def __init__(
        self,
        services: Services,
        reader: Redis,
        name: str,
        concurrency: int = 10,
        max_deliveries: int = 3,
        claim_min_idle_s: float = 0.3,
        stage: Stage = "events",
    ) -> None:
        self.seen: list[str] = []
        self.running = 0
        self.most_running = 0
        self.handle: Callable[[Entry], Awaitable[None]] = self.note
        self.run = ShutdownSignal()
        self.concurrency = ConcurrencyLimit(concurrency)
        group = ConsumerGroup(
            reader=reader,
            scripts=services.scripts,
            keys=Keys(),
            stage=stage,
            consumer=name,
            dead_letters_maxlen=100,
            dead_letters_max_bytes=1_000_000,
            retention_ms=RETENTION_MS,
        )
        self.consumer = StreamConsumer(
            group,
            self._handle,
            self.concurrency,
            self.run,
            read_block_s=0.05,
            claim_min_idle_s=claim_min_idle_s,
            max_deliveries=max_deliveries,
            idle_consumer_ttl_s=600,
        )

    async def note(self, entry: Entry) -> None:
        self.seen.append(entry.fields["n"])

    def close_gate(self) -> anyio.Event:
        """Its handlers wait until the event is set."""
        gate = anyio.Event()

        async def wait(entry: Entry) -> None:
            await gate.wait()
            await self.note(entry)

        self.handle = wait
        return gate

    async def _handle(self, entry: Entry) -> None:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self.handle(entry)
        finally:
            self.running -= 1

    @asynccontextmanager
    async def working(self, shutdown_timeout_s: float = 1.0) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.consumer.serve, shutdown_timeout_s)
            yield
            self.run.stop()


@pytest.fixture
async def reader(redis: Redis, server: EmbeddedServer) -> AsyncIterator[Redis]:
    client = connect(server.url)
    yield client
    await client.aclose()


NewWorker = Callable[..., Worker]


@pytest.fixture
def new_worker(services: Services, reader: Redis) -> NewWorker:
    return partial(Worker, services, reader)


@pytest.fixture
def letters(services: Services) -> DeadLetters:
    return DeadLetters(services.client, services.scripts, services.keys)


async def add(redis: Redis, count: int, start: int = 0) -> None:
    for number in range(start, start + count):
        await redis.xadd(STREAM, {"n": str(number)})


async def pending(redis: Redis) -> int:
    return int((await redis.xpending(STREAM, GROUP))["pending"])


async def is_empty(redis: Redis) -> bool:
    return await redis.xlen(STREAM) == 0


async def scripts_run(redis: Redis) -> int:
    return int((await redis.info("commandstats")).get("cmdstat_evalsha", {}).get("calls", 0))


async def test_entries_that_end_together_are_acknowledged_together(
    new_worker: NewWorker, redis: Redis
) -> None:
    worker = new_worker("a", concurrency=100, claim_min_idle_s=600)
    async with worker.working():
        gate = worker.close_gate()
        await add(redis, 100)
        await eventually(lambda: worker.running == 100)
        before = await scripts_run(redis)
        gate.set()
        await eventually(lambda: len(worker.seen) == 100)
        await eventually(lambda: is_empty(redis))
        assert await scripts_run(redis) - before <= 5


async def test_entries_from_before_the_start_are_handled(new_worker: NewWorker, redis: Redis) -> None:
    await add(redis, 300)
    worker = new_worker("a")
    async with worker.working():
        await eventually(lambda: len(worker.seen) == 300)
    assert worker.seen == [str(number) for number in range(300)]
    assert await redis.xlen(STREAM) == 0
    assert await redis.xinfo_consumers(STREAM, GROUP) == [], "a consumer that left is no longer a consumer"


async def test_no_more_entries_are_taken_than_run_at_once(new_worker: NewWorker, redis: Redis) -> None:
    await add(redis, 50)
    worker = new_worker("a", concurrency=3)
    gate = worker.close_gate()
    async with worker.working():
        await eventually(lambda: worker.running == 3)
        assert await pending(redis) == 3
        gate.set()
        await eventually(lambda: len(worker.seen) == 50)
    assert worker.most_running == 3


async def test_a_killed_consumers_entries_are_taken_over(new_worker: NewWorker, redis: Redis) -> None:
    await add(redis, 5)
    await redis.xgroup_create(STREAM, GROUP, id="0")
    await redis.xreadgroup(GROUP, "dead", {STREAM: ">"}, count=5)
    worker = new_worker("b")
    async with worker.working():
        await eventually(lambda: len(worker.seen) == 5)
    assert await redis.xlen(STREAM) == 0


async def test_a_restarted_consumer_of_the_same_name_finds_its_own_pending_entries_at_once(
    new_worker: NewWorker, redis: Redis
) -> None:
    await add(redis, 5)
    await redis.xgroup_create(STREAM, GROUP, id="0")
    await redis.xreadgroup(GROUP, "me", {STREAM: ">"}, count=5)
    worker = new_worker("me", claim_min_idle_s=30)
    async with worker.working():
        await eventually(lambda: len(worker.seen) == 5)


@pytest.mark.parametrize("command", ["xreadgroup", "eval"])
async def test_lost_replies_to_reads_are_no_deliveries(
    new_worker: NewWorker, reader: Redis, redis: Redis, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """A stream that was just read empty is read with XREADGROUP, any other one with EVAL."""
    worker = new_worker("a", max_deliveries=3)
    lost = 0

    read: Any = getattr(reader, command)

    async def deaf(*args: object, **options: object) -> object:
        """The server delivers, the answer does not arrive: six times."""
        nonlocal lost
        answer = await read(*args, **options)
        if lost < 6 and answer and answer[-1]:
            lost += 1
            raise RedisConnectionError("reply lost")
        return answer

    monkeypatch.setattr(reader, command, deaf)
    if command == "eval":
        await add(redis, 10)
    async with worker.working():
        await eventually(lambda: worker.consumer._was_empty_at > 0)
        if command == "xreadgroup":
            await add(redis, 10)
        await eventually(lambda: len(worker.seen) == 10)
    assert lost
    assert sorted(worker.seen) == [str(number) for number in range(10)], "each once"
    assert await redis.xlen("dialer:dead") == 0


async def test_entries_in_work_are_renewed_and_not_taken_over(new_worker: NewWorker, redis: Redis) -> None:
    await add(redis, 2)
    slow, other = new_worker("slow"), new_worker("other")
    gate = slow.close_gate()
    async with slow.working():
        await eventually(lambda: slow.running == 2)
        async with other.working():
            for _ in range(10):
                await anyio.sleep(0.09)  # three times the idle time after which entries are taken over
            gate.set()
            await eventually(lambda: len(slow.seen) == 2)
    assert other.seen == []


async def test_a_failing_handler_is_tried_again_and_then_buried_with_its_error(
    new_worker: NewWorker, letters: DeadLetters, redis: Redis
) -> None:
    await add(redis, 1)
    worker = new_worker("a")
    tries: list[int] = []

    async def fail(entry: Entry) -> None:
        tries.append(entry.deliveries)
        raise ZeroDivisionError("no such thing")

    worker.handle = fail
    async with worker.working():
        await eventually(letters.count)
    assert tries == [1, 2, 3]
    letter = (await letters.newest(1))[0]
    assert (letter.reason, letter.deliveries) == ("handler_failed", 3)
    assert "ZeroDivisionError: no such thing" in letter.detail
    assert letter.original == {"n": "0"}
    assert await redis.xlen(STREAM) == 0


async def test_an_entry_that_kills_its_process_is_buried_unhandled(
    new_worker: NewWorker, letters: DeadLetters, redis: Redis
) -> None:
    await add(redis, 1)
    await redis.xgroup_create(STREAM, GROUP, id="0")
    await redis.xreadgroup(GROUP, "killed", {STREAM: ">"})
    for _ in range(2):
        await redis.xautoclaim(STREAM, GROUP, "killed", 0, "0-0")
    worker = new_worker("a")
    async with worker.working():
        await eventually(letters.count)
    assert worker.seen == []
    assert (await letters.newest(1))[0].reason == "never_finished"


async def test_a_bad_entry_is_buried_at_once_and_can_be_replayed(
    new_worker: NewWorker, letters: DeadLetters, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await redis.xadd(STREAM, {"n": "0", "bytes": b"\xff\xfe"})
    worker = new_worker("a")

    async def refuse(entry: Entry) -> None:
        raise BadEntry("unknown_type", "unknown type at +57 300 1234567")

    worker.handle = refuse
    async with worker.working():
        await eventually(letters.count)
        worker.handle = worker.note
        letter = (await letters.newest(1))[0]
        await letters.replay(letter.id)
        await eventually(lambda: worker.seen == ["0"])
    told = next(vars(record) for record in caplog.records if record.message == "dead letter")
    assert told["detail"].startswith("unknown type at •")
    assert "1234" not in told["detail"], "numbers are not logged"
    assert letter.original["bytes"].encode(errors="surrogateescape") == b"\xff\xfe"
    assert await letters.count() == 0


async def test_flushall_and_deleted_streams_do_not_stop_a_reader(new_worker: NewWorker, redis: Redis) -> None:
    worker = new_worker("a")
    async with worker.working():
        await add(redis, 1)
        await eventually(lambda: worker.seen == ["0"])
        await redis.flushall()
        await add(redis, 1, start=1)
        await eventually(lambda: worker.seen == ["0", "1"])
        await redis.delete(STREAM)
        await add(redis, 1, start=2)
        await eventually(lambda: worker.seen == ["0", "1", "2"])


@pytest.mark.parametrize("is_something_else", [False, True])
async def test_handing_back_an_entry_of_a_stream_that_has_gone_does_not_stop_a_reader(
    new_worker: NewWorker, redis: Redis, caplog: pytest.LogCaptureFixture, is_something_else: bool
) -> None:
    await add(redis, 1)
    # With one place nothing is read while a handler runs, so the group is not made again.
    worker, lost = new_worker("a", concurrency=1), anyio.Event()

    async def lose_everything_once(entry: Entry) -> None:
        if lost.is_set():
            await worker.note(entry)
            return
        await redis.flushall()
        if is_something_else:
            await redis.set(STREAM, "no stream")
            await eventually(lambda: "cannot renew" in caplog.text)  # while it is worked on, as well
        lost.set()
        raise Unreachable("the server forgot everything")

    worker.handle = lose_everything_once
    async with worker.working():
        await lost.wait()
        await eventually(lambda: worker.concurrency.free)  # it was handed back
        if is_something_else:
            await redis.delete(STREAM)
        await add(redis, 1, start=1)
        await eventually(lambda: worker.seen == ["1"])


async def test_a_stop_finishes_what_is_held_and_takes_no_more(new_worker: NewWorker, redis: Redis) -> None:
    await add(redis, 10)
    worker = new_worker("a", concurrency=4)
    gate = worker.close_gate()
    async with worker.working():
        await eventually(lambda: worker.running == 4)
        worker.run.stop()
        gate.set()
    assert len(worker.seen) == 4
    assert await redis.xlen(STREAM) == 6
    assert await pending(redis) == 0


async def test_what_a_stopped_consumer_holds_is_handed_back(new_worker: NewWorker, redis: Redis) -> None:
    await add(redis, 1)
    stuck, next_one = (new_worker(name, claim_min_idle_s=30) for name in ("stuck", "next"))

    async def never(entry: Entry) -> None:
        await anyio.sleep_forever()

    stuck.handle = never
    async with stuck.working(shutdown_timeout_s=0.05):
        await eventually(lambda: stuck.running == 1)
        stuck.run.stop()
    async with next_one.working():
        await eventually(lambda: next_one.seen == ["0"])


async def test_a_stop_does_not_wait_for_a_server_that_is_away(services: Services) -> None:
    with EmbeddedServer() as away:
        reader = connect(away.url)
        async with Scripts(connect(away.url)) as scripts:
            worker = Worker(msgspec.structs.replace(services, scripts=scripts), reader, "a")
            async with worker.working(shutdown_timeout_s=0.5):
                await eventually(lambda: reader.exists(STREAM))  # the group is there, and with it the stream
                away.kill()
                await anyio.sleep(0.2)
                before = anyio.current_time()
            assert anyio.current_time() - before < 3
        await close(scripts.client)
        await close(reader)


async def test_max_tasks_ends_the_run(new_worker: NewWorker, redis: Redis) -> None:
    await add(redis, 20)
    worker = new_worker("a", concurrency=1)
    worker.run = worker.consumer._shutdown = ShutdownSignal(max_tasks=5)
    with anyio.fail_after(5):
        await worker.consumer.serve(1)
    assert 5 <= len(worker.seen) <= 6


async def test_a_consumer_holds_few_large_entries(
    new_worker: NewWorker, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamdialer.broker.consumer_group.READ_BYTES", 1)
    monkeypatch.setattr("streamdialer.broker.consumer.HELD_BYTES", 2_000_000)
    for number in range(12):
        await redis.xadd(STREAM, {"n": str(number), "note": "x" * 999_990})
    worker = new_worker("a")
    gate = worker.close_gate()
    async with worker.working():
        await eventually(lambda: worker.running == 3)
        await anyio.sleep(0.2)
        assert worker.running == 3, "the third one made it too much"
        gate.set()
        await eventually(lambda: len(worker.seen) == 12)


async def test_idle_consumers_without_entries_are_removed_and_those_with_entries_are_not(
    new_worker: NewWorker, redis: Redis
) -> None:
    await add(redis, 1)
    await redis.xgroup_create(STREAM, GROUP, id="0")
    await redis.xgroup_createconsumer(STREAM, GROUP, "empty")
    await redis.xreadgroup(GROUP, "holding", {STREAM: ">"})
    worker = new_worker("a")
    worker.consumer._idle_consumer_ttl_s = 0.05
    worker.consumer._claim_min_idle_s = 100

    async def empty_is_removed() -> bool:
        consumers = await redis.xinfo_consumers(STREAM, GROUP)
        return {consumer["name"] for consumer in consumers} == {"a", "holding"}

    async with worker.working():
        await eventually(empty_is_removed)


# ---- entries that kill their process ----


async def live(*workers: Worker, deadly: Collection[str], until: Callable[[], Awaitable[bool]]) -> bool:
    """The workers are one process, which a deadly entry kills; whether it lived until then."""
    run, died = workers[0].run, anyio.Event()
    async with anyio.create_task_group() as tasks:
        for worker in workers:

            async def handle(entry: Entry, worker: Worker = worker) -> None:
                await anyio.sleep(random.uniform(0, 0.003))
                if entry.fields["n"] in deadly:
                    died.set()
                    await anyio.sleep_forever()
                await worker.note(entry)

            worker.handle = handle
            worker.run = worker.consumer._shutdown = run
            tasks.start_soon(worker.consumer.serve, 1.0)

        async def end() -> None:
            await died.wait()
            tasks.cancel_scope.cancel()  # of all tasks at once: none does anything more

        tasks.start_soon(end)
        await eventually(until)
        tasks.cancel_scope.cancel()
    return not died.is_set()


DEADLY = [(0,), (15,), (29,), (0, 29), (14, 15)]


@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize(
    "positions", [*DEADLY, *(tuple(random.Random(n).sample(range(30), 2)) for n in range(5))]
)
async def test_of_entries_delivered_together_only_those_that_kill_their_process_are_buried(
    new_worker: NewWorker, letters: DeadLetters, redis: Redis, positions: tuple[int, ...], is_restarted: bool
) -> None:
    await add(redis, 30)
    deadly = {str(position) for position in positions}
    seen: set[str] = set()
    for life in range(20):
        name, idle_s = ("me", 30.0) if is_restarted else (f"life {life}", 0.1)
        worker = new_worker(name, concurrency=64, claim_min_idle_s=idle_s)
        has_lived = await live(worker, deadly=deadly, until=lambda: is_empty(redis))
        seen |= set(worker.seen)
        if has_lived:
            break
    assert has_lived
    assert life == 2 + len(deadly) or not is_restarted, "two deliveries of all, then the last one of each"
    assert seen == {str(number) for number in range(30)} - deadly
    found = await letters.newest(100)
    assert {letter.original["n"] for letter in found} == deadly
    assert {(letter.reason, letter.deliveries) for letter in found} == {("never_finished", 4)}


async def test_an_entry_that_kills_its_process_later_buries_no_other(
    new_worker: NewWorker, letters: DeadLetters, redis: Redis
) -> None:
    """It comes, with others, when those before it are on their last delivery; and in another stage."""
    seen: set[str] = set()
    await add(redis, 20)
    for life in range(20):
        if life in (2, 3):
            await add(redis, 20, start=20 * (life - 1))
            for number in range(100, 120):
                await redis.xadd("dialer:updates", {"n": str(number * life)})
        workers = [new_worker("me", 64, claim_min_idle_s=30, stage=stage) for stage in ("events", "updates")]

        async def are_empty() -> bool:
            return await is_empty(redis) and await redis.xlen("dialer:updates") == 0

        has_lived = await live(*workers, deadly=(deadly := {"5", "25", "45", "210", "300"}), until=are_empty)
        seen |= {number for worker in workers for number in worker.seen}
        if has_lived and life > 3:
            break
    assert {letter.original["n"] for letter in await letters.newest(100)} == deadly
    assert len(seen) == 20 + 2 * 40 - len(deadly)


async def test_a_process_killed_again_and_again_by_one_entry_handles_all_others(
    letters: DeadLetters, redis: Redis, server: EmbeddedServer
) -> None:
    await add(redis, 64)
    command = [sys.executable, "-m", "tests.support.deadly_consumer", server.url, "7"]
    seen: set[str] = set()
    codes: list[int] = []
    while not codes or codes[-1] == -signal.SIGKILL:
        ended = await anyio.run_process(command, check=False, stderr=None)
        seen |= set(ended.stdout.decode().split())
        codes.append(ended.returncode)
    assert codes == [-signal.SIGKILL] * 3 + [0]
    assert seen == {str(number) for number in range(64)} - {"7"}
    assert [letter.original["n"] for letter in await letters.newest(100)] == ["7"]


@pytest.fixture
async def suspects(redis: Redis) -> list[str]:
    """Three entries before their last delivery."""
    await add(redis, 3)
    await redis.xgroup_create(STREAM, GROUP, id="0")
    await redis.xreadgroup(GROUP, "killed", {STREAM: ">"})
    await redis.xautoclaim(STREAM, GROUP, "killed", 0, "0-0")
    return ["0", "1", "2"]


async def deliveries(redis: Redis) -> list[int]:
    found: Any = await redis.xpending_range(STREAM, GROUP, "-", "+", 100)
    return [int(entry["times_delivered"]) for entry in found]


async def test_new_entries_pass_a_slow_one_that_is_on_its_last_delivery(
    new_worker: NewWorker, redis: Redis, suspects: list[str]
) -> None:
    worker, gate = new_worker("killed", concurrency=2, claim_min_idle_s=30), anyio.Event()

    async def handle(entry: Entry) -> None:
        if entry.fields["n"] in suspects:
            await gate.wait()
        await worker.note(entry)

    worker.handle = handle
    async with worker.working(shutdown_timeout_s=10):
        await eventually(lambda: worker.running == 1)
        await add(redis, 20, start=10)
        await eventually(lambda: len(worker.seen) == 20)
        assert worker.seen == [str(number) for number in range(10, 30)]
        assert sorted(await deliveries(redis)) == [2, 2, 3], "of those that wait, it does not count yet"
        gate.set()
        await eventually(lambda: len(worker.seen) == 23)


async def test_what_waits_for_its_last_delivery_is_renewed_and_at_a_stop_handed_back(
    new_worker: NewWorker, redis: Redis, suspects: list[str]
) -> None:
    worker, next_one = new_worker("killed", claim_min_idle_s=0.3), new_worker("next", claim_min_idle_s=30)
    worker.close_gate()
    async with worker.working(shutdown_timeout_s=0.05):
        await eventually(lambda: worker.running == 1)
        await anyio.sleep(0.4)
        assert sorted(await deliveries(redis)) == [1, 2, 2], "renewed: the one in work is no killer"
        worker.run.stop()
    assert sorted(await deliveries(redis)) == [2, 2, 2]
    async with next_one.working():
        await eventually(lambda: sorted(next_one.seen) == suspects)


async def test_an_entry_on_its_last_delivery_outlives_a_server_that_is_away(
    new_worker: NewWorker, letters: DeadLetters, redis: Redis, suspects: list[str]
) -> None:
    worker, tries = new_worker("killed", claim_min_idle_s=0.1), 0

    async def handle(entry: Entry) -> None:
        nonlocal tries
        tries += 1
        if tries <= 12:
            raise Unreachable("away")
        await worker.note(entry)

    worker.handle = handle
    async with worker.working():
        await eventually(lambda: sorted(worker.seen) == suspects)
    assert await letters.count() == 0


def test_autoscaling_moves_between_its_bounds() -> None:
    concurrency = ConcurrencyLimit(16, 2)
    assert concurrency.limit == 2
    for _ in range(5):
        concurrency.scale_up()
    assert concurrency.limit == 16
    for _ in range(100):
        concurrency.scale_down()
    assert concurrency.limit == 2
