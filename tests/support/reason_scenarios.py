"""Scenarios in which a call is not placed, one for each reason."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from streamdialer.simulation.servers.http import json_reply
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.config import WorldConfig
from streamdialer.simulation.world.engine import World
from tests.support.dialer import Dialer
from tests.support.eventually import eventually

NO_ANSWER = WorldConfig(human=0, machine=0, busy=0, failed=0)
EVERYBODY = WorldConfig(human=1, machine=0, busy=0, failed=0, answer_mean_s=2, talk_mean_s=600)
ONE = {"count": 1, "window_h": 24, "scope": "number"}


def world(**changes: Any) -> World:
    """Two agents and six people who do not answer."""
    plain: dict[str, Any] = {"agents": 2, "contacts": 6, "answer_rate": 0, "speed": 4, "config": NO_ANSWER}
    return build_world(**(plain | changes))


def campaign_of(made: World, **fields: Any) -> World:
    for name, value in fields.items():
        setattr(made.campaigns[1], name, value)
    return made


def contact_of(made: World, **fields: Any) -> World:
    for contact in made.contacts.values():
        for name, value in fields.items():
            setattr(contact, name, value)
    return made


async def start(dialer: Dialer) -> None:
    for campaign in dialer.centre.world.campaigns:
        await dialer.centre.start_campaign(campaign)


@dataclass
class Scenario:
    """What brings a reason about, and what the first line of `explain` then says."""

    code: str
    says: str
    world: Callable[[], World] = world
    act: Callable[[Dialer], Awaitable[None]] = start
    running: dict[str, Any] = field(default_factory=dict)


def api_says(status: int, headers: dict[str, str] | None = None) -> Callable[[Dialer], Awaitable[None]]:
    async def act(dialer: Dialer) -> None:
        dialer.centre.dialer_api.set_responder(lambda request: json_reply({}, status, headers))
        await start(dialer)

    return act


async def abandon_one(dialer: Dialer) -> None:
    await start(dialer)
    await eventually(lambda: dialer.centre.live_calls())
    call = dialer.centre.live_calls()[0]
    await dialer.producer.event("call_abandoned", campaign_id=1, contact_id=call.contact_id, call_id=call.id)
