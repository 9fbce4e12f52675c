"""Typed stubs of the scripts that move contacts and attempts; each is the only caller of its script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from streamdialer.keys import Keys
from streamdialer.ledger.facts import CallFact
from streamdialer.ledger.hours import Hours, MissingHours, hours_argument
from streamdialer.ledger.pace import NO_PACE, Pace
from streamdialer.model import Attempt, CallEvent
from streamdialer.rules.caps import NO_CAPS, CapReason, Caps
from streamdialer.rules.retry import RetryPlan
from streamdialer.scripts import Argument, Script, Scripts

_PACKAGE: Final = "streamdialer.ledger"
LOAD, CLAIM, BEGIN, SETTLE, CALL_EVENT, DUE, SWEEP, REGISTER, CLEANUP = (
    Script(_PACKAGE, name)
    for name in ("load", "claim", "begin", "settle", "call_event", "due", "sweep", "register", "cleanup")
)
ANSWER_KEPT_MS: Final = 300_000

Refused = Literal["not_active", "window_closed", "held", "memory_lost", "memory_unknown", "do_not_call"]
Began = Literal["ok", "again", "sent", "stale"] | Refused | CapReason
Settled = Literal["ok", "stale", "settled"]
EventApplied = Literal[
    "applied", "unchanged", "ended", "unknown_campaign", "unknown_contact", "no_attempt", "foreign_call"
]
Cleaned = Literal["ok", "unknown", "not_finished", "calls_live", "updates_waiting"]


class LoadRow(msgspec.Struct, frozen=True):
    """A contact as `load` takes it; `problem` says why it can never be called."""

    contact: str
    priority: int
    attempts: int
    call: str
    """JSON of what the calls stage needs, with `n`, the number as it is compared, and `dnc` (not to be called)."""
    problem: str = ""
    reset: bool = False
    """The backend shows it as due for retry: it is told that the contact is pending again."""


class Loaded(msgspec.Struct, frozen=True):
    """How many rows were new, known, not callable, out of attempts; new but not to be called now, by reason."""

    added: int = 0
    known: int = 0
    invalid: int = 0
    used_up: int = 0
    refused: dict[str, int] = {}


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """What a claim may take, decided outside and enforced inside the script."""

    token: str
    level: int
    """Highest number of reserved, sent and ringing calls of the campaign after the claim."""
    free_agents: int
    """Free agents the level was decided for; when fewer are left, the level falls with them."""
    calls_per_agent: float
    max_concurrent: int
    batch: int
    open_until_ms: int | None
    retry: RetryPlan
    others: Mapping[str, float]
    """The other campaigns of the queue, with their calls per agent."""
    queue_level: int | None = None
    """Highest number of such calls of all campaigns of the queue, decided for `free_agents`; None: what the free
    agents and the calls per agent allow."""
    hours: Hours | None = None
    """Of the zone sets that are known of; None: everybody may be called at any time."""
    caps: Caps = NO_CAPS
    pace: Pace = NO_PACE


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """What a claim did and what it saw."""

    dialed: int
    free: int
    unanswered: int
    live: int
    ready: int
    waiting: int
    now: int
    in_doubt: int = 0
    """Contacts whose call Redis has forgotten and that may still be up."""
    reason: str | None = None
    """Why nothing may be dialed; `queue_changed` asks for another try with the queue's new campaigns,
    `trunk_changed` with those of the trunk, `not_rebuilt` after the campaign has been rebuilt."""
    wait_ms: int | None = None
    """How long calls that Redis may have forgotten are still waited for."""
    limit: str | None = None
    skipped: dict[str, int] | None = None
    stale: list[str] = []
    """Contacts passed over until the backend shows them as pending again."""
    wall: int = 0
    next_ms: int | None = None
    """When its pace, or a line of its trunk, may allow another call."""
    missing: MissingHours | None = None
    """The next contacts in line need these at `wall`, the server's own time, ms."""


class Swept(msgspec.Struct, frozen=True):
    """What had become due in a campaign."""

    released: int
    unwanted: int
    """Offers no agent has answered."""
    expired: int
    closed: int
    doubted: int
    promoted: int
    forgotten: int
    stalled: int
    wake: bool


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The settings the scripts need, in their units."""

    lease_ms: int
    deadline_ms: int
    """From sending to the deadline of a silent attempt."""
    max_call_ms: int
    tombstone_ms: int
    ready_max_age_ms: int
    """A ready contact the backend has not shown as pending for longer is looked up before it is dialed."""
    events_required: bool
    breaker_failures: int
    breaker_max_ms: int
    is_idempotent: bool
    """The Dialer API places a call once, however often it is asked with the same key."""


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
        answer: EventApplied = await self._scripts.run(
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
        return answer

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
            ],
            [campaign],
        )
        return answer
