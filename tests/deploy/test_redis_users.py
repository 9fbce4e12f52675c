"""What each log-in of deploy/redis/users.acl can do, tried on a real server, and what it cannot."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import msgspec
import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from streamdialer import Producer
from streamdialer.broker.background_duty import running
from streamdialer.broker.connection import close, connect
from streamdialer.broker.heartbeat import Heartbeat
from streamdialer.broker.keys import Keys
from streamdialer.broker.layout import require_usable
from streamdialer.broker.outcome_group import OutcomeGroup
from streamdialer.broker.scripts import Scripts
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.config.settings import Settings
from streamdialer.errors import CannotBeDone
from streamdialer.ledger.metrics import LedgerMetrics
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.operations import outcome_reader
from streamdialer.operations.campaigns import set_campaign_status
from streamdialer.operations.outcome_reader import read_outcomes
from streamdialer.operations.overview.collect import overview
from streamdialer.producers.asterisk.writing import EventWriter
from streamdialer.producers.ticks import TickProducer
from streamdialer.simulation.embedded_redis import EmbeddedServer
from streamdialer.simulation.world.build import build_world
from tests.support.dialer import SCHEDULE, run_dialer
from tests.support.eventually import eventually

FILE = Path(__file__).parents[2] / "deploy" / "redis" / "users.acl"
KEYS = Keys()
OWN_KEYS = (
    "campaign:1",
    "dialer:events",
    "dialer:ticks",
    "dialer:outcomes",
    "sd:blocks",
    "sd:server",
    "sd:dnc",
    "sd:c:1:ready",
)
"""A key of each kind that other programs, or the dialer alone, may write."""
MAY_WRITE = {
    "tick": {"campaign:1", "dialer:ticks", "sd:server"},
    "asterisk": {"dialer:events", "sd:server"},
    "webhooks": {"dialer:outcomes", "sd:server"},
    "dashboard": set[str](),
}


def password(user: str) -> str:
    return f"secret of {user}"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server with the users of the file."""
    text = re.sub(
        r"SHA256_OF_(\w+)",
        lambda found: hashlib.sha256(password(found[1].lower()).encode()).hexdigest(),
        FILE.read_text("utf-8"),
    )
    file = tmp_path_factory.mktemp("acl") / "users.acl"
    file.write_text(text, "utf-8")
    with EmbeddedServer("--aclfile", str(file), tcp=True, password=password("admin")) as server:
        yield server


def url_of(guarded: EmbeddedServer, user: str) -> str:
    port = urlsplit(guarded.url).port
    return f"redis://{user}:{password(user).replace(' ', '%20')}@127.0.0.1:{port}"


@asynccontextmanager
async def logged_in(guarded: EmbeddedServer, user: str) -> AsyncIterator[Redis]:
    client = connect(url_of(guarded, user))
    try:
        yield client
    finally:
        await close(client)


@pytest.fixture
async def admin(guarded: EmbeddedServer) -> AsyncIterator[Redis]:
    client = connect(guarded.url)
    await client.flushall()
    await mark_server_trusted(client, KEYS)
    yield client
    await close(client)


async def may(admin: Redis, user: str, *command: str) -> bool:
    answer: Any = await admin.acl_dryrun(user, *command)
    return answer in ("OK", b"OK")


def test_a_file_without_passwords_is_refused_by_the_server(tmp_path: Path) -> None:
    with pytest.raises(CannotBeDone, match="hash"):
        EmbeddedServer("--aclfile", str(FILE), tcp=True).start()


async def test_replicas_and_the_platform_dial_a_campaign_to_its_end(
    admin: Redis, guarded: EmbeddedServer, settings: Settings
) -> None:
    here = msgspec.structs.replace(settings, redis_url=url_of(guarded, "replica"))
    world = build_world(agents=2, contacts=2, answer_rate=1.0)
    async with run_dialer(here, world, speed=300, centre_url=guarded.url, start=False) as dialer:
        async with logged_in(guarded, "platform") as platform:
            await set_campaign_status(platform, KEYS, "1", "start")
        audit = await dialer.until_all_are_final()
    assert audit.total.answered_by_person == 2
    assert await admin.acl_log() == []


async def test_tick_adds_ticks_and_reports_itself(admin: Redis, guarded: EmbeddedServer) -> None:
    await admin.hset(KEYS.campaign("1"), "status", "active")
    await admin.hset(KEYS.directory, "1", "sales")
    run = ShutdownSignal()
    async with logged_in(guarded, "tick") as client, Scripts(client, patient=False) as scripts:
        await require_usable(client, KEYS)
        producer = TickProducer(scripts, KEYS, SCHEDULE, run)
        async with running(Heartbeat(scripts, KEYS, run, "it", "tick")), anyio.create_task_group() as tasks:
            tasks.start_soon(producer.serve)
            await eventually(lambda: admin.exists(KEYS.replicas))
            await eventually(lambda: admin.xlen(KEYS.stream("ticks")))
            await LedgerMetrics(scripts, KEYS).collect()
            run.stop()


async def test_asterisk_writes_events_and_hears_of_hang_ups(admin: Redis, guarded: EmbeddedServer) -> None:
    async with logged_in(guarded, "asterisk") as client, Scripts(client, patient=False) as scripts:
        writer = EventWriter(scripts, KEYS)
        await writer.write([{"type": "agent_available", "agent_id": "1"}])
        assert await writer.write_fresh({"type": "source_live", "calls": []}, await writer.now_ms())
        assert await writer.longest_deadline_ms() == 0
        async with running(Heartbeat(scripts, KEYS, ShutdownSignal(), "it", "asterisk")):
            await eventually(lambda: admin.exists(KEYS.replicas))
        await client.xread({KEYS.hangups: "0"})
    assert await admin.xlen(KEYS.stream("events")) == 2


async def test_webhooks_read_outcomes_under_a_lease(admin: Redis, guarded: EmbeddedServer) -> None:
    await admin.xadd(KEYS.outcomes, {"type": "attempt_ended"})
    async with logged_in(guarded, "webhooks") as client, Scripts(client, patient=False) as scripts:
        lease = client.lock(KEYS.webhooks_lease("w"), 30, thread_local=False)
        assert await lease.acquire(blocking=False)
        group = OutcomeGroup(client, KEYS, "w")
        await group.create()
        [(entry, _)] = await group.read_new(1, 10)
        assert not await group.has_abandoned(60_000)
        await group.acknowledge([entry])
        assert await lease.reacquire()
        await lease.release()
        await LedgerMetrics(scripts, KEYS).collect()
        async with running(Heartbeat(scripts, KEYS, ShutdownSignal(), "it", "webhooks")):
            await eventually(lambda: admin.exists(KEYS.replicas))


async def test_the_backend_stores_outcomes_and_reads_nothing_else(
    admin: Redis, guarded: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcome_reader, "BLOCK_MS", 50)
    monkeypatch.setattr(outcome_reader, "ABANDONED_AFTER_MS", 1)
    await admin.xadd(KEYS.outcomes, {"n": "1"})
    stored: list[Any] = []
    settings = Settings(redis_url=url_of(guarded, "backend"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(read_outcomes, settings, "g", stored.extend))

        async def is_acknowledged() -> bool:
            groups: Any = await admin.xinfo_groups(KEYS.outcomes)
            return bool(stored) and groups[0]["pending"] == 0

        await eventually(is_acknowledged)
        tasks.cancel_scope.cancel()
    readable = {key for key in OWN_KEYS if await may(admin, "backend", "HMGET", key, "a")}
    assert readable == {"dialer:outcomes", "sd:blocks", "sd:server"}
    assert await may(admin, "backend", "XGROUP", "CREATE", KEYS.blocks, "g", "0", "MKSTREAM")
    assert not await may(admin, "backend", "HSET", "sd:server", "run", "x")


async def test_the_dashboard_shows_everything_and_writes_nothing(
    admin: Redis, guarded: EmbeddedServer
) -> None:
    await admin.hset(KEYS.directory, "1", "sales")
    await admin.hset(KEYS.campaign("1"), "status", "active")
    async with logged_in(guarded, "dashboard") as client, Scripts(client, patient=False) as scripts:
        await require_usable(client, KEYS)
        [campaign] = (await overview(scripts, KEYS)).campaigns
        assert campaign.status == "active"
        await LedgerMetrics(scripts, KEYS).collect()
        with pytest.raises(NoPermissionError):
            await set_campaign_status(client, KEYS, "1", "pause")
    written: Any = await admin.acl_cat("write")
    allowed = re.findall(r"\+(\S+)", str(await admin.acl_getuser("dashboard")))
    assert not set(written) & set(allowed)
    for command in ("XADD", "EVALSHA", "FCALL"):
        arguments = ("k", "*", "a", "b") if command == "XADD" else ("sha", "0")
        assert not await may(admin, "dashboard", command, *arguments)


async def test_a_producer_adds_events_and_does_nothing_else(admin: Redis, guarded: EmbeddedServer) -> None:
    async with Producer.from_url(url_of(guarded, "producer")) as producer:
        await producer.event("call_answered", campaign_id=1, contact_id=1)
        with pytest.raises(CannotBeDone):
            await producer.tick("dial", 1)
        with pytest.raises(CannotBeDone):
            await producer.result("1-1")
    assert await admin.xlen(KEYS.stream("events")) == 1
    for command in (
        ("XRANGE", "dialer:events", "-", "+"),
        ("XADD", "dialer:ticks", "*", "a", "b"),
        ("INFO",),
    ):
        assert not await may(admin, "producer", *command)
    assert not [key for key in OWN_KEYS if await may(admin, "producer", "HGETALL", key)]


@pytest.mark.parametrize("user", sorted(MAY_WRITE))
async def test_a_role_writes_only_what_is_its_own(admin: Redis, user: str) -> None:
    writable = {key for key in OWN_KEYS if await may(admin, user, "DEL", key)}
    assert writable == MAY_WRITE[user]
    assert all([await may(admin, user, "TYPE", key) for key in OWN_KEYS])


USERS = re.findall(r"^user (\w+)", FILE.read_text("utf-8"), re.MULTILINE)[1:]


@pytest.mark.parametrize("user", USERS)
async def test_no_role_empties_the_server_or_changes_its_settings(admin: Redis, user: str) -> None:
    for command in (
        ("FLUSHALL",),
        ("CONFIG", "SET", "maxmemory", "1"),
        ("ACL", "SETUSER", "x"),
        ("REPLICAOF", "NO", "ONE"),
        ("SHUTDOWN",),
        ("SCRIPT", "FLUSH"),
        ("FUNCTION", "FLUSH"),
        ("KEYS", "*"),
        ("DEBUG", "SLEEP", "1"),
        ("GET", "another:key"),
    ):
        assert not await may(admin, user, *command), command


async def test_the_documentation_has_every_role() -> None:
    table = (FILE.parents[2] / "docs" / "redis.md").read_text("utf-8")
    assert [user for user in USERS if f"| `{user}` |" not in table] == []
