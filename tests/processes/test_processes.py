"""Real processes: what SIGTERM, SIGKILL and a Redis that goes away leave behind."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import msgspec
import pytest
from anyio.to_thread import run_sync

from streamdialer.config.settings import Settings
from streamdialer.simulation.embedded_redis import EmbeddedServer
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.world.build import build_world
from tests.support.dialer import run_dialer
from tests.support.eventually import eventually
from tests.support.process import SHUTDOWN_TIMEOUT_S, process

pytestmark = pytest.mark.usefixtures("redis")


@asynccontextmanager
async def centre_at(redis_url: str, *, speed: float, contacts: int) -> AsyncIterator[CallCentre]:
    world = build_world(agents=6, contacts=contacts, mode="progressive", speed=speed, retry_delay_s=60)
    async with CallCentre(world, redis_url, speed=speed) as centre:
        yield centre


def _placed_more(centre: CallCentre, than: int) -> bool:
    return centre.summary().total.originates > than


async def wait_for_exit(child: subprocess.Popen[bytes], within_s: float) -> int:
    return await run_sync(lambda: child.wait(within_s))


async def test_sigterm_with_requests_open_exits_0_within_the_grace_period(
    settings: Settings, server: EmbeddedServer, tmp_path: Path
) -> None:
    async with centre_at(server.url, speed=3, contacts=40) as centre:
        await centre.start_campaign(1)
        with (
            process(centre, server.url, tmp_path, "tick"),
            process(
                centre, server.url, tmp_path, "consume", "--name", "first", STREAMDIALER_RING_TIMEOUT_S="10"
            ) as replica,
        ):
            await eventually(lambda: len(centre.live_calls()) >= 5)
            replica.send_signal(signal.SIGTERM)
            # Besides its grace period, the process needs some time of a busy machine to end.
            assert await wait_for_exit(replica, SHUTDOWN_TIMEOUT_S + 6) == 0
            placed = centre.summary().total.originates
            with process(
                centre, server.url, tmp_path, "consume", "--name", "second", STREAMDIALER_RING_TIMEOUT_S="10"
            ):
                await eventually(lambda: centre.summary().total.originates > placed, within_s=20)
                assert centre.summary().double_dials == 0
                assert centre.summary().repeated_keys == {}


async def test_replicas_killed_again_and_again_call_no_contact_twice_and_lose_none(
    settings: Settings, server: EmbeddedServer, tmp_path: Path
) -> None:
    async with centre_at(server.url, speed=40, contacts=150) as centre:
        await centre.start_campaign(1)
        scaled = {"STREAMDIALER_RING_TIMEOUT_S": "0.75", "STREAMDIALER_UNCERTAIN_MARGIN_S": "4"}
        with process(centre, server.url, tmp_path, "tick"):
            for number in range(4):
                with process(
                    centre, server.url, tmp_path, "consume", "--name", f"r{number}", **scaled
                ) as replica:
                    placed = centre.summary().total.originates
                    await eventually(partial(_placed_more, centre, placed + 8), within_s=20)
                    replica.kill()
            audit = centre.summary()
            assert (audit.double_dials, audit.repeated_keys, audit.dialed_after_final) == (0, {}, 0)


async def test_redis_killed_and_back_with_its_log_repeats_nothing(settings: Settings) -> None:
    with EmbeddedServer("--appendfsync", "always", appendonly=True) as server:
        here = msgspec.structs.replace(settings, redis_url=server.url)
        world = build_world(agents=6, contacts=120, mode="progressive", speed=40, retry_delay_s=60)
        async with run_dialer(here, world, speed=40) as dialer:
            await dialer.until(lambda audit: audit.total.originates > 10)
            for _ in range(3):
                await run_sync(server.kill)
                await anyio.sleep(0.05)  # the dialer meets a server that is not there
                await run_sync(server.restart)
                before = dialer.centre.summary().total.originates
                await eventually(partial(_placed_more, dialer.centre, before + 5), within_s=30)
            audit = dialer.centre.summary()
            assert (audit.double_dials, audit.repeated_keys, audit.dialed_after_final) == (0, {}, 0)


async def test_live_calls_of_two_replicas_and_two_producers_stay_within_the_cap(
    settings: Settings, server: EmbeddedServer, tmp_path: Path
) -> None:
    world = build_world(
        agents=20, contacts=200, campaigns=2, mode="power", pacing_ratio=4.0, max_concurrent_calls=9, speed=40
    )
    async with CallCentre(world, server.url, speed=40) as centre:
        for campaign in (1, 2):
            await centre.start_campaign(campaign)
        with (
            process(centre, server.url, tmp_path, "tick"),
            process(centre, server.url, tmp_path, "tick", "--dial-every", "0.5"),
            process(
                centre, server.url, tmp_path, "consume", "--name", "a", STREAMDIALER_RING_TIMEOUT_S="0.75"
            ),
            process(
                centre, server.url, tmp_path, "consume", "--name", "b", STREAMDIALER_RING_TIMEOUT_S="0.75"
            ),
        ):
            await eventually(lambda: centre.summary().total.originates > 80, within_s=40)
            audit = centre.summary()
            assert max(audit.max_live_calls.values()) <= 9
            assert audit.double_dials == 0
