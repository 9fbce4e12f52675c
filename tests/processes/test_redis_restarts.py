"""Redis loses its memory in mid-campaign, in every way it can: no contact is called twice, none is lost."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import anyio
import msgspec
from aiohttp import web
from anyio.to_thread import run_sync
from redis.asyncio import Redis

from bench.chaos.proxy import Proxy
from streamdialer.broker.connection import TRANSIENT
from streamdialer.broker.entries import Entry
from streamdialer.config.settings import Settings
from streamdialer.consumers.services import open_services
from streamdialer.consumers.updates import UpdatesStage
from streamdialer.errors import Unreachable
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.operations.redis_server import find_binary
from streamdialer.operations.session import free_port
from streamdialer.simulation.embedded_redis import EmbeddedServer
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.world.auditor import Audit
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.config import WorldConfig
from streamdialer.simulation.world.engine import World
from tests.support.dialer import Dialer, run_dialer
from tests.support.eventually import eventually
from tests.support.ledger_fixture import LedgerWorld

SPEED = 40
CONTACTS = 80
TIMES: dict[str, Any] = {
    "uncertain_margin_s": 5.5,  # longer than a process may take between its begin mark and its request
    "max_call_duration_s": 12.0,
}


def small_world() -> World:
    """Two campaigns on one queue."""
    return build_world(
        agents=8,
        contacts=CONTACTS,
        campaigns=2,
        mode="progressive",
        speed=SPEED,
        retry_delay_s=60,
        config=WorldConfig(talk_mean_s=60, talk_cv=0.6, wrap_up_mean_s=10),
    )


@asynccontextmanager
async def dialing(settings: Settings, url: str, centre_url: str = "") -> AsyncIterator[Dialer]:
    """Two campaigns, in the middle of their calls, each long enough for what follows.

    The call centre writes its events to `centre_url`, when that is another address of the same server. At the end no
    contact's status has gone back from its end because of us.
    """
    set_back: list[str] = []
    here = msgspec.structs.replace(settings, redis_url=url)
    async with run_dialer(
        here, small_world(), speed=SPEED, replicas=2, start=False, centre_url=centre_url or url, **TIMES
    ) as dialer:
        watch_updates(dialer, set_back)
        await mark_server_trusted(dialer.services.client, dialer.services.keys)
        await start(dialer)
        await dialer.until(lambda audit: audit.total.originates > 25, within_s=30)
        yield dialer
        assert set_back == []


def watch_updates(dialer: Dialer, set_back: list[str]) -> None:
    """Notes each update that overwrites the end of a contact with something else."""

    async def look(request: web.Request) -> None:
        if request.method == "PATCH":
            contact = dialer.centre.world.contacts[int(request.match_info["id"])]
            written = msgspec.json.decode(await request.read())["status"]
            if contact.status == "completed" != written:
                set_back.append(f"contact {contact.id}: completed -> {written}, attempts {contact.attempts}")

    dialer.centre.backend.set_responder(look)


async def start(dialer: Dialer) -> None:
    """What the Dialer API does; a server that forgot everything forgot that the campaigns are active as well."""
    for campaign in dialer.centre.world.campaigns:
        await dialer.centre.start_campaign(campaign)


async def goes_on_to_the_end(dialer: Dialer) -> Audit:
    """Waits for the end of all contacts, having seen that nothing was dialed before the wait was over."""

    async def says_why() -> bool:
        try:
            return (await dialer.tick()).reason == "data_loss"
        except Unreachable:  # a failover is under way
            return False

    await eventually(says_why, within_s=20)
    during_the_hold = dialer.centre.summary().total.originates
    is_held = True
    while is_held:
        await anyio.sleep(0.2)
        placed = dialer.centre.summary().total.originates
        if is_held := await says_why():
            assert placed == during_the_hold, "dialed while forgotten calls may ring"
    audit = await dialer.until_all_are_final(within_s=90)
    # A call that was over before the backend knew of it may be made again, with the same key: no program
    # knows of it. To a phone that rings or talks, nothing is placed.
    assert audit.calls_to_live_phones == 0, audit.findings
    assert sum(audit.contacts.values()) == CONTACTS
    for campaign in ("1", "2"):
        public = await dialer.public(campaign)
        assert (public["active_calls"], public["connected_calls"]) == ("0", "0")
        assert int(public["total_calls"]) <= audit.campaigns[int(campaign)].originates
        assert await dialer.count("orphaned", campaign) == 0
    return audit


async def test_restarted_without_persistence(settings: Settings) -> None:
    with EmbeddedServer() as server:
        async with dialing(settings, server.url) as dialer:
            await run_sync(server.kill)
            await run_sync(server.restart)
            await start(dialer)
            await goes_on_to_the_end(dialer)


async def test_after_a_restart_without_persistence_retries_are_waited_for_again(
    settings: Settings,
) -> None:
    busy = WorldConfig(human=0, machine=0, busy=1, failed=0)
    world = build_world(
        agents=6,
        contacts=12,
        answer_rate=0,
        speed=SPEED,
        retry_delay_s=14 * SPEED,
        max_retries=2,
        config=busy,
    )
    with EmbeddedServer() as server:
        here = msgspec.structs.replace(settings, redis_url=server.url)
        async with run_dialer(here, world, speed=SPEED, start=False, uncertain_margin_s=2.0) as dialer:
            await mark_server_trusted(dialer.services.client, dialer.services.keys)
            await start(dialer)
            await dialer.until(lambda audit: audit.contacts.get("busy", 0) == 12, what="all were called once")
            await run_sync(server.kill)
            await run_sync(server.restart)
            await start(dialer)
            await eventually(lambda: is_count(dialer, "deferred", 12), within_s=10, what="all wait again")
            assert dialer.centre.summary().total.originates == 12, "the retry delay is not over"
            totals = dialer.services.keys.totals("1")
            while dialer.centre.summary().total.originates < 24:
                assert not await dialer.services.client.hexists(totals, "exhausted"), "some still wait"
                await anyio.sleep(0.2)
            await dialer.until_all_are_final()
            await eventually(lambda: dialer.services.client.hexists(totals, "exhausted"), within_s=20)
            assert dialer.centre.summary().total.originates == 24


async def is_count(dialer: Dialer, place: str, contacts: int) -> bool:
    return await dialer.count(place) == contacts


async def test_emptied(settings: Settings) -> None:
    with EmbeddedServer() as server:
        async with dialing(settings, server.url) as dialer:
            await dialer.services.client.flushall()
            await start(dialer)
            await goes_on_to_the_end(dialer)


async def test_restarted_from_a_log_that_lacks_the_last_second(settings: Settings) -> None:
    with EmbeddedServer(appendonly=True) as server:
        async with dialing(settings, server.url) as dialer:
            log = newest_log(server)
            length = log.stat().st_size
            calls = dialer.centre.summary().total.originates
            await dialer.until(lambda audit: audit.total.originates > calls + 3, what="calls that are lost")
            await run_sync(server.kill)
            with log.open("r+b") as file:
                file.truncate(length)
            await run_sync(server.restart)
            await goes_on_to_the_end(dialer)


async def test_restarted_from_an_older_log_it_does_not_set_a_finished_contact_back(
    settings: Settings,
) -> None:
    """The log ends between the answer of a person and the PATCH that says so; the backend has the end of the call."""
    with EmbeddedServer(appendonly=True) as server:
        async with CallCentre(build_world(agents=1, contacts=1), server.url) as centre:
            here = msgspec.structs.replace(settings, redis_url=server.url, backend_url=centre.backend.url)
            contact = centre.world.contacts[1]
            async with open_services(here) as services:
                await mark_server_trusted(services.client, services.keys)
                world = LedgerWorld(services)
                await world.open_campaign(contacts=1)
                await world.set_agents(1)
                attempt = await world.place_one()
                await world.event("call_answered", attempt)
                log, length = newest_log(server), newest_log(server).stat().st_size
                await world.event("call_completed", attempt)
                entries: Any = await services.client.xrange(services.keys.stream("updates"))
                entry = Entry(*entries[0])
                await UpdatesStage(services).handle(entry)
                assert (contact.status, contact.attempts) == ("completed", 1)
            await run_sync(server.kill)
            with log.open("r+b") as file:
                file.truncate(length)
            await run_sync(server.restart)
            async with open_services(here) as services:
                assert await LedgerWorld(services).state_of("1") == "connected", "the end of the call is lost"
                await UpdatesStage(services).handle(entry)
                assert (contact.status, contact.attempts) == ("completed", 1)


def newest_log(server: EmbeddedServer) -> Path:
    """The file of the append-only log that grows."""
    return max(server.directory.glob("appendonlydir/*.incr.aof"), key=lambda path: path.stat().st_mtime)


async def test_failed_over_by_sentinel_to_a_replica_without_acknowledged_writes(
    settings: Settings, tmp_path: Path
) -> None:
    with EmbeddedServer(tcp=True) as master:
        async with wire_to(master) as address, wire_to(master) as centre_pipe:
            with (
                EmbeddedServer("--replicaof", "127.0.0.1", str(address.port), tcp=True) as replica,
                sentinel(tmp_path, address.port) as sentinel_port,
            ):
                await eventually(lambda: is_following(replica))
                url = f"redis+sentinel://127.0.0.1:{sentinel_port}/dialer"
                async with dialing(settings, url, f"redis://127.0.0.1:{centre_pipe.port}") as dialer:
                    await lose_the_last_second(dialer, address)
                    await run_sync(master.kill)
                    centre_pipe.retarget(port_of(replica))
                    await notice_soon(sentinel_port)
                    await eventually(lambda: is_master(replica), within_s=30)
                    await goes_on_to_the_end(dialer)


async def test_failed_over_in_a_cluster_to_a_replica_without_acknowledged_writes(settings: Settings) -> None:
    with cluster_node() as master:
        async with wire_to(master) as address, wire_to(master) as centre_pipe:
            with cluster_node() as replica:
                await make_cluster(master, replica, address.port)
                url = f"redis+cluster://127.0.0.1:{address.port},127.0.0.1:{port_of(replica)}"
                async with dialing(settings, url, f"redis://127.0.0.1:{centre_pipe.port}") as dialer:
                    await lose_the_last_second(dialer, address)
                    await run_sync(master.kill)
                    await ask(replica, "CLUSTER", "FAILOVER", "TAKEOVER")
                    centre_pipe.retarget(port_of(replica))
                    await eventually(lambda: is_master(replica), within_s=30)
                    await goes_on_to_the_end(dialer)


async def lose_the_last_second(dialer: Dialer, address: Proxy) -> None:
    """From here on the replica hears nothing, while calls are placed and acknowledged."""
    address.holds_replication = True
    calls = dialer.centre.summary().total.originates
    await dialer.until(lambda audit: audit.total.originates > calls + 3, what="calls that are forgotten")


def wire_to(server: EmbeddedServer) -> Proxy:
    """An address of the server that can be tampered with."""
    return Proxy("127.0.0.1", port_of(server), Random(0))


def port_of(server: EmbeddedServer) -> int:
    port = urlsplit(server.url).port
    assert port is not None
    return port


async def ask(server: EmbeddedServer, *command: str | int) -> Any:
    client: Any = Redis.from_url(server.url, decode_responses=True)
    try:
        return await client.execute_command(*command)
    finally:
        await client.aclose()


async def is_following(server: EmbeddedServer) -> bool:
    return "up" in str((await replication(server)).get("master_link_status"))


async def is_master(server: EmbeddedServer) -> bool:
    return (await replication(server)).get("role") == "master"


async def replication(server: EmbeddedServer) -> dict[str, Any]:
    """What the server says of it; nothing while it changes its role and closes connections."""
    try:
        return dict(await ask(server, "INFO", "replication"))
    except TRANSIENT:
        return {}


@contextmanager
def sentinel(tmp_path: Path, master_port: int) -> Iterator[int]:
    """The port of a sentinel that takes its time, so that a busy machine does not look like a lost master."""
    port = free_port()
    config = tmp_path / "sentinel.conf"
    lines = [f"port {port}", "bind 127.0.0.1", f"sentinel monitor dialer 127.0.0.1 {master_port} 1"]
    lines += ["sentinel down-after-milliseconds dialer 60000", "sentinel failover-timeout dialer 5000"]
    config.write_text("\n".join(lines) + "\n")
    with subprocess.Popen(
        [find_binary(), str(config), "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield port
        finally:
            process.kill()


async def notice_soon(sentinel_port: int) -> None:
    """From now on the sentinel fails over within a second or two."""
    client: Any = Redis(port=sentinel_port)
    try:
        await client.execute_command("SENTINEL SET", "dialer", "down-after-milliseconds", 700)
    finally:
        await client.aclose()


def cluster_node() -> EmbeddedServer:
    options = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
    return EmbeddedServer(*options, "--cluster-replica-no-failover", "yes", tcp=True)


async def make_cluster(master: EmbeddedServer, replica: EmbeddedServer, master_port: int) -> None:
    """The master has all slots and is known by `master_port`; returns when the replica follows it."""
    await ask(master, "CONFIG", "SET", "cluster-announce-port", master_port)
    await ask(master, "CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    bus = (await ask(master, "CONFIG", "GET", "cluster-port"))["cluster-port"]
    await ask(replica, "CLUSTER", "MEET", "127.0.0.1", master_port, bus)
    node = await ask(master, "CLUSTER", "MYID")

    async def knows_it() -> bool:
        return node in str(await ask(replica, "CLUSTER", "NODES"))

    await eventually(knows_it)
    await ask(replica, "CLUSTER", "REPLICATE", node)
    await eventually(lambda: is_following(replica), within_s=20)
