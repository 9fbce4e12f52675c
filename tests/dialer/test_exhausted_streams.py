"""Someone writes an entry with the last possible id into a stream: the dialer goes on, whichever stream it is."""

from __future__ import annotations

from typing import Any

import pytest

from streamdialer.broker import consumer
from streamdialer.broker.keys import STAGES, Keys
from streamdialer.config.settings import Settings
from streamdialer.simulation.world.build import build_world
from tests.support.dialer import run_dialer
from tests.support.eventually import eventually

pytestmark = pytest.mark.usefixtures("redis")
KEYS = Keys()
LAST_ID = f"{2**64 - 1}-{2**64 - 1}"
WRITTEN = {stream: KEYS.stream(stream) for stream in STAGES} | {
    "dead": KEYS.stream("dead"),
    "previews": KEYS.previews,
    "decisions": KEYS.decisions("1"),
    "observations": KEYS.queue_observations("sales"),
}


@pytest.mark.parametrize("stream", WRITTEN)
async def test_the_campaign_goes_on(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, stream: str
) -> None:
    monkeypatch.setattr(consumer, "REPAIR_EVERY_S", 0.5)
    world = build_world(agents=5, contacts=60, speed=200, mode="predictive", pacing="adaptive")
    async with run_dialer(settings, world, speed=200, claim_min_idle_s=1.5) as dialer:
        client = dialer.services.client
        await dialer.until(lambda audit: audit.contacts.get("completed", 0) >= 3)
        entry: dict[Any, Any] = {"what": "human", "at": "1", "took": "1", "campaign": "1", "record": "{}"}
        await client.xadd(WRITTEN[stream], entry, id=LAST_ID)

        async def takes_entries() -> bool:
            info: Any = await client.xinfo_stream(WRITTEN[stream])
            return len(info["last-generated-id"]) < 30

        await eventually(takes_entries, within_s=60)
        completed = dialer.centre.summary().contacts["completed"]
        await dialer.until(lambda audit: audit.contacts["completed"] >= completed + 4, within_s=30)
        assert dialer.centre.summary().double_dials == 0
    assert not [record for record in caplog.records if record.message == "handler failed"]
