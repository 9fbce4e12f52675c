"""Everything on one machine under one supervisor: the programs, their settings, and the order of their starts."""

from __future__ import annotations

import fcntl
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import anyio
import httpx
import msgspec
from dotenv import dotenv_values

from streamdialer.config.ami_urls import parse_ami_urls
from streamdialer.config.loading import environment_of
from streamdialer.config.private_file import write_private
from streamdialer.config.settings import NAMES
from streamdialer.consumers.supervisor import Program
from streamdialer.errors import CannotBeDone
from streamdialer.operations.redis_server import lasting_server
from streamdialer.operations.session import free_port, require_port

HOST: Final = "127.0.0.1"
PORT_TIMEOUT_S: Final = 15.0
"""Processes of an earlier run that was killed may still hold theirs."""
START_TIMEOUT_S: Final = 60.0
CHECK_S: Final = 0.1
MARK: Final = "# Written by `streamdialer serve` at each start, for commands that run in this folder."
NOT_FOR_COMMANDS: Final = {
    "log_level",
    "log_format",
    "health_file",
    "health_port",
    "backend_username",
    "backend_password",
    "backend_token",
}
"""Settings of the user that are for the programs alone, or of another backend."""
RING_S: Final = 30.0
"""Seconds of life that a simulated telephone rings."""


class OneMachine(msgspec.Struct, frozen=True, kw_only=True):
    """What `streamdialer serve` starts."""

    folder: Path
    """Absolute."""
    replicas: int
    dashboard_port: int
    backend_port: int
    settings: Mapping[str, object]
    """Of the user for every program, by field name."""
    say: Callable[[str], None]
    """Prints a line."""
    asterisk_url: str = ""
    simulated_telephones: Callable[[int], list[str]] | None = None
    """Arguments of Python that start them, with their Dialer API at the port; None: Asterisk's."""
    speed: float = 1.0
    """Of simulated telephones: seconds of life per second."""

    def __post_init__(self) -> None:
        if (existing := self.folder / ".env").exists() and not is_written_by_serve(existing):
            raise CannotBeDone(
                f"{existing} was not written by `streamdialer serve`, which writes one there: name another folder"
            )

    @property
    def backend_url(self) -> str:
        return f"http://{HOST}:{self.backend_port}"

    @property
    def telephones(self) -> str:
        """Who rings, in words."""
        if not self.asterisk_url:
            return "simulated, nobody is called"
        return ", ".join(f"Asterisk at {each.name}" for each in parse_ami_urls(self.asterisk_url))

    @property
    def dashboard_url(self) -> str:
        return f"http://{HOST}:{self.dashboard_port}"


def is_written_by_serve(file: Path) -> bool:
    """Whether the file of settings is there, and is one of ours."""
    return file.is_file() and MARK in file.read_text("utf-8", "replace")


@contextmanager
def prepared(machine: OneMachine) -> Iterator[list[Program]]:
    """The programs in the folder, which no other run uses meanwhile. Raises CannotBeDone."""
    machine.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (machine.folder / "serve.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotBeDone(f"another `streamdialer serve` uses the folder {machine.folder}") from None
        with lasting_server(machine.folder / "redis") as (redis_url, redis):
            _wait_for_port(machine.backend_port, "--backend-port", machine.say)
            _wait_for_port(machine.dashboard_port, "--port", machine.say)
            yield [redis, *_programs(machine, redis_url)]


def _wait_for_port(port: int, option: str, say: Callable[[str], None]) -> None:
    deadline: float | None = None
    while True:
        try:
            return require_port(HOST, port, option)
        except CannotBeDone:
            if deadline is None:
                say(f"port {port} is in use: waiting {PORT_TIMEOUT_S:.0f} s for it to become free")
                deadline = time.monotonic() + PORT_TIMEOUT_S
            elif time.monotonic() > deadline:
                raise
            time.sleep(CHECK_S)


def _programs(machine: OneMachine, redis_url: str) -> list[Program]:
    telephones_port = free_port()
    of_calls = {"dialer_api_url": f"http://{HOST}:{telephones_port}", "pacing_time_scale": str(machine.speed)}
    of_calls["ring_timeout_s"] = f"{RING_S / machine.speed:g}"
    if machine.asterisk_url:
        of_calls = {"originate": "asterisk", "asterisk_ami_url": machine.asterisk_url}
    fields = {"redis_url": redis_url, "backend_url": machine.backend_url, **of_calls}
    fields["dashboard_admin_url"] = machine.backend_url
    log_in = dict.fromkeys(
        ("backend_username", "backend_password", "backend_token"), ""
    )  # '': the folder's `.env`
    fields["backend_data"] = str(machine.folder)
    environment = environment_of({**machine.settings, **fields, **log_in})

    def python(name: str, rank: int, *arguments: str, **more: Any) -> Program:
        line = [sys.executable, *arguments]
        return Program(name=name, command=line, env=environment, folder=machine.folder, rank=rank, **more)

    def program(name: str, rank: int, *command: str, **more: Any) -> Program:
        return python(name, rank, "-m", "streamdialer", *command, **more)

    async def backend_is_ready() -> None:
        await _wait_until_it_answers("the backend", f"{machine.backend_url}/admin/login/")
        users = {field: machine.settings[field] for field in machine.settings.keys() - NOT_FOR_COMMANDS}
        ours = {NAMES[field]: str(value) for field, value in {**users, **fields}.items()}
        login = dotenv_values(machine.folder / "dialer.env", interpolate=False)
        lines = [MARK, *(env_line(name, value or "") for name, value in {**ours, **login}.items()), ""]
        write_private(machine.folder / ".env", "\n".join(lines))

    async def dashboard_is_ready() -> None:
        await _wait_until_it_answers("the dashboard", machine.dashboard_url)
        machine.say(f"telephones: {machine.telephones}")
        machine.say(f"commands: run them in {machine.folder}, such as `streamdialer top`")

    where = ("--host", HOST, "--port", str(machine.backend_port), "--data", str(machine.folder))
    backend = ("backend", *where, "--has-dialer")
    dashboard = ("dashboard", "--host", HOST, "--port", str(machine.dashboard_port))
    if machine.simulated_telephones is None:
        telephones = program("asterisk", 2, "asterisk")
    else:
        telephones = python("telephones", 2, *machine.simulated_telephones(telephones_port))
    return [
        program("backend", 1, *backend, wait_ready=backend_is_ready, must_start=True),
        telephones,
        program("tick", 3, "tick"),
        *(
            program(f"replica-{number}", 3, "consume", "--name", f"replica-{number}")
            for number in range(1, machine.replicas + 1)
        ),
        program("dashboard", 3, *dashboard, wait_ready=dashboard_is_ready),
    ]


def env_line(name: str, value: str) -> str:
    """A line of `.env`; the value is quoted when it has to be."""
    if re.fullmatch(r"[\w@%+=:,./?&~{}\[\]-]*", value):
        return f"{name}={value}"
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{name}='{quoted}'"


async def _wait_until_it_answers(what: str, url: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        with anyio.move_on_after(START_TIMEOUT_S):
            while True:
                with suppress(httpx.TransportError):
                    await client.get(url)
                    return
                await anyio.sleep(CHECK_S)
    raise CannotBeDone(f"{what} does not answer at {url} after {START_TIMEOUT_S:g} s; its log says why")
