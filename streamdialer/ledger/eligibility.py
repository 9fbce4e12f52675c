"""Typed stub of the script that says why a ready contact may not be called."""

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
    """'' when it may be called."""
    due_ms: float | None = None
    """Until when, server's ms; None: permanently."""
    detail: str | None = None


async def check_eligibility(
    client: Redis, keys: Keys, campaign: str, contact: str, hours: Hours | None
) -> Ineligibility:
    """Judges by the last claim's caps and attempts and by `hours`. Raises redis.RedisError."""
    names = [*keys.of_campaign(campaign), keys.dnc, keys.call_history]
    answer = await client.eval(
        CHECK_ELIGIBILITY.source, len(names), *names, campaign, contact, hours_argument(hours)
    )
    return msgspec.json.decode(answer, type=Ineligibility)
