"""Typed stubs of the scripts of preview mode: a contact is shown to one agent, who takes or skips it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Script, Scripts
from streamdialer.ledger.rate_limits import NO_PACE, RateLimits
from streamdialer.ledger.script_args import json_args
from streamdialer.ledger.types import Limits
from streamdialer.ledger.zone_hours import Hours, MissingHours
from streamdialer.model import PreviewEvent
from streamdialer.observability import tracing
from streamdialer.rules.caps import NO_CAPS, Caps
from streamdialer.rules.retry import RetryPlan

_PACKAGE: Final = "streamdialer.ledger"
OFFER_PREVIEW, ACCEPT_PREVIEW, SKIP_PREVIEW = (
    Script(_PACKAGE, name) for name in ("offer_preview", "accept_preview", "skip_preview")
)
SCAN_BATCH: Final = 500
"""Most contacts of the line that one request looks at."""
ANSWERS_TTL_MS: Final = 1000
"""About how many entries previews keep, as `lua/lib/preview.lua` does."""


class PreviewLimits(msgspec.Struct, frozen=True):
    """What the campaign's settings say of its calls."""

    open_until_ms: int | None
    retry: RetryPlan
    max_concurrent: int
    hours: Hours | None = None
    caps: Caps = NO_CAPS
    pace: RateLimits = NO_PACE


class PreviewMissing(msgspec.Struct, frozen=True):
    """What an offer or a call needs to know first: hours of the contacts, or whether they are still pending."""

    ledger_ms: int
    """Ledger ms."""
    server_ms: int
    """Server's own time, ms."""
    missing: MissingHours | None = None
    stale: list[str] = []
    trunk_changed: bool = False
    """The campaigns on the trunk are not those of the terms."""


class PreviewLedger:
    """Which contact is shown to which agent; `entry` is always the id of the agent's event."""

    def __init__(self, scripts: Scripts, keys: Keys, limits: Limits, offer_ms: int) -> None:
        """An agent has `offer_ms` to answer."""
        self._scripts = scripts
        self._keys = keys
        self._limits = limits
        self._offer_ms = offer_ms

    async def offer(self, event: PreviewEvent, entry: str, terms: PreviewLimits) -> str | PreviewMissing:
        """Shows the agent a contact, whose id is returned; '' when there is none. Previews tell either.

        Or what has to be known before; then it is to be asked again."""
        keys, limits = self._keys, self._limits
        names = [*keys.of_campaign(event.campaign_id), keys.answer(event.campaign_id, entry)]
        told = json_args(
            agent=event.agent_id,
            entry=entry,
            open_until="" if terms.open_until_ms is None else str(terms.open_until_ms),
            max_attempts=terms.retry.max_attempts,
            events_required=limits.events_required,
            deadline_ms=limits.deadline_ms,
            offer_ms=self._offer_ms,
            batch=SCAN_BATCH,
            max_age_ms=limits.pending_check_after_ms,
            hours=terms.hours,
            caps=terms.caps.encoded(),
        )
        names += [
            keys.previews,
            keys.api,
            keys.dnc,
            keys.call_history,
            keys.agent_callbacks(event.campaign_id),
        ]
        what, answer = await self._scripts.run(OFFER_PREVIEW, names, [event.campaign_id, told])
        return str(answer) if what == "offered" else msgspec.json.decode(answer, type=PreviewMissing)

    async def accept(self, event: PreviewEvent, entry: str, terms: PreviewLimits) -> str | PreviewMissing:
        """Reserves the shown contact and appends its call: "reserved", or why not (previews tell that).

        Or what has to be known before; then it is to be asked again."""
        keys, limits = self._keys, self._limits
        names = [*keys.of_campaign(event.campaign_id), keys.stream("calls"), keys.previews, keys.api]
        names += [keys.dnc, keys.call_history, keys.trunks, *terms.pace.live_calls(keys)]
        told = json_args(
            agent=event.agent_id,
            contact=event.contact_id,
            entry=entry,
            open_until="" if terms.open_until_ms is None else str(terms.open_until_ms),
            max_attempts=terms.retry.max_attempts,
            plan=terms.retry.encoded(),
            most_live=terms.max_concurrent,
            lease_ms=limits.lease_ms,
            events_required=limits.events_required,
            deadline_ms=limits.deadline_ms,
            hours=terms.hours,
            caps=terms.caps.encoded(),
            pace=terms.pace,
            trace=tracing.current_traceparent(),
        )
        what, answer = await self._scripts.run(ACCEPT_PREVIEW, names, [event.campaign_id, told])
        return str(answer) if what == "answered" else msgspec.json.decode(answer, type=PreviewMissing)

    async def skip(self, event: PreviewEvent, entry: str) -> str:
        """Puts the shown contact back, behind the others of its priority: "skipped", or why not."""
        names = [*self._keys.of_campaign(event.campaign_id), self._keys.previews]
        args = [event.campaign_id, event.agent_id, event.contact_id, entry, event.reason]
        return str(await self._scripts.run(SKIP_PREVIEW, names, args))

    async def refuse(self, event: PreviewEvent, entry: str, reason: str, detail: str) -> None:
        """Tells the agent what stands against it before the ledger was asked."""
        kind = "preview_none" if event.type == "preview_requested" else "preview_refused"
        fields: dict[Any, Any] = {
            "type": kind,
            "campaign_id": event.campaign_id,
            "agent_id": event.agent_id,
            "contact_id": event.contact_id,
            "request": entry,
            "data": msgspec.json.encode({"reason": reason, "detail": detail}).decode(),
        }
        await self._scripts.client.xadd(self._keys.previews, fields, maxlen=ANSWERS_TTL_MS)
