"""Settings of campaigns that one process has read from the backend, for the others: the backend is asked once."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Script, Scripts
from streamdialer.model import CampaignSettings

SHARE_SETTINGS: Final = Script("streamdialer.ledger", "share_settings")


class SharedSettings:
    """Each campaign's settings as the backend said them, with their age."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def keep(self, campaign: str, settings: CampaignSettings, keep_s: float) -> None:
        """Keeps what was read just now."""
        document = msgspec.json.encode(settings).decode()
        await self._scripts.run(
            SHARE_SETTINGS, [self._keys.shared_settings(campaign)], [document, round(keep_s * 1000)]
        )

    async def newest(self, campaign: str) -> tuple[CampaignSettings, float] | None:
        """The settings and their age, s; None when none are kept, or they are those of another version."""
        answer: Any = await self._scripts.run(SHARE_SETTINGS, [self._keys.shared_settings(campaign)], ["", 0])
        if not answer:
            return None
        age_ms, document = answer
        try:
            return msgspec.json.decode(document, type=CampaignSettings), int(age_ms) / 1000
        except msgspec.MsgspecError:
            return None
