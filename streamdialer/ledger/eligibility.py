"""Typed stub of the script that says what keeps a contact in the line from being called."""

from __future__ import annotations

from typing import Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Script
from streamdialer.ledger.zone_hours import Hours, hours_argument

CHECK_ELIGIBILITY: Final = Script("streamdialer.ledger", "check_eligibility")


class Ineligibility(msgspec.Struct, frozen=True):
    """Why a contact may not be called now."""

    reason: str = ""
    """'' when it may."""
    due_ms: float | None = msgspec.field(name="due", default=None)
    """Until when, by the server's own time; None is for good."""
    detail: str | None = None


async def check_eligibility(
    client: Redis, keys: Keys, campaign: str, contact: str, hours: Hours | None
) -> Ineligibility:
    """By the caps and attempts the campaign was last dialed with, and by these hours; raises redis.RedisError."""
    names = [*keys.of_campaign(campaign), keys.dnc, keys.call_history]
    answer = await client.eval(
        CHECK_ELIGIBILITY.source, len(names), *names, campaign, contact, hours_argument(hours)
    )
    return msgspec.json.decode(answer, type=Ineligibility)
