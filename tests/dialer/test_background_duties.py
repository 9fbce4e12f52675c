"""Every background duty, started and stopped fifty times at once: with a Redis that answers, refuses, or hangs."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import anyio
import anyio.lowlevel
import msgspec
import pytest

from streamdialer.broker.background_duty import BackgroundDuty, running
from streamdialer.broker.heartbeat import Heartbeat
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.config.settings import Settings
from streamdialer.consumers.background import HealthFile, HealthServer, SystemdReporter
from streamdialer.consumers.dialing.agent_lists import AgentLists
from streamdialer.consumers.dialing.background_reads import BackgroundReads
from streamdialer.consumers.dialing.campaign_cache import CampaignCache
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.invariant_check import InvariantCheck
from streamdialer.consumers.services import Services, open_services
from streamdialer.consumers.sweeper import Sweeper
from streamdialer.ledger.queues import QueueLedger
from streamdialer.ledger.ticks import TickLedger
from streamdialer.observability.health import HealthPort
from streamdialer.producers.active_campaigns import ActiveCampaigns, CampaignScan, StartMessages
from streamdialer.producers.ticks import DueTicks
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.dialer import SCHEDULE
from tests.support.eventually import eventually

TIMES: Final = 50
WITHIN_S: Final = 30.0
Make = Callable[[Services, Path], BackgroundDuty]


async def _measured() -> bool:
    return True


def _wakeups(services: Services, _: Path) -> WakeupScheduler:
    duty = WakeupScheduler(services)
    duty.campaign_within("1", 0)
    duty.queue("sales")
    return duty


def _campaigns(services: Services) -> ActiveCampaigns:
    return ActiveCampaigns(services.client, services.keys)


def _agent_lists(services: Services, _: Path) -> AgentLists:
    duty = AgentLists(services, WakeupScheduler(services))

    async def read_from_a_backend_that_answers(queue: str) -> None:
        poll = await services.queues.begin_agent_poll(queue)
        await services.queues.replace_agents(queue, [], poll.ledger_ms)

    duty.read = read_from_a_backend_that_answers  # type: ignore[method-assign]
    duty.request("sales")
    return duty


def _campaign_cache(services: Services, _: Path) -> CampaignCache:
    duty = CampaignCache(services)

    async def read_from_a_backend_that_answers(name: str) -> None:
        await services.client.exists(services.keys.campaign(name))

    duty.read_requested = read_from_a_backend_that_answers  # type: ignore[method-assign]
    duty.request("1")
    return duty


DUTIES: Final[dict[type[BackgroundDuty], Make]] = {
    Heartbeat: lambda services, _: Heartbeat(
        services.scripts, services.keys, ShutdownSignal(), os.urandom(4).hex(), "consume"
    ),
    Sweeper: lambda services, _: Sweeper(services, WakeupScheduler(services)),
    InvariantCheck: lambda services, _: InvariantCheck(services),
    WakeupScheduler: _wakeups,
    AgentLists: _agent_lists,
    CampaignCache: _campaign_cache,
    HealthFile: lambda _, folder: HealthFile(str(folder / "health")),
    HealthServer: lambda *_: HealthServer(HealthPort(_measured, lambda: False), ("127.0.0.1", 0)),
    SystemdReporter: lambda *_: SystemdReporter(ShutdownSignal().wait_stopping),
    CampaignScan: lambda services, _: CampaignScan(_campaigns(services), 1e6, 0.1),
    StartMessages: lambda services, _: StartMessages(
        services.client, services.keys, _campaigns(services), TickLedger(services.scripts, services.keys)
    ),
    DueTicks: lambda services, _: DueTicks(
        _campaigns(services),
        TickLedger(services.scripts, services.keys),
        QueueLedger(services.scripts, services.keys),
        SCHEDULE,
    ),
}


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as running_server:
        yield running_server
        if running_server.is_running:
            os.kill(running_server.pid, signal.SIGCONT)


@pytest.fixture(autouse=True)
def service_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Takes what systemd would be told."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        reading = threading.Thread(target=lambda: all(iter(lambda: receiver.recv(100), b"end")))
        reading.start()
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        monkeypatch.setenv("WATCHDOG_USEC", "30000")
        yield
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"end", address)
        reading.join()


def test_each_duty_of_the_product_is_here() -> None:
    assert {
        duty
        for base in (BackgroundDuty, BackgroundReads)
        for duty in base.__subclasses__()
        if duty is not BackgroundReads and duty.__module__.startswith("streamdialer.")
    } == set(DUTIES)


async def has_turned(duty: BackgroundDuty) -> bool:
    """Whether the duty comes to the end of a turn."""
    turn, is_over = duty.turn, anyio.Event()

    async def noted() -> float:
        pause_s = await turn()
        is_over.set()
        return pause_s

    duty.turn = noted  # type: ignore[method-assign]
    with anyio.move_on_after(WITHIN_S):
        async with running(duty):
            await is_over.wait()
    return is_over.is_set()


@pytest.mark.parametrize("state", ["answers", "refuses", "hangs"])
@pytest.mark.parametrize("make", DUTIES.values(), ids=[duty.__name__ for duty in DUTIES])
async def test_it_starts_and_stops_fifty_times_at_once_and_leaves_nothing(
    make: Make, state: str, own_server: EmbeddedServer, settings: Settings, tmp_path: Path
) -> None:
    own = msgspec.structs.replace(settings, redis_url=own_server.url)
    async with open_services(own) as services:
        assert await has_turned(make(services, tmp_path))
        if state == "refuses":
            own_server.kill()
        elif state == "hangs":
            os.kill(own_server.pid, signal.SIGSTOP)
        before = asyncio.all_tasks()

        async def start_and_stop(steps: int) -> None:
            async with running(make(services, tmp_path)):
                for _ in range(steps):  # of the event loop: with none, the start has not even begun
                    await anyio.lowlevel.checkpoint()

        with anyio.fail_after(WITHIN_S):
            async with anyio.create_task_group() as tasks:
                for steps in range(TIMES):
                    tasks.start_soon(start_and_stop, steps)
        # A command cancelled while it was written ends a few steps of the event loop after its task.
        await eventually(lambda: asyncio.all_tasks() <= before, within_s=WITHIN_S, what="no task is left")

        if state == "refuses":
            own_server.restart()
        elif state == "hangs":
            os.kill(own_server.pid, signal.SIGCONT)
        assert await has_turned(make(services, tmp_path)), "it works as before"
        if state == "answers":  # otherwise it expires
            assert not await services.client.exists(services.keys.replicas)
