"""`serve`: everything on one machine, killed whole in the middle of a campaign and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from streamdialer.operations.session import free_port
from tests.support.eventually import wait_until
from tests.support.process import is_alive

ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith("STREAMDIALER_") and name not in ("REDIS_URL", "DATABASE_URL")
}
SETTINGS = {"STREAMDIALER_RETRY_INTERVAL_S": "1", "STREAMDIALER_SHUTDOWN_TIMEOUT_S": "5"}
CONTACTS = 40
LIST = "\n".join(["telefono;nombre", *(f"300{number:07d};Ana {number}" for number in range(CONTACTS))])


def run(folder: Path, *arguments: str) -> None:
    """A command in the data folder."""
    command = [sys.executable, "-m", "streamdialer", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def serving(
    folder: Path, ports: tuple[int, int], *more: str
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The command when everything runs, and what it has printed; killed at the end if it still runs."""
    output = folder / f"serve-{len(list(folder.iterdir()))}.log"
    command = [sys.executable, "-m", "streamdialer", "serve", "--data", str(folder / "data")]
    command += ["--port", str(ports[0]), "--backend-port", str(ports[1]), "--replicas", "1", *more]
    with output.open("wb") as log:
        child = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT | SETTINGS, stdout=log, stderr=log)
    try:
        wait_until(lambda: child.poll() is not None or "\ncommands: " in output.read_text(), within_s=90)
        assert child.poll() is None, output.read_text()
        yield child, output.read_text()
    finally:
        child.kill()
        child.wait()


def outcomes_in(data: Path) -> list[Any]:
    """From the server of the folder."""
    with redis.Redis.from_url(f"unix://{data}/redis/redis.sock", decode_responses=True) as client:
        entries: Any = client.xrange("dialer:outcomes")
        return [json.loads(fields["data"]) for _, fields in entries]


def finished(data: Path) -> set[int]:
    """Contacts that are not called again."""
    return {each["contact_id"] for each in outcomes_in(data) if each["final"]}


def pids_in(folder: Path) -> list[int]:
    """Of all processes that run in the folder or name it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            names_it = str(folder).encode() in (process / "cmdline").read_bytes()
            if (names_it or (process / "cwd").resolve() == folder) and is_alive(int(process.name)):
                found.append(int(process.name))
        except OSError:
            continue  # it has ended
    return found


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties processes to their parent")
def test_a_list_is_called_to_its_end_though_everything_is_killed_in_the_middle(tmp_path: Path) -> None:
    data, ports = tmp_path / "data", (free_port(), free_port())
    simulated = ("--simulate-telephones", "--speed", "60", "--agents", "3")
    (tmp_path / "list.csv").write_text(LIST, "utf-8")
    with serving(tmp_path, ports, *simulated) as (child, printed):
        assert "log in as admin with the password " in printed
        assert "telephones: simulated, nobody is called" in printed
        assert "dialer.env" not in printed, "a person has nothing to do with it"
        written = (data / ".env").read_text()
        for setting in ("STREAMDIALER_RETRY_INTERVAL_S=1", f"STREAMDIALER_BACKEND_DATA={data}"):
            assert f"\n{setting}" in written, "commands have the settings of the programs"
        created = ("campaign", "create", "--name", "Spring", "--queue", "sales", "--country", "CO")
        run(data, *created, "--max-retries", "2", "--retry-delay", "1")
        run(data, "contact", "import", str(tmp_path / "list.csv"), "--campaign", "1")
        run(data, "campaign", "start", "1")
        wait_until(lambda: len(outcomes_in(data)) >= 5, within_s=60)
        child.kill()
        child.wait()
    with serving(tmp_path, ports, *simulated) as (child, printed):
        assert "password" not in printed
        wait_until(lambda: len(finished(data)) == CONTACTS, within_s=150)
        outcomes = {each["attempt_id"]: each for each in outcomes_in(data)}
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 0
    talks = Counter(each["contact_id"] for each in outcomes.values() if each["disposition"] == "completed")
    assert set(talks.values()) == {1}, "nobody is called again after a talk"
    wait_until(lambda: not pids_in(data))
