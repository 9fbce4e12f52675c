"""Builds a world from a few numbers: campaigns, contacts to call, and agents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import msgspec

from streamdialer.errors import SettingsError
from streamdialer.model import DialMode, Pacing
from streamdialer.simulation.world.config import WorldConfig
from streamdialer.simulation.world.engine import World
from streamdialer.simulation.world.entities import Campaign, Contact

FIRST_CREATED = datetime(2026, 1, 1, tzinfo=UTC)
FIRST_AGENT_ID = 1001


def build_world(
    *,
    agents: int = 10,
    contacts: int = 1000,
    campaigns: int = 1,
    mode: DialMode = "progressive",
    answer_rate: float = 0.30,
    seed: int = 0,
    speed: float = 1.0,
    queue_per_campaign: bool = False,
    pacing_ratio: float = 1.2,
    pacing: Pacing | None = None,
    max_concurrent_calls: int = 50,
    max_retries: int = 3,
    retry_delay_s: float = 300.0,
    timezone: str | None = None,
    config: WorldConfig | None = None,
) -> World:
    """Campaigns 1 to N with the contacts 1 to M divided among them, and agents from 1001 on.

    All campaigns share the queue `sales`, or each has its own (`sales-1` …) and the agents are divided among them.
    `retry_delay_s` is in seconds of life; the campaigns have it in wall-clock seconds, `speed` times less.
    `answer_rate` is the share of calls that a person answers; the other outcomes shrink in proportion to fit beside it.
    """
    if campaigns < 1 or not 0 <= answer_rate <= 1 or speed <= 0:
        raise SettingsError(
            "a world needs at least one campaign, an answer rate from 0 to 1 and a positive speed"
        )
    world = World(_with_answer_rate(config or WorldConfig(), answer_rate), seed)
    for number in range(1, campaigns + 1):
        world.add_campaign(
            Campaign(
                id=number,
                name=f"Campaign {number}",
                dial_mode=mode,
                queue_name=f"sales-{number}" if queue_per_campaign else "sales",
                pacing_ratio=pacing_ratio,
                pacing=pacing,
                max_concurrent_calls=max_concurrent_calls,
                max_retries=max_retries,
                retry_delay=retry_delay_s / speed,
                caller_id="+15550000000",
                trunk="simulated",
                timezone=timezone,
            )
        )
    queues = list(world.queues)
    for number in range(agents):
        world.add_agent(FIRST_AGENT_ID + number, queues[number % len(queues)])
    draw = Random(f"{seed}:contacts")
    world.add_contacts(
        Contact(
            id=number,
            campaign_id=1 + (number - 1) % campaigns,
            phone_number=f"+1555{number:07d}",
            priority=draw.randint(1, 10),
            timezone=timezone,
            created_at=f"{FIRST_CREATED + timedelta(seconds=number):%Y-%m-%dT%H:%M:%SZ}",
        )
        for number in range(1, contacts + 1)
    )
    return world


def _with_answer_rate(config: WorldConfig, answer_rate: float) -> WorldConfig:
    others = config.machine + config.busy + config.failed
    scale = min(1.0, (1 - answer_rate) / others) if others else 1.0
    return msgspec.structs.replace(
        config,
        human=answer_rate,
        machine=config.machine * scale,
        busy=config.busy * scale,
        failed=config.failed * scale,
    )
