"""Attempts that were sent and have not ended, as the ledger knows them."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.ledger.records import decode_contact

MAX_OPEN: Final = 1000
"""Most attempts that are read of each campaign and state."""


class OpenAttempt(msgspec.Struct, frozen=True):
    campaign: str
    contact: str
    id: str


async def unanswered_attempts(client: Redis, keys: Keys) -> list[OpenAttempt]:
    """The attempts of all campaigns that no event has answered or ended; raises redis.RedisError."""
    campaigns = [str(name) for name in await client.hkeys(keys.directory)]
    pipe = client.pipeline(transaction=False)
    for campaign in campaigns:
        pipe.zrange(keys.dialing(campaign), 0, MAX_OPEN - 1)
        pipe.zrange(keys.orphaned(campaign), 0, MAX_OPEN - 1)
    found: list[Any] = await pipe.execute()
    contacts = {
        campaign: [*found[2 * at], *found[2 * at + 1]]
        for at, campaign in enumerate(campaigns)
        if found[2 * at] or found[2 * at + 1]
    }
    for campaign, members in contacts.items():
        pipe.hmget(keys.records(campaign), members)
    records: list[Any] = await pipe.execute()
    return [
        OpenAttempt(campaign, contact, newest.id)
        for (campaign, members), raws in zip(contacts.items(), records, strict=True)
        for contact, raw in zip(members, raws, strict=True)
        if raw and (newest := decode_contact(raw).newest) and newest.was_sent
    ]
