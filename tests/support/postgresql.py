"""A PostgreSQL server of the test's own, on a loopback port; it never runs as root."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.support.eventually import wait_until

USER = "postgres"


def find_tool(name: str) -> str | None:
    packaged = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(packaged[-1]) if packaged else shutil.which(name)


class PostgreSQL:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._as = USER if os.geteuid() == 0 else None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._run("initdb", "-D", str(folder / "data"), "-A", "trust", "-U", USER, "-E", "UTF8", "--no-sync")

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self._port}/postgres"

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"test_{secrets.token_hex(4)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"{self.url.removesuffix('/postgres')}/{name}"

    def start(self) -> None:
        tool = find_tool("postgres")
        assert tool is not None
        command = [
            tool,
            "-D",
            str(self._folder / "data"),
            "-p",
            str(self._port),
            "-k",
            str(self._folder),
            "-F",
        ]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, user=self._as, cwd=self._folder, stdout=log, stderr=log)
        wait_until(self._answers)

    def stop(self) -> None:
        """At once: clients lose their connections."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, name: str, *arguments: str) -> None:
        tool = find_tool(name)
        assert tool is not None
        subprocess.run(
            [tool, *arguments], check=True, user=self._as, cwd=self._folder, stdout=subprocess.DEVNULL
        )


@contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """Running; its folder is short, because it holds a socket."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
    server = PostgreSQL(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
