"""A campaign's own ring time-out, from the backend to the one who places the call."""

from __future__ import annotations

from typing import Any

import anyio
import msgspec
import pytest
from aiohttp import web
from redis.asyncio import Redis

from streamdialer.broker.entries import Entry
from streamdialer.config.settings import Settings
from streamdialer.consumers.calls import CallsStage
from streamdialer.consumers.dialing.queue_pacing import CampaignPacing
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.services import Services
from streamdialer.consumers.ticks import TicksStage
from streamdialer.gateways.dialer_api import DialerAPI
from streamdialer.gateways.originate_reply import Reply
from streamdialer.gateways.originate_request import OriginateRequest
from streamdialer.model import Tick
from streamdialer.operations.decisions import explain
from streamdialer.simulation.world.build import build_world
from tests.support.dialer import open_centre
from tests.support.gateway_server import Request, serving

pytestmark = pytest.mark.usefixtures("redis")
OURS_S = 25.0


async def placed(services: Services, monkeypatch: pytest.MonkeyPatch) -> list[OriginateRequest]:
    """The requests of the reserved calls."""
    requests: list[OriginateRequest] = []

    async def originate(_: DialerAPI, call: OriginateRequest) -> Reply:
        requests.append(call)
        return Reply(verdict="placed")

    monkeypatch.setattr(DialerAPI, "originate", originate)
    entries: Any = await services.client.xrange(services.keys.stream("calls"))
    for entry in entries:
        await CallsStage(services).handle(Entry(*entry))
    return requests


@pytest.mark.parametrize(("shown", "rings_s"), [(7.5, 7.5), (None, OURS_S), ("soon", OURS_S)])
async def test_the_campaigns_ring_timeout_counts_before_the_settings(
    settings: Settings,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    shown: Any,
    rings_s: float,
) -> None:
    world = build_world(agents=1, contacts=3)
    world.campaigns[1].ring_timeout = shown
    async with open_centre(settings, world, ring_timeout_s=OURS_S) as (_, services):
        await redis.hset("campaign:1", "status", "active")
        result = await TicksStage(services, WakeupScheduler(services)).run(Tick("1-0", "dial", "1"))
        (request,) = await placed(services, monkeypatch)
        pacing = await services.queues.pacing_of("sales", "1")
        dialing: Any = await redis.zrange(services.keys.dialing("1"), 0, -1, withscores=True)
        ((contact, due_ms),) = dialing
        record: Any = await redis.hget(services.keys.records("1"), contact)
        lines = "\n".join(explain("1", "active", [result], result.at or 0))
    assert request.ring_timeout_s == rings_s
    deadline_ms = (rings_s + settings.uncertain_margin_s) * 1000
    assert due_ms - msgspec.json.decode(record)["h"][-1]["sm"] == deadline_ms
    assert msgspec.json.decode(pacing, type=CampaignPacing).deadline_ms == deadline_ms
    named = "ring_timeout is 'soon', takes seconds above 0 and up to 600"
    logged = [getattr(each, "fields", "") for each in caplog.records]
    assert (named in lines, named in logged) == (shown == "soon", shown == "soon")


async def test_a_dialer_api_may_hold_its_reply_for_the_ring_time_of_the_campaign() -> None:
    async def reply_late(_: Request) -> web.StreamResponse:
        await anyio.sleep(0.6)
        return web.json_response({"status": "success"})

    call = OriginateRequest(
        attempt_id="1:1:1", campaign="1", contact="1", phone_number="1", ring_timeout_s=30
    )
    async with serving(reply_late) as server:
        patience = Settings(dialer_api_url=server.url, originate_timeout_s=0.3, ring_timeout_s=30)
        async with DialerAPI(patience) as api:
            assert (await api.originate(call)).verdict == "unknown"
            longer = msgspec.structs.replace(call, ring_timeout_s=40)
            assert (await api.originate(longer)).verdict == "placed"
