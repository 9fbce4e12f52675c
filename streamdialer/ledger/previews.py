"""Typed stubs of the scripts of preview mode: one agent is offered a contact and accepts or skips it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Script, Scripts
from streamdialer.ledger.caller_ids import CallerIdPool
from streamdialer.ledger.rate_limits import NO_RATE_LIMITS, RateLimits
from streamdialer.ledger.script_args import caller_id_args, json_args, ring_ms
from streamdialer.ledger.types import Limits
from streamdialer.ledger.zone_hours import Hours, MissingHours
from streamdialer.model import OnMachine, PreviewEvent
from streamdialer.observability import tracing
from streamdialer.rules.caps import NO_CAPS, Caps
from streamdialer.rules.retry import RetryPlan

_PACKAGE: Final = "streamdialer.ledger"
OFFER_PREVIEW, ACCEPT_PREVIEW, SKIP_PREVIEW = (
    Script(_PACKAGE, name) for name in ("offer_preview", "accept_preview", "skip_preview")
)
SCAN_BATCH: Final = 500
"""Most ready contacts that one request examines."""
PREVIEWS_MAXLEN: Final = 1000
"""About how many entries the stream keeps; the same number as in `lua/lib/preview.lua`."""


class PreviewLimits(msgspec.Struct, frozen=True):
    """What the campaign's settings say about its calls."""

    open_until_ms: int | None
    retry: RetryPlan
    max_concurrent: int
    hours: Hours | None = None
    rules: str = ""
    """The rule pack and its version."""
    caps: Caps = NO_CAPS
    rate_limits: RateLimits = NO_RATE_LIMITS
    caller_id: str | None = None
    caller_ids: CallerIdPool | None = None
    ring_timeout_s: float | None = None
    """Of the call; None: the setting's."""
    on_machine: OnMachine | None = None


class PreviewMissing(msgspec.Struct, frozen=True):
    """What an offer or a call needs first; ask again with it."""

    ledger_ms: int
    server_ms: int
    missing: MissingHours | None = None
    stale: list[str] = []
    """Contacts the backend may not show as pending any more."""
    trunk_changed: bool = False
    """The trunk's members in the rate limits are out of date."""


class PreviewLedger:
    """Which contact is offered to which agent; `entry` is always the id of the agent's event in the stream."""

    def __init__(self, scripts: Scripts, keys: Keys, limits: Limits, offer_ms: int) -> None:
        """An agent has `offer_ms` to answer."""
        self._scripts = scripts
        self._keys = keys
        self._limits = limits
        self._offer_ms = offer_ms

    async def offer(
        self, event: PreviewEvent, entry: str, preview_limits: PreviewLimits
    ) -> str | PreviewMissing:
        """Offers the agent a contact; its id, '' when there is none, or what is missing.

        An entry in previews says the same to the agent's program.
        """
        keys, limits = self._keys, self._limits
        names = [*keys.of_campaign(event.campaign_id), keys.answer(event.campaign_id, entry)]
        args = json_args(
            agent=event.agent_id,
            entry=entry,
            open_until="" if preview_limits.open_until_ms is None else str(preview_limits.open_until_ms),
            max_attempts=preview_limits.retry.max_attempts,
            events_required=limits.events_required,
            deadline_ms=limits.deadline_after(preview_limits.ring_timeout_s),
            offer_ms=self._offer_ms,
            batch=SCAN_BATCH,
            max_age_ms=limits.pending_check_after_ms,
            hours=preview_limits.hours,
            caps=preview_limits.caps.encoded(),
        )
        names += [
            keys.previews,
            keys.api,
            keys.dnc,
            keys.call_history,
            keys.agent_callbacks(event.campaign_id),
        ]
        what, answer = await self._scripts.run(OFFER_PREVIEW, names, [event.campaign_id, args])
        return str(answer) if what == "offered" else msgspec.json.decode(answer, type=PreviewMissing)

    async def accept(
        self, event: PreviewEvent, entry: str, preview_limits: PreviewLimits
    ) -> str | PreviewMissing:
        """Reserves the offered contact and appends its call: "reserved", the reason why not, or what is missing.

        An entry in previews says the reason to the agent's program.
        """
        keys, limits = self._keys, self._limits
        names = [*keys.of_campaign(event.campaign_id), keys.stream("calls"), keys.previews, keys.api]
        names += [keys.dnc, keys.call_history, keys.trunks, *preview_limits.rate_limits.live_calls(keys)]
        args = json_args(
            agent=event.agent_id,
            contact=event.contact_id,
            entry=entry,
            open_until="" if preview_limits.open_until_ms is None else str(preview_limits.open_until_ms),
            max_attempts=preview_limits.retry.max_attempts,
            retry_plan=preview_limits.retry.encoded(),
            max_concurrent=preview_limits.max_concurrent,
            lease_ms=limits.lease_ms,
            max_age_ms=limits.pending_check_after_ms,
            events_required=limits.events_required,
            deadline_ms=limits.deadline_after(preview_limits.ring_timeout_s),
            ring_ms=ring_ms(preview_limits.ring_timeout_s),
            hours=preview_limits.hours,
            rules=preview_limits.rules,
            caps=preview_limits.caps.encoded(),
            rate_limits=preview_limits.rate_limits,
            caller_id=preview_limits.caller_id,
            **caller_id_args(preview_limits.caller_ids),
            on_machine=preview_limits.on_machine,
            trace=tracing.current_traceparent(),
        )
        what, answer = await self._scripts.run(ACCEPT_PREVIEW, names, [event.campaign_id, args])
        return str(answer) if what == "answered" else msgspec.json.decode(answer, type=PreviewMissing)

    async def skip(self, event: PreviewEvent, entry: str) -> str:
        """Makes the offered contact ready, behind the others of its priority: "skipped", or the reason why not."""
        names = [*self._keys.of_campaign(event.campaign_id), self._keys.previews]
        args = [event.campaign_id, event.agent_id, event.contact_id, entry, event.reason]
        return str(await self._scripts.run(SKIP_PREVIEW, names, args))

    async def refuse(self, event: PreviewEvent, entry: str, reason: str, detail: str) -> None:
        """Says in previews why the request was refused before it came to the ledger."""
        kind = "preview_none" if event.type == "preview_requested" else "preview_refused"
        fields: dict[Any, Any] = {
            "type": kind,
            "campaign_id": event.campaign_id,
            "agent_id": event.agent_id,
            "contact_id": event.contact_id,
            "request": entry,
            "data": msgspec.json.encode({"reason": reason, "detail": detail}).decode(),
        }
        await self._scripts.client.xadd(self._keys.previews, fields, maxlen=PREVIEWS_MAXLEN)
