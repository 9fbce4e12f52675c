"""One real server per test process, emptied before each test and searched for leaked keys after it."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterator

import pytest
import redis as blocking
from hypothesis import settings as hypothesis_settings
from redis.asyncio import Redis

from bench import key_leaks
from streamdialer.broker.connection import connect
from streamdialer.broker.keys import Keys
from streamdialer.config.settings import Settings
from streamdialer.consumers.services import Services, open_services
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.given_server import GivenServer, given_server
from tests.support.ledger_fixture import LedgerWorld

pytest_plugins = ["tests.support.cli", "tests.support.cluster"]
hypothesis_settings.register_profile("same", derandomize=True, deadline=None)
hypothesis_settings.load_profile("same")
"""The same examples in every run, however slow the machine; `--hypothesis-profile default` draws others."""

os.environ["LANGUAGE"] = "en"
"""Help is in English, whatever the language of the developer."""
NAMESPACE = re.compile(r"^\{[^}]+\}:")
KNOWN_KEYS = [
    *key_leaks.allowed_after_cleanup(Settings().result_ttl_s),
    *key_leaks.allowed_for_campaigns(["*"]),
    *key_leaks.allowed_for_contacts_in_progress(),
]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--redis",
        metavar="URL",
        help="server of the tests of ledger/: redis://host:port, or container:IMAGE; its data is deleted",
    )


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[EmbeddedServer | GivenServer]:
    where = request.config.getoption("--redis")
    with given_server(where) if where else EmbeddedServer() as running:
        yield running


@pytest.fixture(autouse=True)
def leaves_no_unknown_key(request: pytest.FixtureRequest) -> Iterator[None]:
    """Holds for every test that uses the shared server; one that leaves a key on purpose says `leaves("its name")`."""
    if "server" not in request.fixturenames:
        yield
        return
    assert request.path.parent.name != "unit", "a test that needs a server belongs in another folder"
    url = request.getfixturevalue("server").url
    with blocking.Redis.from_url(url, decode_responses=True) as client:
        client.flushall()
        yield
        names = list(client.scan_iter(count=1000))
        pipe = client.pipeline(transaction=False)
        for name in names:
            pipe.pttl(name)
        left_on_purpose = {name for mark in request.node.iter_markers("leaves") for name in mark.args}
        expiries_ms = dict(zip(names, pipe.execute(), strict=True))
    leaks = key_leaks.judge_keys(
        {NAMESPACE.sub("", k): v for k, v in expiries_ms.items() if k not in left_on_purpose}, KNOWN_KEYS
    )
    assert not leaks, "\n".join(leaks)


@pytest.fixture
async def redis(server: EmbeddedServer) -> AsyncIterator[Redis]:
    """A client of the emptied server."""
    client = connect(server.url)
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


@pytest.fixture
def world(services: Services) -> LedgerWorld:
    """Campaigns of one queue, driven through the ledger's stubs."""
    return LedgerWorld(services)
