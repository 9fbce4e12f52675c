"""Typed stubs of the scripts that act on a campaign's list in the backend: contacts missing from it, its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Argument, Script, Scripts
from streamdialer.ledger.types import Limits

REMOVE_MISSING, PUBLISH_EXHAUSTED = (
    Script("streamdialer.ledger", name) for name in ("remove_missing", "publish_exhausted")
)


ExhaustedStatus = Literal["published", "already_published", "not_over", "ask_backend"]


class BacklogLedger:
    """What the ledger does when the backend no longer lists contacts as pending."""

    def __init__(self, scripts: Scripts, keys: Keys, limits: Limits) -> None:
        self._scripts = scripts
        self._keys = keys
        self._limits = limits

    async def remove_missing(self, campaign: str, asked_ms: int, contacts: Sequence[str]) -> int:
        """Makes ready contacts final that the backend no longer lists as pending; how many of them are final.

        The backend was asked at `asked_ms` (ledger ms) or later. Contacts listed or updated since then stay.
        """
        names = self._keys.of_campaign(campaign)
        args: list[Argument] = [campaign, asked_ms, self._limits.final_ttl_ms, *contacts]
        return int(await self._scripts.run(REMOVE_MISSING, names, args))

    async def unknown(self, campaign: str, contacts: Sequence[str]) -> list[str]:
        """Those of the contacts that the ledger does not know."""
        if not contacts:
            return []
        client, key = self._scripts.client, self._keys.records(campaign)
        records: list[Any] = await client.hmget(key, list(contacts))
        return [contact for contact, record in zip(contacts, records, strict=True) if record is None]

    async def publish_exhausted(self, campaign: str, *, none_waits: bool) -> ExhaustedStatus:
        """Publishes `campaign:exhausted:{id}` once, when every contact is final and the backend knows it.

        Call it when the backend's list has just been read to its end and had no new contact; after "ask_backend" once
        more, with `none_waits`, if no contact that only the backend knows waits for a retry.
        """
        args: list[Argument] = [
            campaign,
            self._keys.channel,
            self._limits.deadline_ms,
            "1" if none_waits else "0",
        ]
        answer: ExhaustedStatus = await self._scripts.run(
            PUBLISH_EXHAUSTED, self._keys.of_campaign(campaign), args
        )
        return answer
