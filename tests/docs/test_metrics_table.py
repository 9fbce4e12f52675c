"""What `consume` and `tick` really serve, compared with the table of docs/metrics.md: names, types, labels."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.observability import metrics
from streamdialer.operations.session import free_port
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.eventually import eventually
from tests.support.health_port import status_is

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
OF_THE_PROCESS = "process_"
FIRST_USED = {"streamdialer_ticks_total", "streamdialer_pacing_limits_total", "streamdialer_script_seconds"}
"""Have labels whose values are not listed: their series begin with their first use."""


def documented() -> dict[str, tuple[str, set[str]]]:
    """Kind and labels by name, as people read them."""
    rows = [line.split("|")[1:4] for line in DOCS.read_text("utf-8").splitlines() if line.startswith("| `s")]
    return {name.strip(" `"): (kind.strip(), set(labels.split("`")[1::2])) for name, kind, labels in rows}


def name_of(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else str(family.name)


@pytest.fixture
def process(request: pytest.FixtureRequest, server: EmbeddedServer) -> Iterator[int]:
    """The health port of a real process that runs the command."""
    port = free_port()
    command = [sys.executable, "-m", "streamdialer", request.param, "--health-port", str(port)]
    running = subprocess.Popen(command, env={**os.environ, "REDIS_URL": server.url})
    yield port
    running.terminate()
    assert running.wait(30) == 0


@pytest.mark.parametrize("process", ["consume", "tick"], indirect=True)
async def test_what_is_served_is_what_is_documented(redis: Redis, process: int) -> None:
    await redis.hset(Keys().campaign("1"), "status", "active")
    await eventually(lambda: status_is(process, "/ready", 200), within_s=30)
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"http://127.0.0.1:{process}/metrics")).text
    families = {name_of(one): one for one in text_string_to_metric_families(text)}
    ours = {name: one for name, one in families.items() if not name.startswith(OF_THE_PROCESS)}
    table = documented()
    assert set(ours) == set(table)
    assert {name: one.type for name, one in ours.items()} == {name: kind for name, (kind, _) in table.items()}
    for name, one in ours.items():
        _, labels = table[name]
        found = {frozenset(sample.labels) - {"le", "quantile"} for sample in one.samples}
        assert found == {frozenset(labels)} or (name in FIRST_USED and found <= {frozenset(labels)}), name
        series = {frozenset(sample.labels.items()) for sample in one.samples}
        assert len(series) < 200, "bounded"


def test_the_documentation_lists_every_metric_as_the_code_has_it() -> None:
    rows = [line for line in DOCS.read_text("utf-8").splitlines() if line.startswith("| `streamdialer_")]
    assert rows == [metrics.documented(one) for one in metrics.ALL]
