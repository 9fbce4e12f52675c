"""A real Asterisk behind a Dialer API that places calls one after the other, as the deployed one.

`streamdialer asterisk` writes the events. The callees' log is the auditor.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec
import pytest
from redis.asyncio import Redis

from streamdialer.broker.connection import connect
from streamdialer.broker.keys import Keys
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.asterisk_platform import Platform
from tests.support.eventually import eventually
from tests.support.real_asterisk import RealAsterisk, Seen, calling, running_asterisk, why_there_is_none
from tests.support.serial_dialer_api import SerialDialerApi

log = logging.getLogger(__name__)
MISSING: Final = why_there_is_none()
pytestmark = [pytest.mark.asterisk, pytest.mark.skipif(bool(MISSING), reason=MISSING)]
RING_S, RETRY_DELAY_S = 2.0, 5.0
SETTINGS: Final = {
    "STREAMDIALER_DIAL_INTERVAL_S": "1",
    "STREAMDIALER_RING_TIMEOUT_S": str(RING_S),
    "STREAMDIALER_UNCERTAIN_MARGIN_S": "1.5",
    "STREAMDIALER_ORIGINATE_TIMEOUT_S": "4",
    "STREAMDIALER_BREAKER_MAX_OPEN_S": "1",
    "STREAMDIALER_FINAL_TTL_S": "3600",
    "STREAMDIALER_ASTERISK_WRAPUP_S": "0",
    "LOG_FORMAT": "text",
}
CAMPAIGN: Final[dict[str, Any]] = {
    "max_retries": 2,
    "retry_delay": RETRY_DELAY_S,
    "max_concurrent_calls": 20,
    "pacing_ratio": 5,
}


class Audit(msgspec.Struct, frozen=True):
    """What the callees' log says of a run."""

    invites: int
    answers: int
    twice_at_once: list[str]
    after_an_answer: list[str]
    early_repeats: list[str]
    """Called again within the retry delay."""


def audit(seen: list[Seen], numbers: list[str]) -> Audit:
    by_number: defaultdict[str, list[Seen]] = defaultdict(list)
    for each in seen:
        if each.number in numbers:
            by_number[each.number].append(each)
    twice, after, early = [], [], []
    for number, theirs in by_number.items():
        ended_at, is_up, was_answered = 0.0, False, False
        for each in theirs:
            if each.what == "INVITE":
                twice += [number] if is_up else []
                after += [number] if was_answered else []
                early += [number] if each.at - ended_at < RETRY_DELAY_S - 0.5 else []
                is_up = True
            elif each.what == "ANSWER":
                was_answered = True
            else:
                is_up, ended_at = False, each.at
    what = Counter(each.what for theirs in by_number.values() for each in theirs)
    return Audit(what["INVITE"], what["ANSWER"], twice, after, early)


class Run:
    """What a test starts and asks."""

    def __init__(
        self,
        client: Redis,
        processes: ExitStack,
        folder: Path,
        environment: dict[str, str],
        platform: Platform,
    ) -> None:
        self.client = client
        self._processes = processes
        self._folder = folder
        self._environment = environment
        self._platform = platform

    def start(self, *args: str) -> None:
        self._processes.enter_context(self._process(*args))

    @contextmanager
    def _process(self, *args: str) -> Iterator[None]:
        command = [sys.executable, "-m", "streamdialer", *args]
        with (self._folder / f"{args[0]}.log").open("ab") as log:
            child = subprocess.Popen(command, env=self._environment, stderr=log)
        try:
            yield
        finally:
            child.terminate()
            child.wait(20)

    async def says(self, *args: str) -> str:
        command = [sys.executable, "-m", "streamdialer", *args]
        done = await anyio.run_process(command, env=self._environment, check=False)
        return done.stdout.decode()

    async def until_says(self, text: str, *args: str, within_s: float = 60) -> None:
        async def is_said() -> bool:
            return text in await self.says(*args)

        await eventually(is_said, within_s=within_s, what=f"{args} says {text!r}")

    async def until_over(self, within_s: float) -> None:
        async def is_over() -> bool:
            return int(await self.client.zcard("sd:c:1:final")) == len(self._platform.contacts)

        await eventually(is_over, within_s=within_s, what="all contacts are final")

    async def total_calls(self) -> int:
        return int(await self.client.hget("campaign:1", "total_calls") or 0)


@pytest.fixture(scope="module")
def asterisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAsterisk]:
    with running_asterisk(tmp_path_factory.mktemp("asterisk")) as running:
        yield running


@asynccontextmanager
async def ready_to_run(
    asterisk: RealAsterisk, folder: Path, numbers: list[str], *, forwards: bool
) -> AsyncIterator[tuple[Run, SerialDialerApi]]:
    with EmbeddedServer() as server, ExitStack() as processes:
        client = connect(server.url)
        await mark_server_trusted(client, Keys())
        async with (
            calling(asterisk) as caller,
            Platform(numbers, caller=caller, **CAMPAIGN).serving() as platform,
            SerialDialerApi(asterisk, forwards=forwards).serving() as api,
        ):
            kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMDIALER_")}
            urls = {"REDIS_URL": server.url, "BACKEND_URL": platform.url, "DIALER_API_URL": api.url}
            environment = {**kept, **SETTINGS, **urls, "ASTERISK_AMI_URL": asterisk.url}
            run = Run(client, processes, folder, environment, platform)
            yield run, api
            processes.close()
        await client.aclose()


def contact_numbers(prefix: str, number: int) -> list[str]:
    """Half of them do not answer."""
    return [
        f"{prefix}{at:03}{digit}" for at, digit in zip(range(number), "2562720258" * number, strict=False)
    ]


@pytest.mark.parametrize(
    ("contacts", "forwards"),
    [
        pytest.param(20, True, id="20"),
        pytest.param(200, True, id="200", marks=pytest.mark.long),
        pytest.param(200, False, id="200-without-variables", marks=pytest.mark.long),
    ],
)
async def test_nobody_is_called_again_after_an_answer(
    asterisk: RealAsterisk, tmp_path: Path, contacts: int, forwards: bool
) -> None:
    numbers = contact_numbers("57300" + ("1" if forwards else "2") + f"{contacts:03}", contacts)
    async with ready_to_run(asterisk, tmp_path, numbers, forwards=forwards) as (run, api):
        started = time.monotonic()
        for command in ("asterisk", "consume", "tick"):
            run.start(command)
        await run.client.hset("campaign:1", "status", "active")
        await run.until_says("one after the other", "explain", "1", within_s=120)
        for command in ("doctor", "top"):
            assert "one after the other" in await run.says(command)
        await run.until_over(within_s=20 + 6 * contacts)
        found = audit(asterisk.seen(), numbers)
        took_s = time.monotonic() - started
        log.info("%d contacts in %.0f s: %s, replies %s", contacts, took_s, found, dict(api.replies))
        assert not found.after_an_answer
        assert not found.twice_at_once
        assert not found.early_repeats
        assert found.invites == await run.total_calls()
        assert await run.client.xlen("dialer:dead") == 0


async def test_an_event_producer_that_is_started_late_needs_nobodys_help(
    asterisk: RealAsterisk, tmp_path: Path
) -> None:
    numbers = contact_numbers("573005000", 12)
    async with ready_to_run(asterisk, tmp_path, numbers, forwards=True) as (run, _):
        for command in ("consume", "tick"):
            run.start(command)
        await run.client.hset("campaign:1", "status", "active")
        await run.until_says("no call event has come since", "explain", "1")
        assert "no call event has come since" in await run.says("doctor")
        before = await run.total_calls()
        run.start("asterisk")

        async def goes_on() -> bool:
            return await run.total_calls() > before

        await eventually(goes_on, within_s=60, what="dialing goes on")
        await run.until_over(within_s=120)
        assert await run.client.xlen("dialer:dead") == 0
