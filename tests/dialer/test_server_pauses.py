"""A pause that a server asks one replica for is kept by all replicas, and ends by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from aiohttp import web
from redis.asyncio import Redis

from streamdialer.broker.entries import Entry
from streamdialer.config.settings import Settings
from streamdialer.consumers.services import open_services
from streamdialer.consumers.updates import UpdatesStage
from streamdialer.errors import Throttled
from streamdialer.gateways.originate_reply import RETRY_AFTER_MAX_S
from streamdialer.operations.decisions import explain
from streamdialer.simulation.servers.http import Service
from streamdialer.simulation.world.build import build_world
from tests.support.dialer import open_centre
from tests.support.eventually import eventually
from tests.support.ledger_reader import move_clock
from tests.support.ticks_stage import StageWithBackend

pytestmark = pytest.mark.usefixtures("redis")
A_YEAR = str(365 * 86_400)


@asynccontextmanager
async def two_replicas(settings: Settings) -> AsyncIterator[tuple[StageWithBackend, StageWithBackend]]:
    async with (
        open_centre(settings, build_world(agents=2, contacts=4)) as (centre, services),
        open_services(services.settings) as others,
    ):
        await services.client.hset("campaign:1", "status", "active")
        yield StageWithBackend(centre, services), StageWithBackend(centre, others)


def refuse(server: Service, retry_after: str) -> list[str]:
    """From now on the server asks for a pause; the requests it gets."""
    requests: list[str] = []

    def answer(request: web.Request) -> web.Response:
        requests.append(f"{request.method} {request.path}")
        return web.Response(status=429, headers={"Retry-After": retry_after})

    server.set_responder(answer)
    return requests


async def test_a_pause_the_backend_asks_one_replica_for_holds_the_others(settings: Settings) -> None:
    async with two_replicas(settings) as (told, other):
        requests = refuse(told.centre.backend, "20")
        await told.dial()
        assert requests == ["GET /api/campaigns/1/"]
        for stage in (other, told):
            result = await stage.dial()
            assert (result.status, result.reason) == ("error", "backend_throttled")
            text = "\n".join(explain("1", "active", [result], result.at or 0))
            assert "the backend asks for fewer requests and gets none for 20 s" in text
        assert len(requests) == 1


async def test_a_pause_ends_for_all_replicas(settings: Settings) -> None:
    async with two_replicas(settings) as (told, other):
        refuse(told.centre.backend, "0.2")
        await told.dial()
        assert (await other.dial()).reason == "backend_throttled"
        told.centre.backend.set_responder(None)
        keys = told.world.keys
        await eventually(lambda: _is_gone(told.world.client, keys.paused("backend")))
        await eventually(lambda: _dials(other))


async def test_a_pause_of_a_year_is_an_hour(settings: Settings) -> None:
    async with two_replicas(settings) as (told, _):
        refuse(told.centre.backend, A_YEAR)
        await told.dial()
        left_ms = await told.world.client.pttl(told.world.keys.paused("backend"))
        assert RETRY_AFTER_MAX_S - 5 < left_ms / 1000 <= RETRY_AFTER_MAX_S


async def test_a_pause_ends_in_time_when_the_clock_of_redis_is_set_back(settings: Settings) -> None:
    async with two_replicas(settings) as (told, other):
        client, keys = told.world.client, told.world.keys
        refuse(told.centre.backend, "20")
        await told.dial()
        await client.pexpire(keys.paused("backend"), 3_600_000)  # as after an hour's step back
        await move_clock(client, keys, 15)
        left_ms = (await other.world.services.ticks.start("1", "1-0")).backend_paused_ms
        assert 0 < left_ms <= 5000
        refuse(told.centre.backend, "10")
        with pytest.raises(Throttled):
            await other.world.services.backend.campaign("1")
        left_ms = (await other.world.services.ticks.start("1", "1-0")).backend_paused_ms
        assert 5000 < left_ms <= 10_000, "the longer one counts"
        await move_clock(client, keys, 11)
        assert (await other.world.services.ticks.start("1", "1-0")).backend_paused_ms == 0


async def test_a_shorter_pause_does_not_end_a_longer_one(settings: Settings) -> None:
    async with two_replicas(settings) as (told, other):
        refuse(told.centre.backend, "600")
        await told.dial()
        refuse(told.centre.backend, "1")
        with pytest.raises(Throttled):  # its request was on its way
            await other.world.services.backend.campaign("1")
        assert await told.world.client.pttl(told.world.keys.paused("backend")) > 500_000


async def test_updates_of_another_replica_wait_for_the_pause(settings: Settings) -> None:
    async with two_replicas(settings) as (told, other):
        await told.dial()
        attempt = (await told.world.reserved_calls())[0]
        assert await told.world.mark_sent(attempt) == "ok"
        refuse(told.centre.backend, "20")
        with pytest.raises(Throttled):
            await told.world.services.backend.campaign("1")
        requests = refuse(told.centre.backend, "20")
        handler = UpdatesStage(other.world.services)
        with anyio.move_on_after(0.3) as waiting:
            await handler.handle(Entry("1-1", {"campaign": "1", "contact": attempt.contact}))
        assert waiting.cancelled_caught
        assert requests == []


async def test_a_pause_of_the_dialer_api_holds_the_statistics_of_all_replicas(settings: Settings) -> None:
    async with two_replicas(settings) as (told, other):
        requests = refuse(told.centre.dialer_api, "20")
        await told.run("stats")
        assert (await other.run("stats")).reason == "dialer_api_throttled"
        assert len(requests) == 1
        assert (await other.dial()).dialed, "calls have pauses of their own"


async def _is_gone(client: Redis, key: str) -> bool:
    return not await client.exists(key)


async def _dials(stage: StageWithBackend) -> bool:
    return bool((await stage.dial()).dialed)
