"""Processes of streamdialer beside a real Asterisk, and what they write, for tests marked `asterisk`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import anyio
from redis.asyncio import Redis

from tests.support.eventually import eventually

JUST_STARTED: Final = {"STREAMDIALER_RING_TIMEOUT_S": "2"}
"""Calls are listed only when Asterisk has been up for the ring time: telephones may ring on from before."""


@contextmanager
def process(redis_url: str, folder: Path, *args: str, **changes: str) -> Iterator[subprocess.Popen[bytes]]:
    """`streamdialer …` as a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMDIALER_")}
    environment |= {"REDIS_URL": redis_url, "LOG_FORMAT": "text", **changes}
    with (folder / f"{args[0]}.log").open("ab") as log:
        child = subprocess.Popen([sys.executable, "-m", "streamdialer", *args], env=environment, stderr=log)
    try:
        yield child
    finally:
        child.terminate()
        child.wait(20)


class Written:
    """The events in the stream."""

    def __init__(self, client: Redis) -> None:
        self.client = client

    async def all(self, *types: str) -> list[dict[str, Any]]:
        entries: Any = await self.client.xrange("dialer:events")
        read = [{"type": fields["type"], **json.loads(fields["data"])} for _, fields in entries]
        return [each for each in read if not types or each["type"] in types]

    async def of(self, attempt: str) -> list[dict[str, Any]]:
        return [each for each in await self.all() if each.get("attempt_id") == attempt]

    async def lists_after(self, at: float) -> list[tuple[float, list[str]]]:
        """When lists of calls were written, and the calls."""
        entries: Any = await self.client.xrange("dialer:events", min=str(round(at * 1000)))
        return [
            (int(entry.partition("-")[0]) / 1000, json.loads(fields["data"])["calls"])
            for entry, fields in entries
            if fields["type"] == "source_live"
        ]

    async def until_over(self, *attempts: str, within_s: float = 30) -> None:
        async def are_over() -> bool:
            ended = {
                each.get("attempt_id")
                for each in await self.all("call_failed", "call_completed", "call_abandoned")
            }
            return set(attempts) <= ended

        await eventually(are_over, within_s=within_s, what=f"the ends of {attempts}")


async def says(redis_url: str, *args: str, **changes: str) -> str:
    """What a command prints. It may ask a server of this process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMDIALER_")}
    environment |= {"REDIS_URL": redis_url, "NO_COLOR": "1", "COLUMNS": "250", **changes}
    command = [sys.executable, "-m", "streamdialer", *args]
    done = await anyio.run_process(command, env=environment, check=False)
    return (done.stdout + done.stderr).decode()
