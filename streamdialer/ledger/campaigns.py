"""Typed stubs of the scripts that move contacts and attempts; each is the only caller of its script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Argument, Script, Scripts
from streamdialer.ledger.event_facts import CallFact
from streamdialer.ledger.script_args import json_args
from streamdialer.ledger.types import (
    BeginStatus,
    ClaimRequest,
    ClaimResult,
    CleanupStatus,
    EventResult,
    Limits,
    LoadResult,
    LoadRow,
    SettleStatus,
    SweepResult,
)
from streamdialer.ledger.zone_hours import Hours, hours_argument
from streamdialer.model import Attempt, CallEvent
from streamdialer.observability import tracing

_PACKAGE: Final = "streamdialer.ledger"
(
    LOAD_CONTACTS,
    RESERVE_CONTACTS,
    RECHECK_DEFERRED,
    MARK_SENT,
    SETTLE_ORIGINATE,
    APPLY_CALL_EVENT,
    DUE_CAMPAIGNS,
    SWEEP_CAMPAIGN,
    REGISTER_CAMPAIGN,
    DELETE_CAMPAIGN,
) = (
    Script(_PACKAGE, name)
    for name in (
        "load_contacts",
        "reserve_contacts",
        "recheck_deferred",
        "mark_sent",
        "settle_originate",
        "apply_call_event",
        "due_campaigns",
        "sweep_campaign",
        "register_campaign",
        "delete_campaign",
    )
)
ANSWER_TTL_MS: Final = 300_000
DELETE_BATCH: Final = 1000
"""Contacts of an ended campaign that one script removes: it keeps the server for some tens of milliseconds."""


class CampaignLedger:
    """Every change to a campaign's contacts."""

    def __init__(self, scripts: Scripts, keys: Keys, limits: Limits) -> None:
        self._scripts = scripts
        self._keys = keys
        self._limits = limits

    async def register(self, campaign: str, queue: str, pacing: str, before: str) -> bool:
        """Notes the campaign's queue and pacing; False when it was in another queue than `before`."""
        keys = self._keys
        answer = await self._scripts.run(
            REGISTER_CAMPAIGN,
            [
                *keys.of_campaign(campaign),
                keys.queue_campaigns(queue),
                keys.queue_pacing(queue),
                keys.queue_campaigns(before),
                keys.queue_pacing(before),
            ],
            [campaign, queue, pacing, before],
        )
        return str(answer) == "ok"

    async def load(
        self,
        campaign: str,
        rows: Sequence[LoadRow],
        max_attempts: int,
        country: str = "",
        hours: Hours | None = None,
    ) -> LoadResult:
        """Makes contacts ready that the ledger does not know yet; whose hours are closed wait for them.

        Local numbers are of `country`.
        """
        limits = self._limits
        args: list[Argument] = [campaign, max_attempts, limits.final_ttl_ms, country, hours_argument(hours)]
        for row in rows:
            args += [
                row.contact,
                row.priority,
                row.attempts,
                row.call,
                row.problem,
                "1" if row.reset else "0",
            ]
        answer = await self._scripts.run(LOAD_CONTACTS, self._keys.of_contacts(campaign), args)
        return msgspec.json.decode(answer, type=LoadResult)

    async def reserve_contacts(self, campaign: str, queue: str, wanted: ClaimRequest) -> ClaimResult:
        """Reserves contacts and appends their calls, if everything still allows it."""
        with tracing.span("claim", campaign=campaign):
            return await self._claim(campaign, queue, wanted)

    async def _claim(self, campaign: str, queue: str, wanted: ClaimRequest) -> ClaimResult:
        keys, limits = self._keys, self._limits
        names = [
            *keys.of_campaign(campaign),
            keys.answer(campaign, wanted.token),
            keys.stream("calls"),
            keys.api,
            keys.queue_free(queue),
            keys.queue_campaigns(queue),
            keys.queue_busy(queue),
            keys.dnc,
            keys.call_history,
            keys.trunks,
            keys.agent_callbacks(campaign),
        ]
        for other in wanted.others:
            names += [keys.reserved(other), keys.dialing(other)]
        names += wanted.pace.live_calls(keys)
        told = json_args(
            token=wanted.token,
            level=wanted.level,
            free=wanted.free_agents,
            per_agent=wanted.calls_per_agent,
            most_live=wanted.max_concurrent,
            batch=wanted.batch,
            lease_ms=limits.lease_ms,
            open_until="" if wanted.open_until_ms is None else str(wanted.open_until_ms),
            max_attempts=wanted.retry.max_attempts,
            plan=wanted.retry.encoded(),
            events_required=limits.events_required,
            answer_ms=ANSWER_TTL_MS,
            deadline_ms=limits.deadline_ms,
            queue_level=wanted.queue_level,
            max_age_ms=limits.pending_check_after_ms,
            hours=wanted.hours,
            hours_mark=wanted.hours_mark,
            caps=wanted.caps.encoded(),
            pace=wanted.pace,
            others=list(wanted.others.items()),
            trace=tracing.current_traceparent(),
        )
        answer = await self._scripts.run(RESERVE_CONTACTS, names, [campaign, told])
        return msgspec.json.decode(answer, type=ClaimResult)

    async def recheck_deferred(self, campaign: str, hours: Hours | None, most: int) -> tuple[int, bool]:
        """Looks at `most` of those that wait, whether hours or caps still keep them from being called.

        How many are ready now, and whether there is more to look at (at first, `Claimed.again`).
        """
        names = [*self._keys.of_campaign(campaign), self._keys.call_history]
        ready, is_more = await self._scripts.run(
            RECHECK_DEFERRED, names, [campaign, most, hours_argument(hours)]
        )
        return int(ready), bool(is_more)

    async def mark_sent(self, attempt: Attempt, run: str, open_until: str) -> BeginStatus:
        """Marks the attempt as sent; only "ok" and "again" allow the request to leave."""
        kept = tracing.sampled_traceparent()
        answer: BeginStatus = await self._scripts.run(
            MARK_SENT,
            [
                *self._keys.of_campaign(attempt.campaign),
                self._keys.api,
                self._keys.dnc,
                *self._keys.of_call_history,
            ],
            [
                attempt.campaign,
                attempt.contact,
                attempt.token,
                run,
                open_until,
                self._limits.deadline_ms,
                "1" if self._limits.is_idempotent else "0",
                *([kept] if kept else []),
            ],
        )
        return answer

    async def settle_originate(
        self, attempt: Attempt, *, verdict: str, call_id: str, hold: str, retry_after_s: float
    ) -> SettleStatus:
        """Draws the consequences of the originate reply."""
        limits = self._limits
        answer: SettleStatus = await self._scripts.run(
            SETTLE_ORIGINATE,
            [*self._keys.of_campaign(attempt.campaign), self._keys.api, *self._keys.of_call_history],
            [
                attempt.campaign,
                attempt.contact,
                attempt.token,
                verdict,
                call_id,
                hold,
                round(retry_after_s * 1000),
                limits.breaker_failure_threshold,
                limits.breaker_max_open_ms,
                limits.max_call_duration_ms,
            ],
        )
        return answer

    async def apply_call_event(self, event: CallEvent, fact: CallFact, queue: str, entry: str) -> EventResult:
        """Adds an event's fact to the attempt it belongs to.

        `queue` is where its agent is looked for ('' is nowhere), `entry` the event's id in the stream.
        """
        keys = self._keys
        answer = await self._scripts.run(
            APPLY_CALL_EVENT,
            [
                *keys.of_campaign(event.campaign_id),
                keys.queue_free(queue),
                keys.queue_busy(queue),
                keys.api,
                keys.queue_agent_activity(queue),
                keys.queue_answer_queue(queue),
                keys.queue_observations(queue),
                keys.queue_learning(queue),
                *keys.of_call_history,
            ],
            [
                event.campaign_id,
                event.contact_id,
                fact.fact,
                fact.disposition,
                event.call_id,
                event.agent_id if queue else "",
                "1" if event.answered_by == "machine" else "0",
                entry,
                self._limits.max_call_duration_ms,
                self._limits.deadline_ms,
                fact.cause,
            ],
        )
        return EventResult(*answer)

    async def due_campaigns(self, most: int) -> list[str]:
        """Campaigns that need a sweep now, the longest overdue first."""
        return list(
            await self._scripts.run(
                DUE_CAMPAIGNS,
                [self._keys.sweep_schedule, self._keys.server],
                [most, self._limits.deadline_ms],
            )
        )

    async def sweep(self, campaign: str, batch: int) -> SweepResult:
        """Does what has become due: leases, deadlines, retries, tombstones."""
        limits = self._limits
        answer = await self._scripts.run(
            SWEEP_CAMPAIGN,
            [
                *self._keys.of_campaign(campaign),
                self._keys.contacts_by_number,
                self._keys.previews,
                *self._keys.of_call_history,
            ],
            [
                campaign,
                batch,
                "1" if limits.events_required else "0",
                limits.max_call_duration_ms,
                limits.deadline_ms,
            ],
        )
        return msgspec.json.decode(answer, type=SweepResult)

    async def delete(self, campaign: str, queue: str) -> CleanupStatus:
        """Removes every key of a finished campaign; refuses while calls are live or the backend is behind."""
        keys = self._keys
        names = [
            *keys.of_campaign(campaign),
            keys.queue_campaigns(queue),
            keys.queue_pacing(queue),
            keys.tick_slots,
            keys.api,
            keys.contacts_by_number,
            keys.trunks,
            keys.pending_dnc(campaign),
            keys.decisions(campaign),
            keys.samples(campaign),
            keys.agent_callbacks(campaign),
        ]
        while True:
            answer: CleanupStatus | Literal["more"] = await self._scripts.run(
                DELETE_CAMPAIGN, names, [campaign, DELETE_BATCH]
            )
            if answer != "more":
                return answer
