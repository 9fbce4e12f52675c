"""One backend for all tests of a process that do not stop it; each test has a campaign of its own."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.contract_sides import next_number
from tests.support.own_backend import OwnBackend, own_backend, post
from tests.support.postgresql import PostgreSQL, find_tool, postgresql


@pytest.fixture(scope="session")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnBackend]:
    with own_backend(tmp_path_factory.mktemp("backend") / "data") as running:
        yield running


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQL]:
    if find_tool("postgres") is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with postgresql() as running:
        yield running


@pytest.fixture(scope="session")
def own_server_on_postgresql(
    postgresql_server: PostgreSQL, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnBackend]:
    folder = tmp_path_factory.mktemp("backend") / "data"
    with own_backend(folder, DATABASE_URL=postgresql_server.url) as running:
        yield running


@pytest.fixture
def backend(own_server: OwnBackend) -> OwnBackend:
    return own_server


@pytest.fixture
def admin(backend: OwnBackend) -> Iterator[httpx.Client]:
    with backend.client() as client:
        yield client


@pytest.fixture
def dialer(backend: OwnBackend) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {backend.settings.backend_token}"}
    with httpx.Client(base_url=backend.url, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture
def campaign(admin: httpx.Client) -> int:
    name = f"queue{next_number()}"
    post(admin, "/api/queues/", {"name": name})
    return int(post(admin, "/api/campaigns/", {"name": name, "queue_name": name, "country": "CO"})["id"])
