"""A dashboard that answers real HTTP, and what a browser or a program does with it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys, Stream
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.config.settings import Settings
from streamdialer.dashboard import serve
from streamdialer.operations.session import free_port
from tests.support.cli import dead_letter_fields

ANNA, PASSWORD = "anna", "correct horse"
WALL, LOOK = "wall", "only looking"
TOKEN, VIEW_TOKEN = "operators-token-0123", "viewers-token-4567"
GUARDED = {
    "dashboard_users": f"operator:{ANNA}:{PASSWORD},viewer:{WALL}:{LOOK}",
    "dashboard_token": TOKEN,
    "dashboard_viewer_token": VIEW_TOKEN,
}
KEYS = Keys()


@asynccontextmanager
async def dashboard(settings: Settings, **changes: Any) -> AsyncIterator[str]:
    """Its address; `changes` are settings."""
    port, run, listening = free_port(), ShutdownSignal(), anyio.Event()
    here = msgspec.structs.replace(settings, **changes)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve, here, "127.0.0.1", port, run, lambda _: listening.set())
        await listening.wait()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            run.stop()


@asynccontextmanager
async def visiting(settings: Settings, **changes: Any) -> AsyncIterator[HttpClient]:
    """A dashboard and a client that has not logged in."""
    async with dashboard(settings, **changes) as address, httpx.AsyncClient(base_url=address) as client:
        yield HttpClient(client)


class HttpClient:
    """An HTTP client with a cookie jar."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def log_in(self, name: str = ANNA, secret: str = PASSWORD) -> httpx.Response:
        return await self.client.post("/login", data={"name": name, "secret": secret})

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers=headers)

    async def form_token(self) -> str:
        page = await self.client.get("/streams")
        found = re.search(r'name="token" value="([^"]+)"', page.text)
        assert found, page.text
        return found.group(1)

    async def send(self, path: str, headers: Any = None, **fields: Any) -> httpx.Response:
        """A form of a page, sent as a browser would."""
        data = {"token": await self.form_token(), **fields}
        return await self.client.post(path, data=data, headers=headers)


async def know_campaign(redis: Redis, campaign: str = "7", status: str = "active") -> None:
    """A campaign of the queue `sales`, of which there is nothing else."""
    await redis.hset(KEYS.directory, campaign, "sales")
    await redis.hset(KEYS.campaign(campaign), "status", status)


async def add_dead_letter(redis: Redis, **original: str) -> str:
    """A dead letter; returns its id."""
    return str(await redis.xadd(KEYS.stream("dead"), dead_letter_fields(original)))


async def kinds(redis: Redis, stream: Stream) -> list[str]:
    """The `type` of each entry, of dead letters that of the original."""
    entries: Any = await redis.xrange(KEYS.stream(stream))
    return [fields.get("=type") or fields["type"] for _, fields in entries]
