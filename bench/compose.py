"""deploy/compose.yaml up to its first call, and through the death of each service: `python -m bench.compose`

Asterisk and the telephones are those of the tests with a real Asterisk (`make test-asterisk` makes their image). One
service after another gets `docker kill`, and is started again after `--away` seconds. What the callees saw is the
truth: the figures are the longest times without a new call, and no number may be called twice.

Where an image cannot be pulled, leave its service out (`--without grafana`), or name another image in a file of your
own (`--file FILE`).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.pauses import longest_pause
from tests.support.eventually import wait_until
from tests.support.real_asterisk import RealAsterisk, docker, running_asterisk

DEPLOY: Final = Path(__file__).parents[1] / "deploy"
PROJECT: Final = "streamdialer-bench"
CONTACTS: Final = 6000
UP_TIMEOUT_S: Final = 180.0
QUIET_S: Final = 10.0
"""How long it dials before each death, and at least after it."""
ENVIRONMENT: Final = {
    "COMPOSE_PROJECT_NAME": PROJECT,
    "COMPOSE_PROFILES": "asterisk",
    "POSTGRES_PASSWORD": "of-the-bench",
    "GRAFANA_PASSWORD": "of-the-bench",
    "STREAMDIALER_DASHBOARD_USERS": "operator:bench:of-the-bench",
    "ASTERISK_AMI_URL": "ami://streamdialer:change-me@pbx:5038",
    "BACKEND_PORT": "0",
    "DASHBOARD_PORT": "0",
    "GRAFANA_PORT": "0",
}
CAMPAIGN: Final = (
    *("--name", "Bench", "--queue", "crowd", "--mode", "power", "--ratio", "2"),
    *("--trunk", "trunk-out", "--max-calls", "20", "--max-retries", "1"),
)


class Stack:
    """The services of the compose file; their state is asked of the engine."""

    def __init__(self, files: list[str], without: list[str]) -> None:
        self._command = ["docker-compose", *(part for file in files for part in ("-f", file))]
        self._environment = os.environ | ENVIRONMENT
        self.services = sorted(set(self.run("config", "--services").split()) - set(without))

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._command, *arguments], env=self._environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"docker-compose {' '.join(arguments)}:\n{done.stderr}")
        return done.stdout

    def up(self, *services: str) -> None:
        self.run("up", "-d", *(services or self.services))
        wait_until(lambda: self.are_healthy(*(services or self.services)), within_s=UP_TIMEOUT_S)

    def are_healthy(self, *services: str) -> bool:
        for container in self.run("ps", "-q", *services).split():
            state: dict[str, Any] = json.loads(docker("inspect", "-f", "{{json .State}}", container))
            if not state["Running"] or state.get("Health", {}).get("Status", "healthy") != "healthy":
                return False
        return True

    def containers(self, service: str) -> list[str]:
        return self.run("ps", "-q", service).split()

    def streamdialer(self, *arguments: str, volume: str = "") -> str:
        """A command in a container of its own, with the dialer's log-in."""
        mounted = ["-v", volume] if volume else []
        return self.run("run", "--rm", "-T", "--no-deps", *mounted, "consume", *arguments)


class Death(msgspec.Struct, frozen=True):
    what: str
    killed_at: float
    back_s: float
    """From the command that starts it again until it is healthy."""
    until: float


def kill(stack: Stack, service: str, containers: list[str], away_s: float) -> Death:
    killed_at = time.time()
    docker("kill", *containers)
    time.sleep(away_s)
    started = time.time()
    stack.up(service)
    back_s = time.time() - started
    time.sleep(QUIET_S)
    what = service if len(stack.containers(service)) == len(containers) else f"one {service} of two"
    return Death(what, killed_at, back_s, time.time())


def placed(asterisk: RealAsterisk) -> list[float]:
    return [each.at for each in asterisk.seen() if each.what == "INVITE"]


def run(stack: Stack, asterisk: RealAsterisk, folder: Path, away_s: float) -> bool:
    """Prints the figures; whether nobody was called twice."""
    began = time.time()
    stack.up()
    print(f"all healthy after {time.time() - began:.1f} s: {', '.join(stack.services)}")  # noqa: T201 - a program's output
    docker("network", "connect", "--alias", "pbx", f"{PROJECT}_default", asterisk.container)
    contacts = folder / "contacts.csv"
    contacts.write_text("\n".join(["phone", *(str(30_000_005 + 10 * n) for n in range(CONTACTS))]), "utf-8")
    stack.streamdialer("campaign", "create", *CAMPAIGN)
    stack.streamdialer("contact", "import", "/list.csv", "--campaign", "1", volume=f"{contacts}:/list.csv:ro")
    started = time.time()
    stack.streamdialer("campaign", "start", "1")
    wait_until(lambda: bool(placed(asterisk)), within_s=UP_TIMEOUT_S)
    first = placed(asterisk)[0]
    delays = f"{first - began:.1f} s after the start of all, {first - started:.1f} s after the campaign's"
    print(f"first call {delays}")  # noqa: T201
    time.sleep(QUIET_S)
    print(f"longest pause undisturbed: {longest_pause(placed(asterisk), first, time.time()):.1f} s")  # noqa: T201
    for service in stack.services:
        containers = stack.containers(service)
        groups = [containers] if len(containers) == 1 else [containers[:1], containers]
        for group in groups:
            death = kill(stack, service, group, away_s)
            pause = longest_pause(placed(asterisk), death.killed_at, death.until)
            print(f"{death.what}: {pause:.1f} s without a call; healthy {death.back_s:.1f} s after its start")  # noqa: T201
    called = Counter(each.number for each in asterisk.seen() if each.what == "INVITE")
    twice = [number for number, calls in called.items() if calls > 1]
    print(f"{len(called)} numbers called, {len(twice)} twice")  # noqa: T201
    print(stack.streamdialer("doctor"))  # noqa: T201
    return not twice


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.compose", description=__doc__.splitlines()[0])
    parser.add_argument("--file", action="append", default=[], help="a compose file that is read after ours")
    parser.add_argument(
        "--without", action="append", default=[], metavar="SERVICE", help="a service that stays out"
    )
    parser.add_argument(
        "--away", type=float, default=10.0, metavar="SECONDS", help="how long each stays dead"
    )
    given = parser.parse_args()
    stack = Stack([str(DEPLOY / "compose.yaml"), *given.file], given.without)
    with tempfile.TemporaryDirectory(prefix="streamdialer-") as folder:
        configuration = Path(folder, "asterisk")
        configuration.mkdir()
        try:
            with running_asterisk(configuration) as asterisk:
                is_good = run(stack, asterisk, Path(folder), given.away)
        finally:
            stack.run("down", "-v")
    sys.exit(not is_good)


if __name__ == "__main__":
    main()
