"""The two backends that the contract suite runs against: the simulated one and our own."""

from __future__ import annotations

from itertools import count
from typing import Any, Protocol

import httpx

from streamdialer.config.settings import Settings
from streamdialer.simulation.servers.backend import Backend as SimulatedService
from streamdialer.simulation.world.engine import World
from streamdialer.simulation.world.entities import Campaign, Contact
from tests.support.own_backend import OwnBackend, post

_numbers = count(1)


class Side(Protocol):
    """A backend that a test fills, and the settings of a dialer that uses it."""

    @property
    def settings(self) -> Settings: ...

    def add_campaign(self, queue: str, **fields: Any) -> int: ...

    def add_agent(self, queue: str, agent: str, status: str) -> None: ...

    def add_contact(self, campaign: int, **fields: Any) -> int: ...

    def statistics(self, campaign: int) -> Any: ...


def next_number() -> str:
    return f"+57300{next(_numbers):07d}"


class OwnSide:
    def __init__(self, backend: OwnBackend) -> None:
        self.settings = backend.settings
        self._backend = backend

    def add_campaign(self, queue: str, **fields: Any) -> int:
        document = {"name": f"Campaign of {queue}", "queue_name": queue, **fields}
        with self._backend.client() as client:
            client.post("/api/queues/", json={"name": queue})  # 400 for one that is there
            return int(post(client, "/api/campaigns/", document)["id"])

    def add_agent(self, queue: str, agent: str, status: str) -> None:
        with self._backend.client() as client:
            client.post("/api/queues/", json={"name": queue})
            post(client, "/api/agents/", {"id": agent, "status": status, "queues": [queue]})

    def add_contact(self, campaign: int, **fields: Any) -> int:
        document = {"campaign_id": campaign, "phone_number": next_number(), **fields}
        with self._backend.client() as client:
            return int(post(client, "/api/contacts/", document)["id"])

    def statistics(self, campaign: int) -> Any:
        with self._backend.client() as client:
            return client.get(f"/api/campaigns/{campaign}/statistics/").json()


class SimulatedSide:
    def __init__(self, world: World, service: SimulatedService) -> None:
        self._world, self._service = world, service
        self._ids = count(1)
        self._agents = count(1)

    @property
    def settings(self) -> Settings:
        return Settings(
            redis_url="redis://127.0.0.1:9",
            backend_url=self._service.url,
            backend_token="a token of the simulated backend",
        )

    def add_campaign(self, queue: str, **fields: Any) -> int:
        number = next(self._ids)
        self._world.add_campaign(Campaign(id=number, queue_name=queue, **fields))
        return number

    def add_agent(self, queue: str, agent: str, status: str) -> None:
        self._world.add_agent(agent, queue).set_state(status, 0.0)  # type: ignore[arg-type]  # one of its words

    def add_contact(self, campaign: int, **fields: Any) -> int:
        number = next(self._ids)
        row = {"phone_number": next_number(), "created_at": f"2026-01-01T00:00:00.{number:06d}Z", **fields}
        self._world.add_contacts([Contact(id=number, campaign_id=campaign, **row)])
        return number

    def statistics(self, campaign: int) -> Any:
        return self._service.statistics[campaign][-1]


def bearer(settings: Settings) -> httpx.Client:
    """A plain client that is logged in as the dialer."""
    return httpx.Client(
        base_url=settings.backend_url,
        headers={"authorization": f"Bearer {settings.backend_token}"},
        timeout=30,
    )
