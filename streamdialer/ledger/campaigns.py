"""Typed stubs of the scripts that move contacts and attempts; each is the only caller of its script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from streamdialer.keys import Keys
from streamdialer.ledger.facts import CallFact
from streamdialer.ledger.hours import Hours, hours_argument
from streamdialer.ledger.terms import (
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
from streamdialer.model import Attempt, CallEvent
from streamdialer.scripts import Argument, Script, Scripts

_PACKAGE: Final = "streamdialer.ledger"
LOAD, CLAIM, BEGIN, SETTLE, CALL_EVENT, DUE, SWEEP, REGISTER, CLEANUP = (
    Script(_PACKAGE, name)
    for name in ("load", "claim", "begin", "settle", "call_event", "due", "sweep", "register", "cleanup")
)
ANSWER_KEPT_MS: Final = 300_000


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
        ]
        args: list[Argument] = [
            campaign,
            wanted.token,
            wanted.level,
            wanted.free_agents,
            wanted.calls_per_agent,
            wanted.max_concurrent,
            wanted.batch,
            limits.lease_ms,
            "" if wanted.open_until_ms is None else wanted.open_until_ms,
            wanted.retry.max_attempts,
            wanted.retry.encoded(),
            "1" if limits.events_required else "0",
            ANSWER_KEPT_MS,
            limits.deadline_ms,
            "" if wanted.queue_level is None else wanted.queue_level,
            limits.ready_max_age_ms,
            hours_argument(wanted.hours),
            wanted.caps.encoded(),
            wanted.pace.encoded(),
        ]
        for other, per_agent in wanted.others.items():
            names += [keys.reserved(other), keys.unanswered(other)]
            args += [other, per_agent]
        names += wanted.pace.live_calls(keys)
        return msgspec.json.decode(await self._scripts.run(CLAIM, names, args), type=Claimed)

    async def begin(self, attempt: Attempt, run: str, open_until: str) -> Began:
        """Marks the attempt as sent; only "ok" and "again" allow the request to leave."""
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
                self._keys.numbers,
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
        answer: Cleaned = await self._scripts.run(
            CLEANUP,
            [
                *keys.of_campaign(campaign),
                keys.queue_campaigns(queue),
                keys.queue_pacing(queue),
                keys.slots,
                keys.api,
                keys.numbers,
                keys.trunks,
                keys.requests(campaign),
                keys.decisions(campaign),
                keys.samples(campaign),
            ],
            [campaign],
        )
        return answer
