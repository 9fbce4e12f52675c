"""Typed stubs of the scripts that change a campaign's contacts and attempts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from streamdialer.broker.keys import GROUP, Keys
from streamdialer.broker.scripts import Argument, Script, Scripts
from streamdialer.ledger.agent_queues import AgentQueues
from streamdialer.ledger.event_facts import CallFact
from streamdialer.ledger.script_args import caller_id_args, json_args, ring_ms
from streamdialer.ledger.types import (
    ClaimRequest,
    ClaimResult,
    DeleteStatus,
    EventResult,
    Limits,
    LoadResult,
    LoadRow,
    LostCall,
    MarkSent,
    SettleStatus,
    SweepResult,
)
from streamdialer.ledger.zone_hours import Hours, hours_argument
from streamdialer.model import Attempt, CallEvent
from streamdialer.observability import tracing

_PACKAGE: Final = "streamdialer.ledger"
LOAD_CONTACTS: Final = Script(_PACKAGE, "load_contacts")
RESERVE_CONTACTS: Final = Script(_PACKAGE, "reserve_contacts")
RECHECK_DEFERRED: Final = Script(_PACKAGE, "recheck_deferred")
MARK_SENT: Final = Script(_PACKAGE, "mark_sent", joins_calls=True)
SETTLE_ORIGINATE: Final = Script(_PACKAGE, "settle_originate", joins_calls=True)
APPLY_CALL_EVENT: Final = Script(_PACKAGE, "apply_call_event", joins_calls=True)
DUE_CAMPAIGNS: Final = Script(_PACKAGE, "due_campaigns")
SWEEP_CAMPAIGN: Final = Script(_PACKAGE, "sweep_campaign")
REGISTER_CAMPAIGN: Final = Script(_PACKAGE, "register_campaign")
REQUEST_HANGUPS: Final = Script(_PACKAGE, "request_hangups")
TAKE_BACK_CALLS: Final = Script(_PACKAGE, "take_back_calls")
DELETE_CAMPAIGN: Final = Script(_PACKAGE, "delete_campaign")
ANSWER_TTL_MS: Final = 300_000
LOAD_PART: Final = 200
"""Contacts loaded at once: Redis does nothing else meanwhile."""
HANGUPS_BATCH: Final = 500
DELETE_BATCH: Final = 500
"""Contacts of an ended campaign that one script call removes: it blocks the server for some tens of milliseconds."""


class CampaignLedger:
    """Every change to a campaign's contacts."""

    def __init__(
        self, scripts: Scripts, keys: Keys, limits: Limits, agent_queues: AgentQueues | None = None
    ) -> None:
        self._scripts = scripts
        self._keys = keys
        self._limits = limits
        self._agent_queues = agent_queues or AgentQueues(scripts, keys)

    async def register(self, campaign: str, queue: str, pacing: str, previous: str) -> bool:
        """Stores the campaign's queue and pacing; False when the campaign is in another queue than `previous`."""
        keys = self._keys
        answer = await self._scripts.run(
            REGISTER_CAMPAIGN,
            [
                *keys.of_campaign(campaign),
                keys.queue_campaigns(queue),
                keys.queue_pacing(queue),
                keys.queue_campaigns(previous),
                keys.queue_pacing(previous),
            ],
            [campaign, queue, pacing, previous],
        )
        return str(answer) == "ok"

    async def request_hangups(self, campaign: str, reason: str) -> int:
        """Asks the telephone system to end the campaign's calls that ring; how many there are."""
        names, asked, last = [*self._keys.of_campaign(campaign), self._keys.hangups], 0, -1
        while True:
            count, last = await self._scripts.run(
                REQUEST_HANGUPS, names, [campaign, reason, last, HANGUPS_BATCH]
            )
            asked += int(count)
            if int(last) < 0:
                return asked

    async def take_back_calls(self, campaign: str, count: int, min_ring_s: float) -> int:
        """Asks the telephone system to end calls that have rung longest, `min_ring_s` at least; how many."""
        names = [*self._keys.of_campaign(campaign), self._keys.hangups]
        args: list[Argument] = [campaign, "no_agent_coming", count, round(min_ring_s * 1000), HANGUPS_BATCH]
        return int(await self._scripts.run(TAKE_BACK_CALLS, names, args))

    async def load(
        self,
        campaign: str,
        rows: Sequence[LoadRow],
        max_attempts: int,
        country: str = "",
        hours: Hours | None = None,
        *,
        asked_ms: int | None = None,
    ) -> LoadResult:
        """Makes contacts ready that the ledger does not know yet; outside their calling hours they are deferred.

        `country` is the country of local numbers, '' when it is not known; `asked_ms` is when the backend was asked, by
        the ledger's clock (None: now).
        """
        total = LoadResult()
        for first in range(0, len(rows), LOAD_PART):
            part = rows[first : first + LOAD_PART]
            loaded = await self._load_part(campaign, part, first, max_attempts, country, hours, asked_ms)
            total = total.plus(loaded)
        return total

    async def _load_part(
        self,
        campaign: str,
        rows: Sequence[LoadRow],
        first: int,
        max_attempts: int,
        country: str,
        hours: Hours | None,
        asked_ms: int | None,
    ) -> LoadResult:
        ttl_ms = self._limits.final_ttl_ms
        args: list[Argument] = [campaign, max_attempts, ttl_ms, country, hours_argument(hours)]
        args += ["" if asked_ms is None else asked_ms, self._limits.list_lag_ms, first]
        for row in rows:
            args += [
                row.contact,
                row.priority,
                row.attempts,
                row.call,
                row.problem,
                "1" if row.reset else "0",
                row.shown,
                "" if row.due_ms is None else row.due_ms,
                row.shown_status,
            ]
        names = [*self._keys.of_contacts(campaign), self._keys.refused(campaign)]
        answer = await self._scripts.run(LOAD_CONTACTS, names, args)
        return msgspec.json.decode(answer, type=LoadResult)

    async def reserve_contacts(self, campaign: str, queue: str, request: ClaimRequest) -> ClaimResult:
        """Reserves ready contacts and appends their calls, as far as everything allows it."""
        keys, limits = self._keys, self._limits
        names = [
            *keys.of_campaign(campaign),
            keys.answer(campaign, request.token),
            keys.stream("calls"),
            keys.api,
            keys.queue_free(queue),
            keys.queue_campaigns(queue),
            keys.queue_busy(queue),
            keys.dnc,
            keys.call_history,
            keys.trunks,
            keys.agent_callbacks(campaign),
            keys.caller_ids,
        ]
        for other in request.others:
            names += [keys.reserved(other), keys.dialing(other)]
        names += request.rate_limits.live_calls(keys)
        names += keys.of_sharing(queue, request.sharing)
        with tracing.span("claim", campaign=campaign):  # the spans of its calls stand below it
            args = json_args(
                token=request.token,
                level=request.level,
                free_agents=request.free_agents,
                calls_per_agent=request.calls_per_agent,
                max_concurrent=request.max_concurrent,
                batch=request.batch,
                lease_ms=limits.lease_ms,
                open_until="" if request.open_until_ms is None else str(request.open_until_ms),
                max_attempts=request.retry.max_attempts,
                retry_plan=request.retry.encoded(),
                events_required=limits.events_required,
                answer_ttl_ms=ANSWER_TTL_MS,
                deadline_ms=limits.deadline_after(request.ring_timeout_s),
                ring_ms=ring_ms(request.ring_timeout_s),
                queue_level=request.queue_level,
                slots=request.slots,
                kept_agents=request.kept_agents,
                paused_channel=self._keys.channel if request.auto_pause else None,
                max_age_ms=limits.pending_check_after_ms,
                hours=request.hours,
                hours_fingerprint=request.hours_fingerprint,
                rules=request.rules,
                caps=request.caps.encoded(),
                rate_limits=request.rate_limits,
                caller_id=request.caller_id,
                **caller_id_args(request.caller_ids),
                on_machine=request.on_machine,
                others=list(request.others.items()),
                queue=queue,
                sharing=list(request.sharing.items()),
                counts_listed=request.counts_listed,
                trace=tracing.current_traceparent(),
            )
            answer = await self._scripts.run(RESERVE_CONTACTS, names, [campaign, args])
        return msgspec.json.decode(answer, type=ClaimResult)

    async def recheck_deferred(self, campaign: str, hours: Hours | None, batch: int) -> tuple[int, bool]:
        """Checks `batch` deferred contacts again after a change of hours or caps (`ClaimResult.recheck`).

        How many are ready now, and whether there are more to check.
        """
        names = [*self._keys.of_campaign(campaign), self._keys.call_history]
        ready, is_more = await self._scripts.run(
            RECHECK_DEFERRED, names, [campaign, batch, hours_argument(hours)]
        )
        return int(ready), bool(is_more)

    async def mark_sent(self, attempt: Attempt, run: str, open_until: str, caller_ids: str = "") -> MarkSent:
        """Marks the attempt as sent. Send its request only after "ok" and "again".

        `run` names this try to send; `open_until` is the end of the calling window, '' for none. `caller_ids`: '' the
        call shows none of its campaign's pool; '*' the next one; digits: the next of those that begin so, if any.
        """
        trace = tracing.sampled_traceparent()
        answer: Any = await self._scripts.run(
            MARK_SENT,
            [
                *self._keys.of_campaign(attempt.campaign),
                self._keys.api,
                self._keys.dnc,
                *self._keys.of_call_history,
                self._keys.caller_ids,
            ],
            [
                attempt.campaign,
                attempt.contact,
                attempt.token,
                run,
                open_until,
                self._limits.deadline_ms,
                "1" if self._limits.is_idempotent else "0",
                caller_ids,
                *([trace] if trace else []),
            ],
        )
        return msgspec.convert([answer] if isinstance(answer, str) else answer, MarkSent)

    async def settle_originate(
        self,
        attempt: Attempt,
        *,
        verdict: str,
        call_id: str,
        hold: str,
        retry_after_s: float,
        service: str = "dialer_api",
        detail: str = "",
    ) -> SettleStatus:
        """Applies the reply to an originate request; `service`, dialer_api or asterisk, gave it."""
        limits = self._limits
        answer: SettleStatus = await self._scripts.run(
            SETTLE_ORIGINATE,
            [
                *self._keys.of_campaign(attempt.campaign),
                self._keys.api,
                *self._keys.of_call_history,
                self._keys.outcomes,
                self._keys.caller_ids,
            ],
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
                service,
                detail,
                limits.outcomes_maxlen,
            ],
        )
        return answer

    async def apply_call_event(
        self, event: CallEvent, fact: CallFact, queue: str, entry: str, lost: LostCall | None = None
    ) -> EventResult:
        """Adds an event's fact to the attempt it belongs to.

        `queue` is the campaign's queue ('' when it is not known), `entry` the event's id in the stream. After
        "ask_backend", `lost` is what the backend shows.
        """
        keys = self._keys
        shown: list[Argument] = [""] * 6
        deadline_ms = self._limits.deadline_ms
        if lost is not None:
            deadline_ms = self._limits.deadline_after(lost.ring_timeout_s)
            row, is_in_call = lost.row, "1" if lost.is_in_call else "0"
            shown = [
                row.priority,
                row.attempts,
                row.call,
                is_in_call,
                lost.retry.encoded(),
                lost.caps.encoded(),
            ]
        answer = await self._agent_queues.run(
            APPLY_CALL_EVENT,
            [
                *keys.of_campaign(event.campaign_id),
                keys.api,
                *keys.of_call_history,
                keys.dnc,
                keys.pending_dnc(event.campaign_id),
                keys.contacts_by_number,
                keys.first_events,
                keys.outcomes,
            ],
            [
                event.campaign_id,
                event.contact_id,
                fact.fact,
                fact.disposition,
                event.call_id,
                event.agent_id,
                "1" if event.answered_by == "machine" else "0",
                entry,
                self._limits.max_call_duration_ms,
                deadline_ms,
                fact.cause,
                queue,
                event.attempt_id,
                *shown,
                "" if event.duration is None else event.duration,
                self._limits.outcomes_maxlen,
            ],
            (event.agent_id or queue) if fact.fact == "a" else "",
            queue,
        )
        return EventResult(*answer)

    async def due_campaigns(self, limit: int) -> list[str]:
        """Campaigns that need a sweep now, the longest overdue first; at most `limit`."""
        return list(
            await self._scripts.run(
                DUE_CAMPAIGNS,
                [self._keys.sweep_schedule, self._keys.server],
                [limit, self._limits.deadline_ms],
            )
        )

    async def sweep(self, campaign: str, batch: int) -> SweepResult:
        """Does what has become due: reservations, offers, deadlines, retries, removals."""
        limits = self._limits
        answer = await self._scripts.run(
            SWEEP_CAMPAIGN,
            [
                *self._keys.of_campaign(campaign),
                self._keys.contacts_by_number,
                self._keys.previews,
                *self._keys.of_call_history,
                self._keys.refused(campaign),
                self._keys.api,
                self._keys.first_events,
                self._keys.outcomes,
            ],
            [
                campaign,
                batch,
                "1" if limits.events_required else "0",
                limits.max_call_duration_ms,
                limits.deadline_ms,
                limits.pending_check_after_ms,
                GROUP,
                limits.outcomes_maxlen,
            ],
        )
        return msgspec.json.decode(answer, type=SweepResult)

    async def delete(self, campaign: str, queue: str) -> DeleteStatus:
        """Removes every key of an ended campaign; refuses while calls are live or updates wait for the backend."""
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
            keys.refused(campaign),
            *keys.own_persons(campaign),
        ]
        while True:
            answer: DeleteStatus | Literal["more"] = await self._scripts.run(
                DELETE_CAMPAIGN, names, [campaign, DELETE_BATCH]
            )
            if answer != "more":
                return answer
