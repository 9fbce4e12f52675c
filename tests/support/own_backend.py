"""`streamdialer backend` as a process of its own, and what a test puts into it over HTTP."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import msgspec
from dotenv import dotenv_values

from streamdialer.config.settings import Settings
from tests.support.eventually import wait_until

ADDRESS = re.compile(r"^pages: +(\S+)/admin/$", re.MULTILINE)
LOGIN = re.compile(r"^log in as (\w+) with the password (\S+) ", re.MULTILINE)


class OwnBackend(msgspec.Struct, frozen=True):
    url: str
    folder: Path
    administrator: tuple[str, str]
    process: subprocess.Popen[bytes]

    @property
    def settings(self) -> Settings:
        """Of a dialer that uses it, with a token of the log-in in the data folder."""
        login = dotenv_values(self.folder / "dialer.env")
        name, password = login["BACKEND_USERNAME"] or "", login["BACKEND_PASSWORD"] or ""
        token = access_token(self.url, name, password)
        return Settings(redis_url="redis://127.0.0.1:9", backend_url=self.url, backend_token=token)

    def client(self, username: str = "", password: str = "") -> httpx.Client:
        """An HTTP client that is logged in, as the administrator if no user is named."""
        name, word = (username, password) if username else self.administrator
        token = access_token(self.url, name, word)
        return httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {token}"}, timeout=30)


@contextmanager
def own_backend(folder: Path, **changes: str) -> Iterator[OwnBackend]:
    """Killed at the end if it still runs; keeps history, however old. `changes` are environment variables."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMDIALER_")}
    environment.pop("DATABASE_URL", None)
    environment["STREAMDIALER_BACKEND_HISTORY_DAYS"] = "0"
    environment["STREAMDIALER_BACKEND_TOKEN_TTL_S"] = "3600"  # the tests keep a token, on a slow machine too
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / "output.log"
    with output.open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "streamdialer", "backend", "--port", "0", "--data", str(folder)],
            env=environment | changes,
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: child.poll() is not None or ADDRESS.search(output.read_text()), within_s=60)
        text = output.read_text()
        address, login = ADDRESS.search(text), LOGIN.search(text)
        assert address is not None, text
        url = address[1]
        wait_until(lambda: _answers(url))
        login = login or LOGIN.search((folder / "first-output.log").read_text())
        assert login is not None
        if not (folder / "first-output.log").exists():
            output.rename(folder / "first-output.log")
        yield OwnBackend(url, folder, (login[1], login[2]), child)
    finally:
        child.kill()
        child.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/contacts/").status_code == 401
    except httpx.TransportError:
        return False


@cache
def access_token(url: str, name: str, password: str) -> str:
    reply = httpx.post(f"{url}/api/token/", json={"username": name, "password": password}, timeout=30)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["access"])


def post(client: httpx.Client, path: str, document: Any) -> Any:
    reply = client.post(path, json=document)
    assert reply.is_success, reply.text
    return reply.json()
