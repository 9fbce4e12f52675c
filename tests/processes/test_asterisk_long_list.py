"""A long list over a real Asterisk: a hundred calls in flight, and replicas that are killed."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from streamdialer.broker.connection import connect
from streamdialer.broker.keys import Keys
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.asterisk_audit import (
    STATUSES,
    called,
    ends_by_queue_log,
    is_over,
    numbers,
    overlaps,
    watch_agents,
    wrong_looks,
)
from tests.support.asterisk_platform import Platform
from tests.support.asterisk_processes import process
from tests.support.eventually import eventually
from tests.support.real_asterisk import RealAsterisk, Seen, running_asterisk, why_there_is_none

MISSING: Final = why_there_is_none()
pytestmark = [
    pytest.mark.asterisk,
    pytest.mark.long,
    pytest.mark.skipif(bool(MISSING), reason=MISSING),
]
log = logging.getLogger(__name__)
ENDED_BY_DEADLINE: Final = re.compile(r"no event had come by their deadline.* count=(\d+)")
AGENTS: Final = range(3001, 3041)
CONTACTS: Final = 300
RETRY_S: Final = 5.0
TAKEN_OVER_S: Final = 3.0
"""Events that a killed replica was handling wait so long for another one."""
MIXED: Final = "01" + "2" * 8 + "3" + "5555" + "7789"
"""Last digits of the numbers, over and over: near half do not answer. A full network (4) would not count."""


@pytest.fixture
def asterisk(tmp_path: Path) -> Iterator[RealAsterisk]:
    folder = tmp_path / "asterisk"
    folder.mkdir()
    with running_asterisk(folder) as running:
        yield running


async def test_each_contact_is_called_as_often_as_we_say(asterisk: RealAsterisk, tmp_path: Path) -> None:
    """Two producers, two replicas, forty agents; the backend says that all are available, always."""
    wanted = numbers("5739", (MIXED * CONTACTS)[:CONTACTS])
    campaign: dict[str, Any] = {
        "queue_name": "crowd",
        "max_concurrent_calls": 200,
        "max_retries": 2,
        "retry_delay": RETRY_S,
    }
    settings = {
        "STREAMDIALER_ORIGINATE": "asterisk",
        "STREAMDIALER_DIAL_INTERVAL_S": "1",
        "STREAMDIALER_RING_TIMEOUT_S": "10",
        "STREAMDIALER_CLAIM_MIN_IDLE_S": str(TAKEN_OVER_S),
        "ASTERISK_AMI_URL": asterisk.url,
        "LOG_LEVEL": "DEBUG",  # nothing is held back
    }
    with EmbeddedServer() as server, ExitStack() as running:
        client = connect(server.url)
        await mark_server_trusted(client, Keys())
        async with Platform(wanted, agents=AGENTS, **campaign).serving() as platform:
            settings["BACKEND_URL"] = platform.url
            start = partial(process, server.url, tmp_path, **settings)
            for _ in range(2):
                running.enter_context(start("asterisk"))
            replicas = [running.enter_context(start("consume")) for _ in range(2)]
            running.enter_context(start("tick"))
            await eventually(lambda: client.exists("sd:sources"), what="a list of calls")
            began, killed_at = time.time(), list[float]()
            await client.hset("campaign:1", "status", "active")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(kill_in_turn, replicas, running, start, killed_at)
                looks = await watch_agents(asterisk, client, "crowd", partial(is_over, client, CONTACTS))
                tasks.cancel_scope.cancel()
            await eventually(lambda: not wrong_ends(platform), what="the backend knows all ends")
            total = int(str(await client.hget("campaign:1", "total_calls")))
            dead = await client.xlen("dialer:dead")
        await client.aclose()
    ends = {number: str(contact["status"]) for number, contact in platform.contacts.items()}
    in_queues = ends_by_queue_log(asterisk, campaign=1)
    seen = [each for each in asterisk.seen() if each.number in wanted]
    times = called(asterisk, wanted)
    wrong, looked = wrong_looks([look for look in looks if not is_excused(look.at, killed_at)])
    lost = sum(map(int, ENDED_BY_DEADLINE.findall((tmp_path / "consume.log").read_text("utf-8"))))
    first = sorted(each.at for each in seen if each.what == "INVITE")[:100]
    log.info(
        "measured: %d calls (%d counted, %d lost with a replica), %d at once, over in %.1f s; "
        "the first 100 at %.0f a second; agents' states wrong %d of %d times",
        *(times.total(), total, lost, most_at_once(seen), max(each.at for each in seen) - began),
        *(100 / (first[-1] - first[0]), wrong, looked),
    )
    assert set(times) == set(wanted)
    differing = {number: (end, ends[number]) for number, end in in_queues.items() if ends[number] != end}
    assert differing == {}, "queue_log says another end"
    answered = {each.number for each in seen if each.what == "ANSWER"}
    assert set(in_queues) == answered
    assert total == times.total() + lost, "what a replica marked as sent before it was killed may ring"
    assert overlaps(seen) == []
    assert early_repeats(seen) == []
    assert dead == 0
    assert most_at_once(seen) >= 100
    assert wrong <= 0.02 * looked, (wrong, looked)


def wrong_ends(platform: Platform) -> list[dict[str, Any]]:
    """Contacts whose status is not what their telephone does."""
    contacts = platform.contacts.items()
    return [contact for number, contact in contacts if contact["status"] not in STATUSES[number[-1]]]


async def kill_in_turn(
    replicas: list[subprocess.Popen[bytes]],
    running: ExitStack,
    start: Callable[[str], AbstractContextManager[subprocess.Popen[bytes]]],
    killed_at: list[float],
) -> None:
    """One replica after the other dies without a word, and another takes its place."""
    for each in range(2):
        await anyio.sleep(5)
        killed_at.append(time.time())
        os.kill(replicas[each].pid, signal.SIGKILL)
        await anyio.sleep(1)
        replicas[each] = running.enter_context(start("consume"))


def is_excused(at: float, killed_at: list[float]) -> bool:
    return any(0 <= at - killed < TAKEN_OVER_S + 2 for killed in killed_at)


def most_at_once(seen: list[Seen]) -> int:
    up, most = 0, 0
    for each in sorted(seen, key=lambda each: each.at):
        up += (each.what == "INVITE") - each.what.startswith("END")
        most = max(most, up)
    return most


def early_repeats(seen: list[Seen]) -> list[str]:
    """Numbers that were called again before the pause had passed."""
    ended, found = dict[str, float](), list[str]()
    for each in sorted(seen, key=lambda each: each.at):
        if each.what.startswith("END"):
            ended[each.number] = each.at
        elif each.what == "INVITE" and each.at < ended.get(each.number, 0) + RETRY_S:
            found.append(each.number)
    return found
