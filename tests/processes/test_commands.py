"""consume and tick as real processes: signals, restarts, health ports."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis as blocking

from streamdialer.broker.connection import keys_for
from streamdialer.simulation.servers.call_centre import CallCentre
from tests.support.cli import KEYS, Run, read, refused
from tests.support.eventually import wait_until


@pytest.fixture
def command(clean_environment: None, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the real command; kills at the end what still runs."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        with (tmp_path / f"stderr-{len(started)}").open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "streamdialer", *arguments],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        started.append(process)
        return process

    yield start
    for number, process in enumerate(started):
        process.kill()
        process.communicate()
        sys.stdout.write((tmp_path / f"stderr-{number}").read_text())  # shown if the test fails


def consumers(db: Any, stream: str = "dialer:events") -> list[str]:
    try:
        return [consumer["name"] for consumer in db.xinfo_consumers(stream, "streamdialer")]
    except blocking.ResponseError:
        return []


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_consume_works_until_a_signal_and_exits_with_0(
    db: Any, run: Run, command: Callable[..., subprocess.Popen[str]], sent: signal.Signals
) -> None:
    replica = command("consume", "--name", "one", "--autoscale", "8,2", "--stages", "events,ticks")
    wait_until(lambda: consumers(db) == ["one"] == consumers(db, "dialer:ticks"))
    db.hset("campaign:7", "status", "cancelled")
    db.hset(KEYS.directory, "7", "sales")
    assert read(run("run", "cleanup", "7", "--wait", "10", "--json"))["removed"] == 1
    assert consumers(db, "dialer:calls") == []
    replica.send_signal(sent)
    assert replica.wait(10) == 0
    assert replica.stdout is not None
    assert replica.stdout.read() == ""
    assert consumers(db) == []


def test_consume_dials_a_campaign(
    db: Any, run: Run, command: Callable[..., subprocess.Popen[str]], centre: CallCentre
) -> None:
    replica = command("consume")
    assert read(run("campaign", "start", "1", "--json"))["status"] == "active"
    result = read(run("run", "dial", "1", "--wait", "15", "--json"))
    assert (result["status"], result["dialed"]) == ("ok", 7)
    assert read(run("campaign", "show", "1", "--json"))["last_decision"]["dialed"] >= 0
    replica.terminate()
    assert replica.wait(15) == 0


def test_max_tasks_ends_consume_cleanly(db: Any, command: Callable[..., subprocess.Popen[str]]) -> None:
    for _ in range(3):
        db.xadd("dialer:events", {"type": "nonsense"})
    assert command("consume", "--max-tasks", "1", "--concurrency", "1").wait(15) == 0
    assert 1 <= db.xlen("dialer:dead") <= 3


@pytest.mark.parametrize("name", ["consume", "tick"])
def test_consume_and_tick_answer_at_the_health_port(
    db: Any, command: Callable[..., subprocess.Popen[str]], name: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        port = taken.getsockname()[1]
    process = command(name, "--health-port", str(port))
    wait_until(lambda: not is_free(port))
    for path, text in (("live", "ok"), ("ready", "ready"), ("metrics", "streamdialer_stream_length")):
        answer = httpx.get(f"http://127.0.0.1:{port}/{path}", timeout=5)
        assert answer.status_code == 200
        assert text in answer.text
    process.terminate()
    assert process.wait(10) == 0


def test_each_of_several_processes_has_a_health_port(
    db: Any, command: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # below the ports that the system hands out, because another test may get one of those meanwhile
    port = next(port for port in range(20000, 30000, 2) if is_free(port) and is_free(port + 1))
    monkeypatch.setenv("STREAMDIALER_HEALTH_PORT", str(port))
    supervisor = command("consume", "--processes", "2")
    wait_until(lambda: not is_free(port) and not is_free(port + 1))
    for each in (port, port + 1):
        assert httpx.get(f"http://127.0.0.1:{each}/ready", timeout=5).status_code == 200
    supervisor.terminate()
    assert supervisor.wait(15) == 0


def test_a_health_port_in_use_is_reported_before_any_work_begins(run: Run) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        refused(run("consume", "--health-port", str(port)), 1, str(port), "in use")
        refused(run("consume", "--processes", "2", "--health-port", str(port - 1)), 1, "in use")


def test_processes_are_restarted_and_all_stop_together(
    db: Any, command: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    supervisor = command(
        "consume", "--processes", "2", "--name", "node", "--stages", "events", "--max-tasks", "1"
    )
    wait_until(lambda: sorted(consumers(db)) == ["node-1", "node-2"])
    log = tmp_path / "stderr-0"
    for number in range(2):
        db.xadd("dialer:events", {"type": "nonsense"})
        wait_until(lambda: log.read_text().count("starting another") > number)  # noqa: B023 - called at once
    wait_until(lambda: sorted(consumers(db)) == ["node-1", "node-2"])
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(15) == 0
    assert consumers(db) == []


def test_each_of_several_tenants_has_processes_of_its_own(
    db: Any, command: Callable[..., subprocess.Popen[str]]
) -> None:
    supervisor = command("consume", "--namespaces", "acme,beta", "--name", "node", "--stages", "events")
    streams = [keys_for("redis://h", name).stream("events") for name in ("acme", "beta")]
    wait_until(lambda: [consumers(db, stream) for stream in streams] == [["node-1"], ["node-2"]])
    assert consumers(db) == []
    supervisor.terminate()
    assert supervisor.wait(15) == 0
    assert [consumers(db, stream) for stream in streams] == [[], []]


def test_tick_adds_ticks_until_a_signal(db: Any, command: Callable[..., subprocess.Popen[str]]) -> None:
    db.hset("campaign:7", "status", "active")
    producer = command("tick", "--dial-every", "1", "--stats-every", "1000", "--retry-every", "1000")
    wait_until(lambda: db.xlen("dialer:ticks"))
    producer.terminate()
    assert producer.wait(10) == 0
    assert {fields["campaign_id"] for _, fields in db.xrange("dialer:ticks")} == {"7"}


def test_ctrl_c_while_waiting_is_exit_code_130_without_a_traceback(
    db: Any, command: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    def reads() -> int:
        return int(db.info("commandstats").get("cmdstat_get", {"calls": 0})["calls"])

    before = reads()
    waiting = command("run", "dial", "7", "--wait", "60")
    wait_until(lambda: reads() > before + 3)
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait(10) == 130
    assert (tmp_path / "stderr-0").read_text() == ""


def test_asterisk_watches_until_a_signal_however_long_its_server_is_away(
    db: Any, run: Run, command: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(run("asterisk"), 2, "ASTERISK_AMI_URL: not set; takes ami://user:secret@host:5038")
    monkeypatch.setenv(
        "ASTERISK_AMI_URL", "ami://dialer:hunter2@127.0.0.1:1,ami://dialer:hunter2@127.0.0.1:2"
    )
    producer = command("asterisk")
    wait_until(lambda: "asterisk" in str(db.hvals(KEYS.replica_states)))
    producer.terminate()
    assert producer.wait(10) == 0
    assert db.xlen("dialer:events") == 0
