"""Someone writes an entry with the last possible id into a stream: the dialer goes on, whichever stream it is."""

from __future__ import annotations

from typing import Any

import pytest

from streamdialer.broker.keys import STREAMS, Keys
from streamdialer.config.settings import Settings
from streamdialer.simulation.world.build import build_world
from tests.support.dialer import run_dialer
from tests.support.eventually import eventually
from tests.support.ledger_invariants import check_ledger

pytestmark = pytest.mark.usefixtures("redis")
KEYS = Keys()
LAST_ID = f"{2**64 - 1}-{2**64 - 1}"
WRITTEN = {stream: KEYS.stream(stream) for stream in STREAMS} | {
    "previews": KEYS.previews,
    "decisions": KEYS.decisions("1"),
    "observations": KEYS.queue_observations("sales"),
}


@pytest.mark.parametrize("stream", WRITTEN)
async def test_the_campaign_goes_on(
    settings: Settings, caplog: pytest.LogCaptureFixture, stream: str
) -> None:
    world = build_world(agents=5, contacts=30, speed=60, mode="predictive", pacing="adaptive")
    async with run_dialer(settings, world, claim_min_idle_s=1.5) as dialer:
        client = dialer.services.client
        await dialer.until(lambda audit: audit.contacts.get("completed", 0) >= 3)
        entry: dict[Any, Any] = {"what": "human", "at": "1", "took": "1", "campaign": "1", "record": "{}"}
        await client.xadd(WRITTEN[stream], entry, id=LAST_ID)

        async def takes_entries() -> bool:
            info: Any = await client.xinfo_stream(WRITTEN[stream])
            return len(info["last-generated-id"]) < 30

        await eventually(takes_entries, within_s=60)
        audit = await dialer.until_all_are_final(within_s=60)
        assert audit.double_dials == 0
        await check_ledger(client, KEYS, ["1"])
    assert not [record for record in caplog.records if record.message == "handler failed"]
