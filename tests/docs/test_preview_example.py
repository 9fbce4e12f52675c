"""The programs of docs/preview.md run: an agent asks for a contact, and the answers are listed."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from anyio.to_thread import run_sync
from redis.asyncio import Redis

from streamdialer import Producer, Replica, Settings
from streamdialer.simulation.embedded_redis import EmbeddedServer
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.world.build import build_world

PAGE = Path(__file__).parents[2] / "docs" / "preview.md"


async def test_the_programs_of_the_page_show_a_contact_and_list_the_answers(
    redis: Redis,
    server: EmbeddedServer,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ask, answers = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    monkeypatch.setenv("REDIS_URL", server.url)
    monkeypatch.setattr(sys, "argv", ["ask.py", "1001"])
    run: Callable[[str, dict[str, Any]], None] = exec
    async with CallCentre(build_world(agents=2, contacts=3, mode="preview"), server.url, speed=60) as centre:
        await centre.start_campaign(1)
        urls = {"backend_url": centre.backend.url, "dialer_api_url": centre.dialer_api.url}
        async with (
            Replica(msgspec.structs.replace(settings, **urls), stages=("ticks", "events")),
            Producer.from_url(server.url) as producer,
        ):
            assert await producer.result(await producer.tick("dial", campaign_id=1), timeout=10)
            await run_sync(run, ask, {})
            await run_sync(run, answers, {})
    asked, listed = capsys.readouterr().out.splitlines()
    assert asked.startswith("preview_offered ")
    assert listed.startswith("preview_offered 1001 ")
