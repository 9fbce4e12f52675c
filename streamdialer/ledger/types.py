"""What the scripts of a campaign are told and what they answer, typed; `campaigns.py` calls them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from streamdialer.ledger.rate_limits import NO_PACE, RateLimits
from streamdialer.ledger.zone_hours import Hours, MissingHours
from streamdialer.rules.caps import NO_CAPS, CapReason, Caps
from streamdialer.rules.retry import RetryPlan

Refused = Literal["not_active", "window_closed", "held", "data_loss", "server_unknown", "do_not_call"]
BeginStatus = Literal["ok", "again", "sent", "stale"] | Refused | CapReason
SettleStatus = Literal["ok", "stale", "settled"]
ApplyStatus = Literal[
    "applied", "unchanged", "ended", "unknown_campaign", "unknown_contact", "no_attempt", "foreign_call"
]
CleanupStatus = Literal["ok", "unknown", "not_finished", "calls_live", "updates_waiting"]


class EventResult(msgspec.Struct, frozen=True):
    """What an event came to, and the attempt it belongs to."""

    outcome: ApplyStatus
    attempt: str
    """Its id, '' for none."""
    trace: str = ""
    """Its call's `traceparent`, '' where none is kept."""


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


class LoadResult(msgspec.Struct, frozen=True):
    """How many rows were new, known, not callable, out of attempts; new but not to be called now, by reason."""

    added: int = 0
    known: int = 0
    invalid: int = 0
    used_up: int = 0
    refused: dict[str, int] = {}


class ClaimRequest(msgspec.Struct, frozen=True, kw_only=True):
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
    hours_mark: str = ""
    """Of the campaign's hours; when it is another, those who were put off are looked at again."""
    caps: Caps = NO_CAPS
    pace: RateLimits = NO_PACE


class ClaimResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a claim did and what it saw."""

    dialed: int
    free: int
    dialing: int
    live: int
    ready: int
    deferred: int
    ledger_ms: int
    orphaned: int = 0
    """Contacts whose call Redis has forgotten and that may still be up."""
    reason: str | None = None
    """Why nothing may be dialed; `queue_changed` asks for another try with the queue's new campaigns,
    `trunk_changed` with those of the trunk, `not_rebuilt` after the campaign has been rebuilt."""
    wait_ms: int | None = None
    """How long calls that Redis may have forgotten are still waited for."""
    limit: str | None = None
    steps: list[tuple[str, int, int]] = []
    """The limits in the order they were applied: name, calls that could be placed before it, and after it."""
    skipped: dict[str, int] | None = None
    why: dict[str, str] | None = None
    """Of the first contact passed over for each reason: what the rule says of them."""
    stale: list[str] = []
    """Contacts passed over until the backend shows them as pending again."""
    server_ms: int = 0
    next_ms: int | None = None
    """When its pace, or a line of its trunk, may allow another call, or the line is to be looked at further."""
    again: bool = False
    """Hours or caps have changed: those who were put off are to be looked at again (`CampaignLedger.look_again`)."""
    missing: MissingHours | None = None
    """The next contacts in line need these at `wall`, the server's own time, ms."""


class SweepResult(msgspec.Struct, frozen=True):
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
    attempts: list[str] = []
    """Ids of the attempts that expired, were closed or are held in doubt."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The settings the scripts need, in their units."""

    lease_ms: int
    deadline_ms: int
    """From sending to the deadline of a silent attempt."""
    max_call_duration_ms: int
    final_ttl_ms: int
    pending_check_after_ms: int
    """A ready contact the backend has not shown as pending for longer is looked up before it is dialed."""
    events_required: bool
    breaker_failure_threshold: int
    breaker_max_open_ms: int
    is_idempotent: bool
    """The Dialer API places a call once, however often it is asked with the same key."""
