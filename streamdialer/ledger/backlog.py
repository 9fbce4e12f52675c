"""Typed stubs of what a campaign's list in the backend says: who has gone from it, and that it has ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from streamdialer.broker.keys import CHANNEL, Keys
from streamdialer.broker.scripts import Argument, Script, Scripts
from streamdialer.ledger.types import Limits

REMOVE_MISSING, PUBLISH_EXHAUSTED = (
    Script("streamdialer.ledger", name) for name in ("remove_missing", "publish_exhausted")
)


class BacklogLedger:
    """What the ledger does when the backend no longer lists contacts as pending."""

    def __init__(self, scripts: Scripts, keys: Keys, limits: Limits) -> None:
        self._scripts = scripts
        self._keys = keys
        self._limits = limits

    async def remove_missing(self, campaign: str, asked_ms: int, contacts: Sequence[str]) -> int:
        """Takes contacts out of the line whom the backend, asked at `asked_ms` or later (ledger's), shows as no longer
        pending; how many of them are out. Whoever has been seen or told of since then stays."""
        names = self._keys.of_campaign(campaign)
        args: list[Argument] = [campaign, asked_ms, self._limits.final_ttl_ms, *contacts]
        return int(await self._scripts.run(REMOVE_MISSING, names, args))

    async def publish_exhausted(self, campaign: str) -> Literal["announced", "told", "not_over"]:
        """Publishes `campaign:exhausted:{id}` once, unless somebody is still to be called or being called.

        Nor while news waits for the backend. To be asked when its list has just been read to the end and showed nobody
        new.
        """
        answer: Literal["announced", "told", "not_over"] = await self._scripts.run(
            PUBLISH_EXHAUSTED, self._keys.of_campaign(campaign), [campaign, CHANNEL, self._limits.deadline_ms]
        )
        return answer
