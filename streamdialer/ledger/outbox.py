"""Typed stubs of the transactional outbox: the newest state of each contact that the backend does not know yet."""

from __future__ import annotations

from typing import Final, Literal

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Script, Scripts
from streamdialer.ledger.records import Update, decode_update
from streamdialer.observability import tracing

LEASE_UPDATE, ACK_UPDATE = (
    Script("streamdialer.ledger", name, joins_calls=True) for name in ("lease_update", "ack_update")
)

Delivery = Literal["taken", "refused", "outdated", "over"]
"""What became of an update.

The backend did not get it when it was outdated (after a data loss, the backend shows a newer state), or when the
contact was over (the backend has finished it, or given it to another campaign)."""
MAX_WORDS: Final = 300


class Outbox:
    """One worker at a time delivers a contact's state; a lost lease is noticed and mended."""

    def __init__(
        self, scripts: Scripts, keys: Keys, final_ttl_ms: int, lease_ms: int, deadline_ms: int
    ) -> None:
        """`lease_ms` is the idle time after which an entry is taken over: its new owner need not wait.

        `deadline_ms`: see `Limits`.
        """
        self._scripts = scripts
        self._keys = keys
        self._final_ttl_ms = final_ttl_ms
        self._lease_ms = lease_ms
        self._deadline_ms = deadline_ms

    async def lease(self, campaign: str, contact: str, token: str) -> Update | Literal["none", "busy"]:
        with_trace = ["1"] if tracing.is_enabled() else []
        answer = await self._scripts.run(
            LEASE_UPDATE,
            [*self._keys.of_campaign(campaign), self._keys.paused("backend")],
            [campaign, contact, token, self._lease_ms, self._deadline_ms, *with_trace],
        )
        if answer == "none" or answer == "busy":
            return "none" if answer == "none" else "busy"
        return decode_update(answer)

    async def acknowledge(
        self,
        campaign: str,
        contact: str,
        token: str,
        version: int,
        verdict: Delivery = "taken",
        words: str = "",
    ) -> Literal["done", "newer", "lost"]:
        """Notes what became of this version; `words` are the backend's when it refused it."""
        answer: Literal["done", "newer", "lost"] = await self._scripts.run(
            ACK_UPDATE,
            self._keys.of_campaign(campaign),
            [campaign, contact, token, version, self._final_ttl_ms, verdict, words[:MAX_WORDS]],
        )
        return answer
