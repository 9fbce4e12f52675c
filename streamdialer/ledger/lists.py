"""Typed stubs of what a campaign's list in the backend says: who has gone from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streamdialer.keys import Keys
from streamdialer.ledger.campaigns import Limits
from streamdialer.scripts import Argument, Script, Scripts

DROP_GONE: Final = Script("streamdialer.ledger", "drop_gone")


class ListLedger:
    """What the ledger does when contacts are no longer in the backend's list of pending ones."""

    def __init__(self, scripts: Scripts, keys: Keys, limits: Limits) -> None:
        self._scripts = scripts
        self._keys = keys
        self._limits = limits

    async def drop_gone(self, campaign: str, asked_ms: int, contacts: Sequence[str]) -> int:
        """Takes contacts out of the line whom the backend, asked at `asked_ms` or later (ledger's), shows as no longer
        pending; how many of them are out. Whoever has been seen or told of since then stays."""
        names = self._keys.of_campaign(campaign)
        args: list[Argument] = [campaign, asked_ms, self._limits.tombstone_ms, *contacts]
        return int(await self._scripts.run(DROP_GONE, names, args))
