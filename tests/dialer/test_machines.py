"""What a campaign wants when a machine answers, from the backend to the one who places the call."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.ticks import TicksStage
from streamdialer.model import OnMachine, Tick
from streamdialer.simulation.world.build import build_world
from tests.dialer.test_ring_timeout import placed
from tests.support.dialer import open_centre

pytestmark = pytest.mark.usefixtures("redis")


@pytest.mark.parametrize(
    ("amd", "on_machine", "wanted"),
    [
        (False, "agent", None),
        (True, "hangup", "hangup"),
        (True, "message", "message"),
        (True, "agent", "agent"),
    ],
)
async def test_a_call_carries_what_its_campaign_wants(
    settings: Settings,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
    amd: bool,
    on_machine: OnMachine,
    wanted: str | None,
) -> None:
    world = build_world(agents=1, contacts=3)
    world.campaigns[1].amd, world.campaigns[1].on_machine = amd, on_machine
    async with open_centre(settings, world) as (_, services):
        await redis.hset("campaign:1", "status", "active")
        await TicksStage(services, WakeupScheduler(services)).run(Tick("1-0", "dial", "1"))
        (request,) = await placed(services, monkeypatch)
    assert request.on_machine == wanted
