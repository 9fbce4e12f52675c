"""What systemd is told by real processes, and the files in `deploy/` that run them."""

from __future__ import annotations

import configparser
import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from streamdialer.cli import app
from streamdialer.config.settings import NAMES
from streamdialer.simulation.embedded_redis import EmbeddedServer

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


class Manager:
    """The service manager's end of `NOTIFY_SOCKET`."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(15)
        self.heard: list[str] = []

    def hear(self, wanted: str, times: int = 1) -> None:
        """Waits until it has been told that."""
        while self.heard.count(wanted) < times:
            self.heard.append(self.socket.recv(100).decode())

    def drain(self) -> None:
        """Hears what has been said already."""
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard.append(self.socket.recv(100).decode())


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
    for _ in range(100):  # until whoever works, perhaps a child, has begun
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


def test_a_process_that_does_not_run_says_nothing(
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


def arguments_are_known(arguments: list[str]) -> None:
    known = CliRunner().invoke(app, [*arguments, "--help"])
    assert known.exit_code == 0, known.output


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_wait_for_ready_and_watch_the_loop(path: Path) -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(path.read_text("utf-8"))
    service = unit["Service"]
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert int(service["WatchdogSec"]) >= 10
    assert int(service["TimeoutStopSec"]) > 11, "the grace period and the supervisor's margin"
    program, *arguments = shlex.split(service["ExecStart"])
    assert program.endswith("/streamdialer")
    arguments_are_known([one.replace("910%i", "9101") for one in arguments])


def containers() -> list[dict[str, Any]]:
    documents = yaml.safe_load_all((DEPLOY / "kubernetes" / "streamdialer.yaml").read_text("utf-8"))
    return [one for document in documents for one in document["spec"]["template"]["spec"]["containers"]]


def test_kubernetes_probes_ask_what_is_answered() -> None:
    assert [one["name"] for one in containers()] == ["consume", "tick"]
    for one in containers():
        ports = {port["name"]: port["containerPort"] for port in one["ports"]}
        environment = {variable["name"]: variable["value"] for variable in one["env"]}
        assert set(environment) <= set(NAMES.values())
        assert int(environment["STREAMDIALER_HEALTH_PORT"]) == ports["health"]
        assert environment["STREAMDIALER_HEALTH_HOST"] == "0.0.0.0", "the kubelet asks from outside"
        paths = {name: one[name]["httpGet"]["path"] for name in one if name.endswith("Probe")}
        assert paths == {"startupProbe": "/live", "livenessProbe": "/live", "readinessProbe": "/ready"}
        arguments_are_known(one["args"])


def test_compose_hands_on_what_the_law_wants_and_leaves_the_watching_to_the_image() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]
    for name in ("consume", "tick"):
        environment = services[name]["environment"]
        assert {one for one in environment if one.startswith("STREAMDIALER_")} <= set(NAMES.values())
        law = ("STREAMDIALER_RULE_PACK", "STREAMDIALER_TIMEZONE", "STREAMDIALER_COUNTRY")
        assert {one: environment[one] for one in law} == {one: f"${{{one}:-}}" for one in law}
        assert "healthcheck" not in services[name], "the image has one: the file that the loop touches"
        arguments_are_known(services[name]["command"])


def test_the_dashboard_is_started_with_what_it_knows_and_watched_where_it_answers() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]["dashboard"]
    assert {one for one in compose["environment"] if one.startswith("STREAMDIALER_")} <= set(NAMES.values())
    assert compose["ports"] == ["127.0.0.1:5555:5555"], "not for the network: it speaks http"
    assert ":5555/live" in compose["healthcheck"]["test"][3]
    arguments_are_known(compose["command"])
    deployment, service = yaml.safe_load_all((DEPLOY / "kubernetes" / "dashboard.yaml").read_text("utf-8"))
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"name": service["spec"]["ports"][0]["targetPort"], "containerPort": 5555}]
    assert container["livenessProbe"]["httpGet"] == {"path": "/live", "port": "http"}
    arguments_are_known(container["args"])
