"""Two tenants on a Cluster of three masters, and the node of one of them is lost: `python -m bench.failover`

Each tenant has a call centre, a tick producer and a replica of its own, and its data on another node. While both dial,
the node of the first one is killed. Its replica takes over; with `--no-replicas` nothing does, until the node is
started again from its append-only file. The other tenant must go on as before, and no call may be placed twice.

`--tls`: every connection is encrypted, with certificates on both sides. The server must be built with TLS, such as
that of Debian: `--server /usr/bin/redis-server`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Final
from urllib.parse import urlencode

import anyio
import msgspec
import trustme
from redis.crc import key_slot

from bench.pauses import TimedCentre, longest_pause
from streamdialer.broker.connection import TRANSIENT, close, connect, keys_for
from streamdialer.consumers.child_process import with_parent_death_signal
from streamdialer.errors import Unreachable
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.operations.redis_server import find_binary
from streamdialer.operations.session import free_port
from streamdialer.simulation.demo.child_processes import ChildProcesses
from streamdialer.simulation.demo.options import DemoOptions, child_environment, demo_world
from streamdialer.simulation.demo.snapshot import take_snapshot

MASTERS: Final = 3
SLOTS: Final = 16384
NODE_TIMEOUT_MS: Final = 1000
NAMES: Final = ("acme", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")
BEFORE_S: Final = 15.0
"""How long both dial before the node is lost."""
LOST_S: Final = 10.0
"""How long a node without a replica is away."""
WATCHED_S: Final = 20.0
"""From the loss, or the node's return, on."""
UP_TIMEOUT_S: Final = 60.0
END_TIMEOUT_S: Final = 300.0
OPTIONS: Final = DemoOptions(agents=20, contacts=1000, speed=30, replicas=1)


class Options(msgspec.Struct, frozen=True):
    server: Path
    has_tls: bool
    has_replicas: bool
    needs_all_slots: bool


class Certificates:
    """Of one authority, for both sides."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca, self.pem = folder / "ca.pem", folder / "node.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(
            str(self.pem)
        )

    @property
    def url_options(self) -> str:
        return "?" + urlencode({"ssl_ca_certs": self.ca, "ssl_certfile": self.pem, "ssl_keyfile": self.pem})

    @property
    def server_options(self) -> list[str]:
        files = f"--tls-cert-file {self.pem} --tls-key-file {self.pem} --tls-ca-cert-file {self.ca}"
        return [*files.split(), "--tls-cluster", "yes", "--tls-replication", "yes"]


class Node:
    """A server of the Cluster, with an append-only file in its folder."""

    def __init__(self, options: Options, folder: Path, certificates: Certificates) -> None:
        self.port, self.bus = free_port(), free_port()
        folder.mkdir()
        own = f"--bind 127.0.0.1 --dir {folder} --appendonly yes --cluster-port {self.bus} --cluster-enabled yes"
        coverage = "yes" if options.needs_all_slots else "no"
        kept = f"--cluster-node-timeout {NODE_TIMEOUT_MS} --cluster-require-full-coverage {coverage}"
        ports = (
            ["--port", "0", "--tls-port", str(self.port), *certificates.server_options]
            if options.has_tls
            else ["--port", str(self.port)]
        )
        self._log = folder / "server.log"
        self._command = [str(options.server), *own.split(), *kept.split(), *ports]
        scheme, self._query = ("rediss", certificates.url_options) if options.has_tls else ("redis", "")
        self.url = f"{scheme}://127.0.0.1:{self.port}{self._query}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                with_parent_death_signal(self._command), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def command(self, *arguments: object) -> Any:
        client: Any = connect(self.url)
        try:
            return await client.execute_command(*arguments)
        finally:
            await close(client)

    async def info(self, *sections: str) -> str:
        """'' while it does not answer."""
        try:
            return str(await self.command(*sections))
        except TRANSIENT:
            return ""


class Cluster:
    def __init__(self, options: Options, folder: Path) -> None:
        self._certificates = Certificates(folder)
        count = MASTERS * 2 if options.has_replicas else MASTERS
        self.nodes = [Node(options, folder / f"node-{n}", self._certificates) for n in range(count)]
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        self.url = (
            f"rediss+cluster://{hosts}{self._certificates.url_options}"
            if options.has_tls
            else f"redis+cluster://{hosts}"
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        try:
            for node in self.nodes:
                node.start()
            yield
        finally:
            for node in self.nodes:
                node.kill()

    async def form(self) -> None:
        """Node n has the n-th part of the slots; node n + 3 is its replica."""
        first = self.nodes[0]
        for number, node in enumerate(self.nodes):
            await until(node.info, "PING", holds="True")
            await node.command("CONFIG", "SET", "cluster-announce-ip", "127.0.0.1")
            if number < MASTERS:
                bounds = [SLOTS * n // MASTERS for n in (number, number + 1)]
                await node.command("CLUSTER", "ADDSLOTSRANGE", bounds[0], bounds[1] - 1)
            if number:
                await first.command("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus)
        for node in self.nodes:
            await until(node.info, "CLUSTER", "INFO", holds=f"cluster_known_nodes:{len(self.nodes)}")
        for number, node in enumerate(self.nodes[MASTERS:]):
            await node.command("CLUSTER", "REPLICATE", await self.nodes[number].command("CLUSTER", "MYID"))
        for node in self.nodes[MASTERS:]:
            await until(node.info, "INFO", "replication", holds="'master_link_status': 'up'")
        for node in self.nodes:
            await until(node.info, "CLUSTER", "INFO", holds="cluster_state:ok")

    def name_on(self, node: int) -> str:
        """Of a tenant whose data is on that node."""
        return next(name for name in NAMES if key_slot(f"{{{name}}}".encode()) * MASTERS // SLOTS == node)


async def until(ask: Any, *arguments: str, holds: str) -> None:
    with anyio.fail_after(UP_TIMEOUT_S):
        while holds not in await ask(*arguments):  # noqa: ASYNC110 - no event tells of it
            await anyio.sleep(0.05)


class Tenant:
    def __init__(self, name: str, centre: TimedCentre, programs: ChildProcesses) -> None:
        self.name = name
        self.centre = centre
        self._programs = programs

    async def start(self) -> None:
        client = connect(self.centre.redis_url)
        await mark_server_trusted(client, self.centre.keys)
        for role in ("tick", "consume"):
            self._programs.start(f"{role}-{self.name}", role)
        for campaign in self.centre.world.campaigns:
            await self.centre.start_campaign(campaign)
        await close(client)

    async def is_over(self, client: Any) -> bool:
        self._programs.check()
        try:
            seen = await take_snapshot(client, self.centre)
        except (*TRANSIENT, Unreachable):
            return False
        waiting = sum(seen.audit.contacts.get(status, 0) for status in ("pending", "dialing", "answered"))
        return not waiting and not seen.audit.live_calls and not seen.unfinished

    def report(self, what: str, lost_at: float, watched_until: float) -> str:
        audit, centre = self.centre.summary(), self.centre
        before = longest_pause(centre.placed, lost_at - BEFORE_S, lost_at)
        after = longest_pause(centre.placed, lost_at, watched_until)
        return (
            f"{self.name} ({what}): longest pause {before:.1f} s before, {after:.1f} s from the loss on; "
            f"{audit.total.originates} calls, {audit.double_dials} double dials, contacts {audit.contacts}"
        )


async def open_tenant(opened: AsyncExitStack, name: str, url: str, folder: Path) -> Tenant:
    centre = TimedCentre(demo_world(OPTIONS), url, speed=OPTIONS.speed, keys=keys_for(url, name))
    await opened.enter_async_context(centre)
    settings = {**centre.urls, "namespace": name}
    programs = opened.enter_context(ChildProcesses(folder, child_environment(OPTIONS, settings, os.environ)))
    opened.push_async_callback(programs.stop)
    return Tenant(name, centre, programs)


async def lose_a_node(options: Options, folder: Path) -> bool:
    """Prints the figures; whether the dialer kept its promises."""
    cluster = Cluster(options, folder)
    with cluster.running():
        await cluster.form()
        async with AsyncExitStack() as opened:
            hit, spared = [
                await open_tenant(opened, cluster.name_on(node), cluster.url, folder) for node in (0, 1)
            ]
            for tenant in (hit, spared):
                await tenant.start()
            with anyio.fail_after(UP_TIMEOUT_S):
                while min(len(tenant.centre.placed) for tenant in (hit, spared)) < 20:  # noqa: ASYNC110
                    await anyio.sleep(0.1)
            await anyio.sleep(BEFORE_S)
            lost_at = monotonic()
            cluster.nodes[0].kill()
            if options.has_replicas:
                await until(cluster.nodes[MASTERS].info, "INFO", "replication", holds="'role': 'master'")
                print(f"its replica has taken over after {monotonic() - lost_at:.1f} s")  # noqa: T201 - a program's output
            else:
                await anyio.sleep(LOST_S)
                cluster.nodes[0].start()
                print(f"the node is back after {monotonic() - lost_at:.1f} s")  # noqa: T201
            await anyio.sleep(WATCHED_S)
            watched_until = monotonic()
            client = connect(cluster.url)
            with anyio.fail_after(END_TIMEOUT_S):
                while not all([await tenant.is_over(client) for tenant in (hit, spared)]):  # noqa: ASYNC110
                    await anyio.sleep(0.5)
            await close(client)
            for tenant, what in ((hit, "its node was killed"), (spared, "another node")):
                print(tenant.report(what, lost_at, watched_until))  # noqa: T201
            audits = [tenant.centre.summary() for tenant in (hit, spared)]
    return not any(audit.double_dials or audit.findings for audit in audits)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.failover", description=__doc__.splitlines()[0])
    parser.add_argument("--server", type=Path, help="the server's program; else the one that tests use")
    parser.add_argument("--tls", action="store_true", help="encrypt every connection")
    parser.add_argument("--no-replicas", action="store_true", help="nothing takes over from the lost node")
    parser.add_argument(
        "--full-coverage", action="store_true", help="cluster-require-full-coverage yes, as is Redis' default"
    )
    given = parser.parse_args()
    options = Options(
        given.server or find_binary(), given.tls, not given.no_replicas, needs_all_slots=given.full_coverage
    )
    with tempfile.TemporaryDirectory(prefix="streamdialer-") as folder:
        sys.exit(not anyio.run(lose_a_node, options, Path(folder)))


if __name__ == "__main__":
    main()
