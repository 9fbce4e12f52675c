"""The public names, and a replica inside another program: the examples of the documentation run."""

from __future__ import annotations

import ast
import inspect
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from redis.asyncio import Redis

import streamdialer
from streamdialer import Replica, Settings
from streamdialer.broker.keys import GROUP, Keys
from streamdialer.consumers import embedding
from streamdialer.errors import SettingsError, Unreachable
from streamdialer.operations.session import free_port
from streamdialer.simulation.embedded_redis import EmbeddedServer
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.world.build import build_world
from tests.support.eventually import eventually

PAGE = Path(__file__).parents[2] / "docs" / "embedding.md"
KEYS = Keys()
PUBLIC = ["Producer", "Replica", "Settings", "StreamdialerError", "SyncProducer", "__version__"]


def test_the_public_names_are_these() -> None:
    assert streamdialer.__all__ == PUBLIC
    assert {name: getattr(streamdialer, name) for name in PUBLIC}.keys() == set(PUBLIC)
    with pytest.raises(AttributeError, match="has no attribute 'Consumer'"):
        _ = streamdialer.Consumer  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [name for name in PUBLIC if name != "__version__"])
async def test_the_example_of_each_public_name_runs(name: str, redis: Redis, server: EmbeddedServer) -> None:
    doc = inspect.getdoc(getattr(streamdialer, name)) or ""
    source = textwrap.dedent(doc.partition("Example::\n")[2])
    assert f"from streamdialer import {name}" in source or f", {name}\n" in source
    source = source.replace("redis://127.0.0.1:6379/0", server.url)
    code = compile(source, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names: dict[str, Any] = {}
    running = eval(code, names)  # a coroutine when the example awaits
    if running is not None:
        await running
    if "Producer" in name:
        assert await redis.xlen(KEYS.stream("events")) == 1


def test_importing_the_package_imports_none_of_its_parts() -> None:
    code = "import sys, streamdialer; sys.exit(any(name.startswith('streamdialer.') for name in sys.modules))"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


async def test_the_example_of_the_page_places_calls(redis: Redis, server: EmbeddedServer) -> None:
    [program] = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    async with CallCentre(build_world(agents=2, contacts=20), server.url, speed=60) as centre:
        await centre.start_campaign(1)
        environment = {
            "PYTHONPATH": ":".join(sys.path),
            "REDIS_URL": server.url,
            "BACKEND_URL": centre.backend.url,
            "DIALER_API_URL": centre.dialer_api.url,
        }
        done = await anyio.run_process([sys.executable, "-c", program], env=environment)
        assert re.fullmatch(r".+ is working\nok: [1-9]\d* calls are placed \n", done.stdout.decode())
        assert centre.summary().live_calls or centre.summary().contacts.get("pending", 0) < 20
        refused = await anyio.run_process(
            [sys.executable, "-c", program],
            env=environment | {"REDIS_URL": f"redis://127.0.0.1:{free_port()}"},
            check=False,
        )
        assert refused.returncode == 1
        assert refused.stderr.decode().startswith("the replica does not work: Redis at redis://127.0.0.1")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"redis_url": ""}, "REDIS_URL: not set"),
        ({"redis_url": "http://127.0.0.1"}, "REDIS_URL: got"),
        ({"ring_timeout_s": 0}, "STREAMDIALER_RING_TIMEOUT_S: got"),
        ({"read_block_s": 0.7}, "takes less than"),
        ({"backend_password": "x"}, "BACKEND_USERNAME: not set"),
    ],
)
async def test_settings_that_cannot_be_used_are_refused_at_entry(
    settings: Settings, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        async with Replica(msgspec.structs.replace(settings, **changes)):
            pytest.fail("entered")


async def test_no_stage_and_no_redis_are_refused_at_entry(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="stages: got"):
        async with Replica(settings, stages=()):
            pytest.fail("entered")
    away = msgspec.structs.replace(settings, redis_url=f"redis://127.0.0.1:{free_port()}")
    with pytest.raises(Unreachable, match="cannot be reached"):
        async with Replica(away):
            pytest.fail("entered")


async def test_it_leaves_in_order_and_an_error_of_the_block_goes_on_as_it_is(
    redis: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")  # systemd's notifications belong to the program
    replica = Replica(settings, name="inside")

    async def program() -> None:
        async with replica:
            await eventually(lambda: redis.zscore(KEYS.replicas, "inside"))
            raise LookupError("of the program")

    for _ in range(2):  # it can be entered again
        with pytest.raises(LookupError, match="of the program"):
            await program()
        assert not await redis.exists(KEYS.replicas)
        assert await redis.xinfo_consumers(KEYS.stream("ticks"), GROUP) == []


async def test_a_program_that_is_cancelled_waits_for_the_replica(redis: Redis, settings: Settings) -> None:
    async with anyio.create_task_group() as tasks:

        async def program() -> None:
            async with Replica(settings, name="inside"):
                await anyio.sleep_forever()

        tasks.start_soon(program)
        await eventually(lambda: redis.zscore(KEYS.replicas, "inside"))
        tasks.cancel_scope.cancel()
    assert not await redis.exists(KEYS.replicas)


@pytest.mark.parametrize("trouble", [signal.SIGKILL, signal.SIGSTOP], ids=["has gone", "hangs"])
async def test_it_leaves_in_time_when_redis(
    trouble: signal.Signals, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "MARGIN_S", 1.0)
    with EmbeddedServer() as own:
        here = msgspec.structs.replace(settings, redis_url=own.url, shutdown_timeout_s=0.5)
        with anyio.fail_after(10):
            async with Replica(here):
                os.kill(own.pid, trouble)
        if trouble == signal.SIGSTOP:
            os.kill(own.pid, signal.SIGCONT)


async def test_a_replica_that_fails_ends_the_block(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise LookupError("a fault of ours")

    monkeypatch.setattr(embedding, "run_replica", fails)
    with pytest.raises(ExceptionGroup) as caught:
        async with Replica(settings):
            await anyio.sleep_forever()
    assert caught.group_contains(LookupError, match="a fault of ours")
