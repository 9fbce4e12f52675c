"""What real processes report to systemd, and the files in `deploy/` that run them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.service_manager import Manager


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    listening = Manager(tmp_path / "notify")
    yield listening
    listening.socket.close()


@pytest.fixture
def start(server: EmbeddedServer, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a command as systemd would; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        own = {"REDIS_URL": server.url, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "streamdialer", *arguments], env={**os.environ, **own, **environment}
            )
        )
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("command", [("consume",), ("tick",), ("consume", "--processes", "2")], ids=" ".join)
def test_systemd_hears_of_the_start_the_running_loop_and_the_stop(
    manager: Manager, start: Callable[..., subprocess.Popen[bytes]], command: tuple[str, ...], tmp_path: Path
) -> None:
    works = tmp_path / "works"
    process = start(*command, WATCHDOG_USEC="300000", STREAMDIALER_HEALTH_FILE=str(works))
    for _ in range(100):  # until the process that works, perhaps a child, has begun
        manager.hear("WATCHDOG=1", manager.heard.count("WATCHDOG=1") + 1)
        if works.exists():
            break
    manager.hear("WATCHDOG=1", manager.heard.count("WATCHDOG=1") + 3)
    assert manager.heard[0] == "READY=1"
    assert manager.heard.count("READY=1") == 1, "of this process alone, not of its children"
    process.terminate()
    manager.hear("STOPPING=1")
    assert process.wait(20) == 0


def test_a_watchdog_of_another_process_is_not_answered(
    manager: Manager, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    start("tick", WATCHDOG_USEC="100000", WATCHDOG_PID="1")
    manager.hear("READY=1")
    manager.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        manager.hear("WATCHDOG=1")


def test_a_process_that_does_not_run_is_silent(
    manager: Manager, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    process = start("tick", WATCHDOG_USEC="300000")
    manager.hear("WATCHDOG=1")
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.1)  # what it said before
    manager.socket.settimeout(0.6)
    with pytest.raises(TimeoutError):
        manager.hear("WATCHDOG=1", 100)
    process.send_signal(signal.SIGCONT)
    manager.hear("WATCHDOG=1", manager.heard.count("WATCHDOG=1") + 1)
