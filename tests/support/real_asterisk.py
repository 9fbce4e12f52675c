"""A real Asterisk and the telephones it calls, in a container, for tests marked `asterisk`."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from streamdialer.config.ami_urls import AmiUrl
from streamdialer.gateways.ami.connection import Connection
from streamdialer.gateways.ami.link import connected
from streamdialer.gateways.ami.messages import channel_id, variable
from tests.support.eventually import wait_until

IMAGE: Final = "streamdialer-test-asterisk"
SERVER: Final = Path(__file__).parent / "asterisk_server"
DEPLOY: Final = Path(__file__).parents[2] / "deploy" / "asterisk"
CALLER: Final = """
[caller]
secret = caller
read = system
write = call,originate,command

[platform]
secret = platform
read = all
write = all
"""
MESSAGES: Final = {"machine": 1.0, "machine-2": 2.0, "message": 1.0, "offer": 3.0}
"""Sound files of `sd/`, and their seconds."""
START: Final = (
    "mkdir -p /tmp/asterisk/cdr-csv; "
    "(while true; do asterisk -f -C /etc/sd/asterisk.conf >>/tmp/asterisk.log 2>&1; done) & "
    "exec python3 /callees.py"
)


class Seen(msgspec.Struct, frozen=True):
    """What a callee saw."""

    at: float
    number: str
    what: str
    """INVITE, ANSWER, HEARD and the seconds of sound at a machine, or END and why."""


def why_there_is_none() -> str:
    """Why no Asterisk can be started here, '' when one can."""
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "version"], capture_output=True).returncode
    ):
        return "there is no container engine: start one, then `make test-asterisk`"
    if subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True).returncode:
        return f"there is no image {IMAGE}: `make test-asterisk` makes it and runs these tests"
    return ""


def docker(*args: str) -> str:
    return subprocess.run(["docker", *args], check=True, capture_output=True, text=True).stdout.strip()


class RealAsterisk:
    """A server that runs; `streamdialer` may do what deploy/asterisk/manager.conf allows."""

    def __init__(self, container: str, port: int) -> None:
        self.container = container
        self.port = port
        self._originated = 0

    @property
    def url(self) -> str:
        """For ASTERISK_AMI_URL."""
        return f"ami://streamdialer:change-me@127.0.0.1:{self.port}"

    @property
    def caller(self) -> AmiUrl:
        return AmiUrl(host="127.0.0.1", port=self.port, username="caller", secret="caller")

    def _noted(self) -> list[Seen]:
        return [
            msgspec.convert(json.loads(line), Seen) for line in docker("logs", self.container).splitlines()
        ]

    def seen(self) -> list[Seen]:
        """What the callees saw: the truth."""
        return [each for each in self._noted() if not each.what.startswith("FROM ")]

    def callers_of(self, number: str) -> list[str]:
        """The numbers that its calls showed."""
        shown = [each.what for each in self._noted() if each.number == number]
        return [what.removeprefix("FROM ") for what in shown if what.startswith("FROM ")]

    def seen_by(self, number: str) -> list[str]:
        return [each.what for each in self.seen() if each.number == number]

    def command(self, text: str) -> str:
        """What Asterisk's own console answers."""
        return docker("exec", self.container, "asterisk", "-C", "/etc/sd/asterisk.conf", "-rx", text)

    def variables_of_channels(self) -> list[dict[str, str]]:
        """The variables of each channel that is there."""
        names = [
            line.partition("!")[0] for line in self.command("core show channels concise").splitlines() if line
        ]
        found = []
        for name in names:
            pairs = [line.partition("=") for line in self.command(f"core show channel {name}").splitlines()]
            found.append({name.lstrip("_"): value for name, equals, value in pairs if equals})
        return found

    def in_queues(self) -> dict[str, list[str]]:
        """What became of calls in Asterisk's queues, by their channel ids: the words of its queue_log."""
        found: dict[str, list[str]] = {}
        for line in docker("exec", self.container, "cat", "/tmp/asterisk/queue_log").splitlines():
            _, uniqueid, _, _, word, *_ = line.split("|")
            found.setdefault(uniqueid, []).append(word)
        return found

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """It runs on afterwards."""
        docker("exec", self.container, "sh", "-c", "kill -STOP $(cat /tmp/asterisk/asterisk.pid)")
        try:
            yield
        finally:
            docker("exec", self.container, "sh", "-c", "kill -CONT $(cat /tmp/asterisk/asterisk.pid)")

    def kill(self) -> None:
        """It ends without a word and is started again; the telephones ring on."""
        docker("exec", self.container, "sh", "-c", "kill -9 $(cat /tmp/asterisk/asterisk.pid)")


class Caller:
    """Places calls as a dialer does."""

    def __init__(self, link: Connection) -> None:
        self._link = link

    async def call(
        self, attempt: str, number: str, *, trunk: str = "trunk-out", timeout_s: float = 20, **variables: str
    ) -> None:
        """Raises RefusedByServer."""
        campaign, contact, _ = attempt.split(":", 2)
        given = {
            "ATTEMPT_ID": attempt,
            "CAMPAIGN_ID": campaign,
            "CONTACT_ID": contact,
            "SD_QUEUE": "desk",
            **variables,
        }
        fields = {
            "Channel": f"PJSIP/{number}@{trunk}",
            "Context": "sd-outbound",
            "Exten": number,
            "Priority": "1",
            "Timeout": str(round(timeout_s * 1000)),
            "Async": "true",
            "ChannelId": channel_id(attempt),
            "Variable": [variable(f"__{name}", value) for name, value in given.items()],
        }
        await self._link.action("Originate", fields)

    async def variable_of(self, attempt: str, name: str) -> str:
        """The value of a variable of its call, '' when it is not set."""
        answer = await self._link.action("Getvar", {"Channel": channel_id(attempt), "Variable": name})
        return answer.get("Value")

    async def hang_up(self, attempt: str) -> None:
        await self._link.action("Hangup", {"Channel": channel_id(attempt)})


def is_booted(container: str) -> bool:
    wait = [
        "docker",
        "exec",
        container,
        "asterisk",
        "-C",
        "/etc/sd/asterisk.conf",
        "-rx",
        "core waitfullybooted",
    ]
    return subprocess.run(wait, capture_output=True).returncode == 0


@contextmanager
def running_asterisk(folder: Path) -> Iterator[RealAsterisk]:
    """`folder` is an empty one for its configuration."""
    for each in (SERVER / "conf").iterdir():
        shutil.copy(each, folder)
    for name in ("extensions", "queues"):
        shutil.copy(DEPLOY / f"{name}.conf", folder / f"sd-{name}.conf")
    pjsip = (DEPLOY / "pjsip.conf").read_text("utf-8").replace("bind = 0.0.0.0", "bind = 127.0.0.1")
    (folder / "sd-pjsip.conf").write_text(pjsip, "utf-8")
    manager = (DEPLOY / "manager.conf").read_text("utf-8")
    opened = manager.replace("bindaddr = 127.0.0.1", "bindaddr = 0.0.0.0").replace(
        "permit = 127.0.0.1/255.255.255.255", "permit = 0.0.0.0/0.0.0.0"
    )
    assert opened.count("0.0.0.0/0.0.0.0") == 2
    (folder / "manager.conf").write_text(opened + CALLER, "utf-8")
    (folder / "sounds").mkdir()
    for name, seconds in MESSAGES.items():
        (folder / "sounds" / f"{name}.ulaw").write_bytes(b"\x55" * round(8000 * seconds))
    container = docker(
        *("run", "-d", "--pull", "never", "-p", "127.0.0.1::5038"),
        *("-v", f"{folder}/sounds:/usr/share/asterisk/sounds/sd:ro"),
        *("-v", f"{folder}:/etc/sd:ro", "-v", f"{SERVER / 'callees.py'}:/callees.py:ro"),
        *(IMAGE, "sh", "-c", START),
    )
    try:
        port = int(docker("port", container, "5038/tcp").splitlines()[0].rpartition(":")[2])
        wait_until(lambda: is_booted(container))
        yield RealAsterisk(container, port)
    finally:
        docker("rm", "-f", container)


@asynccontextmanager
async def calling(asterisk: RealAsterisk) -> AsyncIterator[Caller]:
    """Someone who places calls."""
    async with connected(asterisk.caller, lambda _: None) as link:
        yield Caller(link)
