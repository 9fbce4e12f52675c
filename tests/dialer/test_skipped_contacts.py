"""Every reason for passing a contact over: brought about on a real server through the real stages, then explained."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from streamdialer.config.settings import Settings
from streamdialer.operations.decisions import decisions, dial_status
from tests.support.dialer import Dialer, run_dialer
from tests.support.eventually import eventually
from tests.support.reason_scenarios import (
    EVERYBODY,
    ONE,
    Scenario,
    abandon_one,
    api_says,
    campaign_of,
    contact_of,
    start,
    world,
)
from tests.support.zones import zone_at


async def forbid(dialer: Dialer) -> None:
    await dialer.producer.event("do_not_call", phone_number="+15550000001")
    await eventually(lambda: dialer.services.client.hlen(dialer.services.keys.dnc))
    await start(dialer)


async def ask_back(dialer: Dialer) -> None:
    """While the campaign has to wait, its contact asks to be called by an agent who does not work today."""
    await api_says(429, {"Retry-After": "2"})(dialer)
    await eventually(lambda: dialer.services.client.hexists(dialer.services.keys.api, "c:1"))
    dialer.centre.dialer_api.set_responder(None)
    at = datetime.now(UTC).isoformat()
    await dialer.producer.event("callback_requested", campaign_id=1, contact_id=1, at=at, agent_id=77)


def asleep() -> str:
    """A zone in which it is three o'clock at night, give or take."""
    return zone_at(3)


SKIP_SCENES = [
    Scenario("do_not_call", "1 on the do-not-call list", lambda: world(contacts=1), act=forbid),
    Scenario("max_attempts", "6 out of attempts", lambda: contact_of(world(), attempts=3)),
    Scenario(
        "window_closed",
        "6 outside their calling hours",
        lambda: contact_of(campaign_of(world(), rule_pack="us-regf"), timezone=asleep()),
    ),
    Scenario(
        "zone_unknown",
        "6 in an unknown time zone",
        lambda: contact_of(campaign_of(world(), rule_pack="us-regf"), timezone="Mars/Olympus"),
    ),
    Scenario(
        "no_phone_number",
        "6 without a number that can be called",
        lambda: contact_of(world(), phone_number="?"),
    ),
    Scenario(
        "unreadable",
        "6 that cannot be read (the first: contact True: an id is an integer",
        lambda: contact_of(world(), id=True),
    ),
    Scenario(
        "cap_attempts",
        "over a cap on attempts (the first by the campaign's own: at most 1 attempt in 24 h per number",
        lambda: contact_of(campaign_of(world(agents=1), attempt_caps=[ONE]), phone_number="+15550000001"),
    ),
    Scenario(
        "min_gap",
        "within the gap between two attempts",
        lambda: contact_of(
            campaign_of(world(agents=1), min_gap={"hours": 4, "scope": "number"}), phone_number="+15550000001"
        ),
    ),
    Scenario(
        "cap_conversations",
        "over a cap on conversations",
        lambda: contact_of(
            campaign_of(world(answer_rate=1, config=EVERYBODY), contact_caps=[ONE], calls_per_second=0.25),
            phone_number="+15550000001",
        ),
    ),
    Scenario(
        "abandon_cooloff",
        "in the cool-off after an abandoned call",
        lambda: contact_of(
            campaign_of(world(agents=1), abandon_cooloff={"hours": 72, "scope": "number"}),
            phone_number="+15550000001",
        ),
        act=abandon_one,
    ),
    Scenario(
        "agent_not_free",
        "1 with a callback for an agent who is not free",
        lambda: world(contacts=1),
        act=ask_back,
    ),
]


@pytest.mark.parametrize("scene", SKIP_SCENES, ids=lambda scene: scene.code)
async def test_a_decision_says_what_it_skipped_and_why(
    settings: Settings, redis: Redis, scene: Scenario
) -> None:
    async with run_dialer(settings, scene.world(), speed=4, start=False, **scene.running) as dialer:
        await scene.act(dialer)

        async def is_explained() -> bool:
            """As `explain` would have begun right after one of the last decisions."""
            client, keys = dialer.services.client, dialer.services.keys
            records = await decisions(client, keys, "1", 100)
            lines = [dial_status("1", "active", one, one.at or 0).sentence for one in records]
            return any("skipped" in line and scene.says in line for line in lines)

        await eventually(is_explained, what=scene.says)
