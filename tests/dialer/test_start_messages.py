"""Messages on the channel that say that a campaign has started, however many of them come."""

from __future__ import annotations

import logging

import pytest

from streamdialer.broker.background_duty import running
from streamdialer.broker.keys import Keys
from streamdialer.consumers.services import Services
from streamdialer.producers.active_campaigns import ActiveCampaigns, StartMessages
from tests.support.eventually import eventually


def started(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The campaigns whose start the log says."""
    return [vars(record)["campaign"] for record in caplog.records if record.message == "campaign started"]


async def test_a_flood_of_messages_is_one_tick_and_one_log_line(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "streamdialer")
    client, keys = services.client, services.keys
    for campaign in ("1", "2"):
        await client.hset(keys.campaign(campaign), "status", "active")
    async with running(StartMessages(client, keys, ActiveCampaigns(client, keys), services.ticks)):
        await eventually(lambda: client.publish(Keys().channel, "campaign:started:1"))
        odd = [
            "campaign:started:",
            "campaign:started:{}",
            "campaign:started:999",
            '{"event": "x"}',
            "x" * 100_000,
        ]
        for message in [*["campaign:started:1"] * 100, *odd, "campaign:started:2"]:
            await client.publish(Keys().channel, message)
        await eventually(lambda: client.hexists(keys.waiting_ticks, "2"))
        await eventually(lambda: "2" in started(caplog))
    assert await client.xlen(keys.stream("ticks")) == 2
    assert started(caplog) == ["1", "2"]
