"""Typed arguments and answers of the scripts that `campaigns.py` calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from streamdialer.config.settings import Settings
from streamdialer.ledger.caller_ids import CallerIdPool
from streamdialer.ledger.rate_limits import NO_RATE_LIMITS, RateLimits
from streamdialer.ledger.serial_api import SerialApi
from streamdialer.ledger.zone_hours import Hours, MissingHours
from streamdialer.model import Block, OnMachine
from streamdialer.rules.caps import NO_CAPS, CapReason, Caps
from streamdialer.rules.retry import RetryPlan

NotSentReason = Literal[
    "not_active",
    "window_closed",
    "api_paused",
    "data_loss",
    "server_unknown",
    "in_call",
    "registry_outdated",
    "caller_ids",
    "do_not_call",
]
MarkSentStatus = Literal["ok", "again", "sent", "stale"] | NotSentReason | CapReason
SettleStatus = Literal["ok", "stale", "settled"]
ApplyStatus = Literal[
    "applied",
    "unchanged",
    "ended",
    "unknown_campaign",
    "unknown_contact",
    "no_attempt",
    "foreign_call",
    "foreign_attempt",
    "ask_backend",
    "too_many_lost",
]
DeleteStatus = Literal["ok", "unknown", "not_finished", "calls_live", "updates_waiting"]
CLEANUP_TEXTS: Final = {
    "unknown": "Redis has no keys of this campaign",
    "not_finished": "the campaign is neither completed nor cancelled: stop it first",
    "calls_live": "calls of the campaign are live; try again when they have ended",
    "updates_waiting": "the backend has not confirmed everything yet; try again later",
}


class MarkSent(msgspec.Struct, frozen=True, array_like=True):
    """Whether the request of an attempt may be sent."""

    status: MarkSentStatus
    caller_id: str = ""
    """Of the campaign's pool, the same for every request of the attempt; '' for none."""


class EventResult(msgspec.Struct, frozen=True):
    """What became of an event, and the attempt it belongs to."""

    outcome: ApplyStatus
    attempt: str
    """Attempt id, '' for none."""
    trace: str = ""
    """`traceparent` of the attempt's call, '' for none."""


class LoadRow(msgspec.Struct, frozen=True):
    """A contact of the backend's list."""

    contact: str
    priority: int
    attempts: int
    call: str
    """JSON with what the calls stage needs, `n` (the numbers in the form in which they are compared) and `dnc` (the
    contact must not be called)."""
    problem: str = ""
    """Why the contact can never be called, '' when it can."""
    reset: bool = False
    """The backend shows it as due for retry and gets the status pending again."""
    shown: str = ""
    """Mark of the row's status, attempts and last attempt: it changes when they do; '' when it is not known."""
    due_ms: int | None = None
    """It waits for its retry until then, server's ms; None: it is called now."""
    shown_status: str = "pending"
    """The status that the backend shows."""


class LostCall(msgspec.Struct, frozen=True):
    """What the backend says of a contact whose call Redis may have lost, and of its campaign."""

    row: LoadRow
    is_in_call: bool
    """The backend shows the contact as dialing or answered."""
    retry: RetryPlan
    caps: Caps
    ring_timeout_s: float | None = None
    """Of the campaign's calls; None: the setting's."""


class LoadResult(msgspec.Struct, frozen=True):
    """Number of rows by what became of them."""

    added: int = 0
    known: int = 0
    invalid: int = 0
    """With a problem."""
    used_up: int = 0
    """Without an attempt left."""
    waiting: int = 0
    """They wait for their retry."""
    refused: dict[str, int] = {}
    """Not to be called, or not now, by reason."""
    blocked: list[Block] = []
    """The refused ones, by rule."""
    final: dict[str, int] = {}
    """Known ones that are final here and that the backend shows as pending nevertheless, by reason."""

    def plus(self, other: LoadResult) -> LoadResult:
        """Of both loads together."""
        return LoadResult(
            added=self.added + other.added,
            known=self.known + other.known,
            invalid=self.invalid + other.invalid,
            used_up=self.used_up + other.used_up,
            waiting=self.waiting + other.waiting,
            refused=dict(Counter(self.refused) + Counter(other.refused)),
            blocked=self.blocked + other.blocked,
            final=dict(Counter(self.final) + Counter(other.final)),
        )


class ClaimRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a claim may reserve: decided outside, enforced by the script."""

    token: str
    """Names the claim: the same claim again gets the same answer."""
    level: int
    """Most reserved, sent and ringing calls of the campaign after the claim."""
    free_agents: int
    """Free agents the level was decided for; when fewer are left, the level falls."""
    calls_per_agent: float
    max_concurrent: int
    batch: int
    open_until_ms: int | None
    retry: RetryPlan
    others: Mapping[str, float]
    """The other campaigns of the queue, with their calls per agent."""
    sharing: Mapping[str, Sequence[str]] = {}
    """Campaigns of the queues that share agents with this one, directly or over further queues."""
    counts_listed: bool = True
    """False: the agent list is old, so that only agents whom an event has freed count as free."""
    queue_level: int | None = None
    """Most such calls of all campaigns of the queue, decided for `free_agents`; None: what the free agents and the
    calls per agent allow."""
    slots: int | None = None
    """Most live calls of an agentless campaign, whose calls need no agents; None: it has agents."""
    kept_agents: int = 0
    """Free agents of the queue that stay free for incoming calls."""
    auto_pause: bool = False
    """It pauses itself when half of its calls fail within two minutes."""
    hours: Hours | None = None
    """None: contacts may be called at any time."""
    hours_fingerprint: str = ""
    """Of the campaign's calling hours; a new one makes deferred contacts be checked again."""
    rules: str = ""
    """The rule pack and its version, for the outcomes of calls."""
    caps: Caps = NO_CAPS
    rate_limits: RateLimits = NO_RATE_LIMITS
    caller_id: str | None = None
    """Of the calls, as the campaign has it."""
    caller_ids: CallerIdPool | None = None
    """The calls show one of these instead, chosen when they are sent."""
    ring_timeout_s: float | None = None
    """Of the calls; None: the setting's."""
    on_machine: OnMachine | None = None
    """Of the calls; None: nobody listens for a machine."""


class ClaimResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a claim did and what it found."""

    dialed: int
    """Calls reserved now."""
    free: int
    """Free agents."""
    usable: int = 0
    """Free agents that calls of this queue may use. An agent for whom a call of another queue is coming does not
    count; nor, when the list is old, an agent known only from it. 0 in a claim that was refused."""
    dialing: int
    """Reserved, sent and ringing calls."""
    live: int
    """The same and connected calls."""
    ready: int
    deferred: int
    ledger_ms: int
    orphaned: int = 0
    """Contacts whose call Redis has lost and that may still be up."""
    reason: str | None = None
    """Why no call may be placed. Try again after `queue_changed` with the queue's new campaigns, after
    `trunk_changed` with the trunk's new members, after `not_rebuilt` when the campaign has been rebuilt."""
    detail: str = ""
    """What the Dialer API, or Asterisk, said when it took no calls; or why the campaign has paused itself."""
    wait_ms: int | None = None
    """How long lost calls are still waited for."""
    limit: str | None = None
    """The limit that stopped the claim."""
    steps: list[tuple[str, int, int]] = []
    """The limits in the order they were applied: name, calls that could be placed before it, and after it."""
    skipped: dict[str, int] | None = None
    """Skipped contacts, by reason."""
    why: dict[str, str] | None = None
    """What the rule says about the first skipped contact, by reason."""
    blocked: list[Block] = []
    """Skipped contacts, by rule."""
    only_ends: int = 0
    """Calls past their deadline that count as up because only ends of other calls have come since."""
    serial_api: SerialApi | None = None
    """The Dialer API places calls one after the other."""
    stale: list[str] = []
    """Contacts skipped until the backend shows them as pending again."""
    server_ms: int = 0
    next_ms: int | None = None
    """In how many ms to try again: rate limits or the trunk may allow a call, or more contacts can be examined."""
    recheck: bool = False
    """Hours or caps have changed: deferred contacts must be checked again (`CampaignLedger.recheck_deferred`)."""
    missing: MissingHours | None = None
    """The next contacts need these hours, at `server_ms`."""


class SweepResult(msgspec.Struct, frozen=True):
    """What had become due in a campaign, counted."""

    released: int
    """Reservations whose lease ended."""
    offers_expired: int
    """Preview offers that got no answer."""
    no_event: int
    """Attempts ended by their deadline, without an event."""
    too_long: int
    """Attempts ended because their conversation lasted too long."""
    orphaned: int
    """Calls that were up when data was lost and got no event in their ringing time."""
    promoted: int
    """Deferred contacts that are ready now."""
    forgotten: int
    """Final contacts removed."""
    stalled: int
    """Calls past their deadline that stop the campaign, because no call events arrive that would let them end."""
    only_ends: int
    """Those of them that cannot be ended because only ends of other calls arrive."""
    wake: bool
    """The queue may place calls."""
    attempts: list[str] = []
    """Ids of the attempts that were ended or orphaned."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The settings the scripts need."""

    lease_ms: int
    deadline_ms: int
    """From sending to the deadline of a silent attempt whose campaign has no ring time-out of its own."""
    uncertain_margin_ms: int
    max_call_duration_ms: int
    final_ttl_ms: int
    pending_check_after_ms: int
    """A ready contact that the backend has not shown as pending for longer is verified with it before it is dialed."""
    list_lag_ms: int
    """How long the backend's lists may lag behind its confirmations."""
    events_required: bool
    breaker_failure_threshold: int
    breaker_max_open_ms: int
    outcomes_maxlen: int
    """Entries kept in the stream of outcomes."""
    is_idempotent: bool
    """A request that is sent twice places one call."""

    def deadline_after(self, ring_timeout_s: float | None) -> int:
        """From sending to the deadline of a silent attempt with this ring time-out, ms; None: the setting's."""
        if ring_timeout_s is None:
            return self.deadline_ms
        return round(ring_timeout_s * 1000) + self.uncertain_margin_ms


def ledger_limits(settings: Settings) -> Limits:
    """The settings in the units of the scripts."""
    return Limits(
        lease_ms=round(settings.reservation_lease_s * 1000),
        deadline_ms=round(settings.ring_timeout_s * 1000) + round(settings.uncertain_margin_s * 1000),
        uncertain_margin_ms=round(settings.uncertain_margin_s * 1000),
        max_call_duration_ms=round(settings.max_call_duration_s * 1000),
        final_ttl_ms=round(settings.final_ttl_s * 1000),
        pending_check_after_ms=round(settings.pending_check_after_s * 1000),
        list_lag_ms=round(settings.backend_list_lag_s * 1000),
        events_required=settings.events == "required",
        breaker_failure_threshold=settings.breaker_failure_threshold,
        breaker_max_open_ms=round(settings.breaker_max_open_s * 1000),
        outcomes_maxlen=settings.outcomes_maxlen,
        is_idempotent=settings.may_repeat_originate,
    )
