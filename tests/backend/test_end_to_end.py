"""A list of 50 contacts from a file to the end of the campaign: our backend, the dialer, simulated telephones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import anyio
import httpx
from anyio.to_thread import run_sync
from dotenv import dotenv_values
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.simulation.embedded_redis import EmbeddedServer
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.config import WorldConfig
from tests.support.eventually import eventually
from tests.support.own_backend import OwnBackend, own_backend, post
from tests.support.process import process

CONTACTS = 50
ACCESS_S = 2
OPEN = {"pending", "dialing", "answered", "callback"}


def fill(backend: OwnBackend, agents: list[str]) -> int:
    with backend.client() as client:
        post(client, "/api/queues/", {"name": "sales"})
        for agent in agents:
            post(client, "/api/agents/", {"id": agent, "status": "available", "queues": ["sales"]})
        campaign = {
            "name": "Spring",
            "queue_name": "sales",
            "max_retries": 3,
            "retry_delay": 1,
            "country": "CO",
        }
        return int(post(client, "/api/campaigns/", campaign)["id"])


def statuses(backend: OwnBackend) -> Counter[str]:
    """Of all contacts; the administrator's token has expired by now."""
    login = dict(zip(("username", "password"), backend.administrator, strict=True))
    access = httpx.post(f"{backend.url}/api/token/", json=login).json()["access"]
    reply = httpx.get(f"{backend.url}/api/contacts/?limit=500", headers={"authorization": f"Bearer {access}"})
    return Counter(row["status"] for row in reply.json()["results"])


async def test_a_list_from_a_file_is_called_to_its_end_while_access_tokens_expire(
    server: EmbeddedServer, redis: Redis, tmp_path: Path
) -> None:
    numbers = [f"300{number:07d}" for number in range(CONTACTS)]
    rows = [f"{1_032_000_000 + 7 * at};Ana {at};{number}" for at, number in enumerate(numbers)]
    bad = ["1032999999;Luis;no tiene", "1032999998;Eva;12345"]
    (tmp_path / "list.csv").write_text("\n".join(["cedula;nombre;Teléfono celular", *rows, *bad]), "utf-8")
    life = WorldConfig(talk_mean_s=40, wrap_up_mean_s=5)
    world = build_world(agents=8, contacts=0, mode="progressive", answer_rate=0.5, speed=30, config=life)
    with own_backend(tmp_path / "data", STREAMDIALER_BACKEND_TOKEN_TTL_S=str(ACCESS_S)) as backend:
        campaign = await run_sync(fill, backend, [str(agent) for agent in world.agents])
        assert campaign == 1
        login = dotenv_values(tmp_path / "data" / "dialer.env")
        settings = {
            "BACKEND_URL": backend.url,
            **{name: value or "" for name, value in login.items()},
            "STREAMDIALER_RING_TIMEOUT_S": "2",
            "STREAMDIALER_RETRY_INTERVAL_S": "1",
        }
        async with CallCentre(world, server.url, speed=30) as centre:
            arguments = ("contact", "import", "list.csv", "--campaign", "1")
            with process(centre, server.url, tmp_path, *arguments, **settings) as importing:
                assert await run_sync(lambda: importing.wait(60)) == 0
            assert (await run_sync(statuses, backend)) == {"pending": CONTACTS}
            with (
                process(centre, server.url, tmp_path, "tick", **settings),
                process(centre, server.url, tmp_path, "consume", "--name", "one", **settings),
            ):
                async with redis.pubsub(ignore_subscribe_messages=True) as messages:
                    await messages.subscribe(Keys().channel)
                    await centre.start_campaign(1)

                    async def is_exhausted() -> bool:
                        message = await messages.get_message(timeout=0.5)
                        return bool(message and message["data"] == "campaign:exhausted:1")

                    await eventually(is_exhausted, within_s=150, what="the list has come to its end")

                async def is_over() -> bool:
                    await anyio.sleep(0.5)
                    return not OPEN & set(await run_sync(statuses, backend))

                await eventually(is_over, within_s=120, what="no contact is open")
                ended = await run_sync(statuses, backend)
                audit = centre.summary()
    assert ended.total() == CONTACTS
    assert ended["completed"] == audit.total.connected > 0
    assert (audit.double_dials, audit.repeated_keys) == (0, {})
    called = set(world.auditor.per_contact)
    assert len(called) == CONTACTS
