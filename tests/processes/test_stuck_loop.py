"""An event loop that is stuck in a process that lives: each of the three ways to watch it notices it."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import anyio
import httpx
import msgspec
import pytest
import yaml
from redis.asyncio import Redis

from streamdialer.broker.background_duty import running
from streamdialer.broker.connection import connect
from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Scripts
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.config.settings import Settings
from streamdialer.consumers.background import background_duties, systemd_duties
from streamdialer.consumers.replica import ReplicaOptions, run_replica
from streamdialer.observability import health
from streamdialer.operations.session import free_port
from streamdialer.producers.events import Producer
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.eventually import eventually, wait_until
from tests.support.health_port import status_is
from tests.support.service_manager import Manager

DEPLOY = Path(__file__).parents[2] / "deploy"


def test_file_port_and_watchdog_notice_a_stuck_loop(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = Manager(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    monkeypatch.setattr(health, "BEAT_S", 0.05)
    port, file = free_port(), tmp_path / "health"
    stick, go_on, is_over = threading.Event(), threading.Event(), threading.Event()

    async def work() -> None:
        settings = Settings(redis_url=server.url, health_port=port, health_file=str(file))
        client = connect(server.url)
        async with Scripts(client) as scripts:
            run = ShutdownSignal()
            duties = background_duties(settings, scripts, Keys(), run, name="it", role="consume")
            async with running(*duties, *systemd_duties(run.wait_stopping)):
                await eventually(stick.is_set)
                go_on.wait(20)  # what a handler that computes or blocks does to the loop: all threads live
                await eventually(is_over.is_set)
        await client.aclose()

    def is_live() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/live", timeout=0.5).status_code == 200
        except httpx.TransportError:
            return False

    loop = threading.Thread(target=anyio.run, args=(work,))
    loop.start()
    try:
        wait_until(is_live)
        wait_until(file.exists)
        beat = file.stat().st_mtime_ns
        wait_until(lambda: file.stat().st_mtime_ns > beat)
        manager.hear("WATCHDOG=1", 2)

        stick.set()
        time.sleep(0.2)
        beat = file.stat().st_mtime_ns
        manager.drain()
        assert not is_live()
        assert file.stat().st_mtime_ns == beat
        manager.socket.settimeout(0.6)  # twice the watchdog's limit
        with pytest.raises(TimeoutError):
            manager.hear("WATCHDOG=1", manager.heard.count("WATCHDOG=1") + 1)

        go_on.set()
        wait_until(is_live)
        wait_until(lambda: file.stat().st_mtime_ns > beat)
        manager.socket.settimeout(5)
        manager.hear("WATCHDOG=1", manager.heard.count("WATCHDOG=1") + 1)
    finally:
        for event in (stick, go_on, is_over):
            event.set()
        loop.join()
        manager.socket.close()


async def test_a_replica_whose_backend_is_away_is_alive_and_ready(redis: Redis, settings: Settings) -> None:
    """Its work waits and is not lost. Taking all replicas out of service at once would help no one."""
    run, port = ShutdownSignal(), free_port()
    here = msgspec.structs.replace(settings, health_port=port)
    await redis.hset(Keys().campaign("1"), "status", "active")
    async with Producer.from_url(settings.redis_url) as producer, anyio.create_task_group() as tasks:
        tasks.start_soon(run_replica, here, ReplicaOptions(), run)
        result = await producer.result(await producer.tick("dial", 1), timeout=10)
        assert result is not None
        assert result.reason == "backend_unreachable"
        await eventually(lambda: status_is(port, "/ready", 200))
        assert await status_is(port, "/live", 200)
        run.stop()


def probe(path: Path) -> int:
    """The exit code of the health check of the image, with its file at `path`."""
    dockerfile = (DEPLOY / "Dockerfile").read_text("utf-8")
    command = dockerfile.partition("HEALTHCHECK")[2].partition("CMD ")[2].partition("\n")[0]
    environment = {**os.environ, "STREAMDIALER_HEALTH_FILE": str(path)}
    return subprocess.run(["sh", "-c", command], env=environment, check=False).returncode


def test_the_images_health_check_wants_a_file_of_the_last_half_minute(tmp_path: Path) -> None:
    file = tmp_path / "health"
    assert probe(file) != 0, "the process has not begun to work"
    file.touch()
    assert probe(file) == 0
    os.utime(file, (time.time() - 60, time.time() - 60))
    assert probe(file) != 0, "its loop is stuck"


def test_kubernetes_does_without_the_file() -> None:
    for name in ("consume", "tick"):
        document = yaml.safe_load((DEPLOY / "kubernetes" / "base" / f"{name}.yaml").read_text("utf-8"))
        (container,) = document["spec"]["template"]["spec"]["containers"]
        environment = {one["name"]: one["value"] for one in container["env"]}
        assert environment["STREAMDIALER_HEALTH_FILE"] == "", "its file system is read-only; it has the port"
