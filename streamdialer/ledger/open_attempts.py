"""Attempts that were sent and have not ended, as the ledger knows them."""

from __future__ import annotations

from itertools import chain
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.ledger.records import Attempt, decode_contact

MAX_DEFERRED: Final = 1000
"""Most deferred contacts that are read of each campaign."""


class OpenAttempt(msgspec.Struct, frozen=True):
    campaign: str
    contact: str
    id: str


async def unanswered_attempts(client: Redis, keys: Keys, *, with_silent: bool = False) -> list[OpenAttempt]:
    """The attempts of all campaigns that no event has answered or ended; raises redis.RedisError.

    `with_silent`: also those that silence has ended and whose contacts wait for another call, the next ones first.
    """
    places = [(keys.dialing, -1), (keys.orphaned, -1)]
    places += [(keys.deferred, MAX_DEFERRED - 1)] if with_silent else []
    campaigns = [str(name) for name in await client.hkeys(keys.directory)]
    pipe = client.pipeline(transaction=False)
    for campaign in campaigns:
        for place, last in places:
            pipe.zrange(place(campaign), 0, last)
    found: list[Any] = await pipe.execute()
    contacts: dict[str, list[Any]] = {}
    for at, campaign in enumerate(campaigns):
        if members := list(chain(*found[at * len(places) : (at + 1) * len(places)])):
            contacts[campaign] = members
    for campaign, members in contacts.items():
        pipe.hmget(keys.records(campaign), members)
    records: list[Any] = await pipe.execute()
    return [
        OpenAttempt(campaign, contact, newest.id)
        for (campaign, members), raws in zip(contacts.items(), records, strict=True)
        for contact, raw in zip(members, raws, strict=True)
        if raw and (newest := decode_contact(raw).newest) and _is_unanswered(newest)
    ]


def _is_unanswered(attempt: Attempt) -> bool:
    facts = attempt.facts
    is_told = facts.answered or facts.completed_as or facts.failed_as or facts.abandoned
    is_silent = facts.silent or facts.missing_at_ms is not None
    return attempt.was_sent and not is_told and (attempt.state != "ended" or bool(is_silent))
