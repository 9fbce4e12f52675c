"""Settings of campaigns that one process has read from the backend, for the others: the backend is asked once."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Argument, Script, Scripts
from streamdialer.model import CampaignSettings

SHARE_SETTINGS: Final = Script("streamdialer.ledger", "share_settings")


class SharedSettings:
    """Each campaign's settings as the backend said them, with their age."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def keep(
        self, campaign: str, settings: CampaignSettings, age_s: float, keep_s: float
    ) -> tuple[CampaignSettings, float]:
        """Keeps what was asked for `age_s` ago; what is kept now, and its age: another process may have asked later."""
        document = msgspec.json.encode(settings).decode()
        return await self._run(campaign, document, keep_s, age_s) or (settings, age_s)

    async def newest(self, campaign: str) -> tuple[CampaignSettings, float] | None:
        """The settings and their age, s; None when none are kept, or they are those of another version."""
        return await self._run(campaign, "", 0, 0)

    async def _run(
        self, campaign: str, document: str, keep_s: float, age_s: float
    ) -> tuple[CampaignSettings, float] | None:
        names = [self._keys.shared_settings(campaign), self._keys.server]
        args: list[Argument] = [document, round(keep_s * 1000), round(age_s * 1000)]
        answer: Any = await self._scripts.run(SHARE_SETTINGS, names, args)
        if not answer:
            return None
        age_ms, kept = answer
        try:
            fields = msgspec.json.decode(kept, type=dict[str, Any])
            if fields.keys() != set(CampaignSettings.__struct_fields__):
                return None  # of a version that knows other fields
            return msgspec.convert(fields, CampaignSettings), int(age_ms) / 1000
        except msgspec.MsgspecError:
            return None
