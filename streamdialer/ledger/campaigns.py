"""Typed stubs of the scripts that move contacts and attempts; each is the only caller of its script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Argument, Script, Scripts
from streamdialer.ledger.event_facts import CallFact
from streamdialer.ledger.script_args import document
from streamdialer.ledger.types import (
    Began,
    Claimed,
    Cleaned,
    EventApplied,
    Limits,
    Loaded,
    LoadRow,
    Reservation,
    Settled,
    Swept,
)
from streamdialer.ledger.zone_hours import Hours, hours_argument
from streamdialer.model import Attempt, CallEvent
from streamdialer.observability import tracing

_PACKAGE: Final = "streamdialer.ledger"
LOAD, CLAIM, LOOK_AGAIN, BEGIN, SETTLE, CALL_EVENT, DUE, SWEEP, REGISTER, CLEANUP = (
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
ANSWER_KEPT_MS: Final = 300_000
REMOVED_AT_ONCE: Final = 1000
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
            REGISTER,
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
    ) -> Loaded:
        """Makes contacts ready that the ledger does not know yet; whose hours are closed wait for them.

        Local numbers are of `country`.
        """
        limits = self._limits
        args: list[Argument] = [campaign, max_attempts, limits.tombstone_ms, country, hours_argument(hours)]
        for row in rows:
            args += [
                row.contact,
                row.priority,
                row.attempts,
                row.call,
                row.problem,
                "1" if row.reset else "0",
            ]
        answer = await self._scripts.run(LOAD, self._keys.of_contacts(campaign), args)
        return msgspec.json.decode(answer, type=Loaded)

    async def claim(self, campaign: str, queue: str, wanted: Reservation) -> Claimed:
        """Reserves contacts and appends their calls, if everything still allows it."""
        with tracing.span("claim", campaign=campaign):
            return await self._claim(campaign, queue, wanted)

    async def _claim(self, campaign: str, queue: str, wanted: Reservation) -> Claimed:
        keys, limits = self._keys, self._limits
        names = [
            *keys.of_campaign(campaign),
            keys.answer(campaign, wanted.token),
            keys.stream("calls"),
            keys.api,
            keys.queue_free(queue),
            keys.queue_campaigns(queue),
            keys.queue_busy(queue),
            keys.do_not_call,
            keys.recent,
            keys.trunks,
            keys.kept(campaign),
        ]
        for other in wanted.others:
            names += [keys.reserved(other), keys.unanswered(other)]
        names += wanted.pace.live_calls(keys)
        told = document(
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
            answer_ms=ANSWER_KEPT_MS,
            deadline_ms=limits.deadline_ms,
            queue_level=wanted.queue_level,
            max_age_ms=limits.ready_max_age_ms,
            hours=wanted.hours,
            hours_mark=wanted.hours_mark,
            caps=wanted.caps.encoded(),
            pace=wanted.pace,
            others=list(wanted.others.items()),
            trace=tracing.here(),
        )
        answer = await self._scripts.run(CLAIM, names, [campaign, told])
        return msgspec.json.decode(answer, type=Claimed)

    async def look_again(self, campaign: str, hours: Hours | None, most: int) -> tuple[int, bool]:
        """Looks at `most` of those that wait, whether hours or caps still keep them from being called.

        How many are ready now, and whether there is more to look at (at first, `Claimed.again`).
        """
        names = [*self._keys.of_campaign(campaign), self._keys.recent]
        ready, is_more = await self._scripts.run(LOOK_AGAIN, names, [campaign, most, hours_argument(hours)])
        return int(ready), bool(is_more)

    async def begin(self, attempt: Attempt, run: str, open_until: str) -> Began:
        """Marks the attempt as sent; only "ok" and "again" allow the request to leave."""
        kept = tracing.kept()
        answer: Began = await self._scripts.run(
            BEGIN,
            [
                *self._keys.of_campaign(attempt.campaign),
                self._keys.api,
                self._keys.do_not_call,
                *self._keys.of_recent_calls,
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

    async def settle(
        self, attempt: Attempt, *, verdict: str, call_id: str, hold: str, retry_after_s: float
    ) -> Settled:
        """Draws the consequences of the originate reply."""
        limits = self._limits
        answer: Settled = await self._scripts.run(
            SETTLE,
            [*self._keys.of_campaign(attempt.campaign), self._keys.api, *self._keys.of_recent_calls],
            [
                attempt.campaign,
                attempt.contact,
                attempt.token,
                verdict,
                call_id,
                hold,
                round(retry_after_s * 1000),
                limits.breaker_failures,
                limits.breaker_max_ms,
                limits.max_call_ms,
            ],
        )
        return answer

    async def apply_event(self, event: CallEvent, fact: CallFact, queue: str, entry: str) -> EventApplied:
        """Adds an event's fact to the attempt it belongs to.

        `queue` is where its agent is looked for ('' is nowhere), `entry` the event's id in the stream.
        """
        keys = self._keys
        answer = await self._scripts.run(
            CALL_EVENT,
            [
                *keys.of_campaign(event.campaign_id),
                keys.queue_free(queue),
                keys.queue_busy(queue),
                keys.api,
                keys.queue_work(queue),
                keys.queue_people(queue),
                keys.queue_seen(queue),
                keys.queue_learning(queue),
                *keys.of_recent_calls,
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
                self._limits.max_call_ms,
                self._limits.deadline_ms,
                fact.cause,
            ],
        )
        return EventApplied(*answer)

    async def due(self, most: int) -> list[str]:
        """Campaigns that need a sweep now, the longest overdue first."""
        return list(
            await self._scripts.run(
                DUE, [self._keys.due, self._keys.server], [most, self._limits.deadline_ms]
            )
        )

    async def sweep(self, campaign: str, batch: int) -> Swept:
        """Does what has become due: leases, deadlines, retries, tombstones."""
        limits = self._limits
        answer = await self._scripts.run(
            SWEEP,
            [
                *self._keys.of_campaign(campaign),
                self._keys.holders,
                self._keys.previews,
                *self._keys.of_recent_calls,
            ],
            [
                campaign,
                batch,
                "1" if limits.events_required else "0",
                limits.max_call_ms,
                limits.deadline_ms,
            ],
        )
        return msgspec.json.decode(answer, type=Swept)

    async def cleanup(self, campaign: str, queue: str) -> Cleaned:
        """Removes every key of a finished campaign; refuses while calls are live or the backend is behind."""
        keys = self._keys
        names = [
            *keys.of_campaign(campaign),
            keys.queue_campaigns(queue),
            keys.queue_pacing(queue),
            keys.slots,
            keys.api,
            keys.holders,
            keys.trunks,
            keys.requests(campaign),
            keys.decisions(campaign),
            keys.samples(campaign),
            keys.kept(campaign),
        ]
        while True:
            answer: Cleaned | Literal["more"] = await self._scripts.run(
                CLEANUP, names, [campaign, REMOVED_AT_ONCE]
            )
            if answer != "more":
                return answer
