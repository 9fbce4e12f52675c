"""A real server per test process, emptied before each test; services and stages on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import pytest
from hypothesis import settings as hypothesis_settings
from redis.asyncio import Redis

from streamdialer.broker.connection import connect
from streamdialer.broker.keys import Keys
from streamdialer.config.settings import Settings
from streamdialer.consumers.services import Services, open_services
from streamdialer.ledger import mark_server_trusted
from streamdialer.simulation.embedded_redis import EmbeddedServer

hypothesis_settings.register_profile("same", derandomize=True)
hypothesis_settings.load_profile("same")
"""The same examples in every run; `--hypothesis-profile default` draws others."""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as running:
        yield running


@pytest.fixture
async def redis(server: EmbeddedServer) -> AsyncIterator[Redis]:
    """A client of the emptied server."""
    client = connect(server.url)
    await client.flushall()
    await mark_server_trusted(client, Keys())
    yield client
    await client.aclose()


@pytest.fixture
def settings(server: EmbeddedServer) -> Settings:
    """Fast settings; nothing listens at the two HTTP addresses."""
    return Settings(
        redis_url=server.url,
        backend_url="http://127.0.0.1:9",
        dialer_api_url="http://127.0.0.1:9",
        read_block_s=0.05,
        claim_min_idle_s=0.6,
        agents_cache_ttl_s=0.2,
        refill_interval_s=0.5,
        sweep_interval_s=0.05,
        shutdown_timeout_s=2.0,
    )


@pytest.fixture
async def services(redis: Redis, settings: Settings) -> AsyncIterator[Services]:
    async with open_services(settings) as opened:
        yield opened


async def eventually(condition: Callable[[], Any], *, within_s: float = 10.0, what: str = "") -> Any:
    """Waits until the (async) condition gives something true, and returns it; fails after `within_s`."""
    seen: Any = None
    with anyio.move_on_after(within_s):
        while True:
            seen = condition()
            if hasattr(seen, "__await__"):
                seen = await seen
            if seen:
                return seen
            await anyio.sleep(0.01)
    raise AssertionError(f"not within {within_s} s: {what or condition} (last seen: {seen!r})")
