"""Whether a campaign's backend refuses updates of contacts, in the backend's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.consumers.dialing.reasons import NOTICES
from streamdialer.operations.phrase import Phrase

FIELDS: Final = ("refused_updates", "refused_at", "refused_why")
"""In the campaign's totals; written by `ack_update.lua`."""
SHOWN_FOR_S: Final = 3600


class RefusedUpdates(msgspec.Struct, frozen=True, kw_only=True):
    """Updates that the backend refused, the newest within the last hour."""

    number: int
    """Since the campaign began."""
    newest_s_ago: float
    why: str

    def sentence(self) -> Phrase:
        """For people."""
        return Phrase(
            "{text}: {number} so far, the newest {seconds:.0f} s ago. {why}",
            text=Phrase(NOTICES["updates_refused"].text),
            number=self.number,
            seconds=self.newest_s_ago,
            why=self.why,
        )


def read_refused_updates(values: Sequence[str | None], ledger_ms: float) -> RefusedUpdates | None:
    """From the values of `FIELDS`; None when nothing was refused lately."""
    number, at_ms, why = values
    if number is None or at_ms is None:
        return None
    ago_s = max(0.0, (ledger_ms - float(at_ms)) / 1000)
    if ago_s > SHOWN_FOR_S:
        return None
    return RefusedUpdates(number=int(number), newest_s_ago=round(ago_s, 1), why=why or "")


async def refused_updates_of(client: Redis, keys: Keys, campaign: str, now_ms: int) -> RefusedUpdates | None:
    """`now_ms` is the server's time."""
    pipe = client.pipeline(transaction=False)
    pipe.hmget(keys.totals(campaign), list(FIELDS))
    pipe.hget(keys.server, "clock_offset")
    values, clock_offset = await pipe.execute()
    return read_refused_updates(values, now_ms + int(clock_offset or 0))


def notices(refused: RefusedUpdates | None) -> list[str]:
    """What is wrong and what to do, a line each."""
    if refused is None:
        return []
    sentence = refused.sentence()
    return [f"{sentence[0].upper()}{sentence[1:]}", f"What to do: {NOTICES['updates_refused'].remedy}."]
