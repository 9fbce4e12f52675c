"""Every metric, with its meaning and the values of its labels: metrics are defined only here.

`PROCESS` is counted in this process. `LEDGER` is read from Redis (`ledger/metrics.py`): the same in every process.
Ids of campaigns, contacts, agents and attempts are never labels: see `explain`, `inspect` and the logs for them. A test
compares `docs/metrics.md` with this file.
"""

from __future__ import annotations

from itertools import product
from typing import Final, TypeVar

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    Summary,
    disable_created_metrics,
    generate_latest,
)

disable_created_metrics()  # type: ignore[no-untyped-call]

PROCESS: Final = CollectorRegistry()
LEDGER: Final = CollectorRegistry()
ProcessCollector(registry=PROCESS)

_FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_SLOW: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_STAGES: Final = ("ticks", "calls", "events", "updates")
_MODES: Final = ("preview", "progressive", "predictive", "power", "agentless")
OPEN: Final = ()
"""A label whose values are names from the code (reasons, scripts), too many to list here."""

Labels = dict[str, tuple[str, ...]]


class MetricDoc(msgspec.Struct, frozen=True):
    """A metric as it is documented; a counter's series end in `_total`, as does its name here."""

    name: str
    kind: str
    labels: Labels
    meaning: str


ALL: Final[list[MetricDoc]] = []
_Metric = TypeVar("_Metric", Counter, Gauge, Histogram, Summary)


def _with_series(metric: _Metric, name: str, meaning: str, labels: Labels) -> _Metric:
    """Documents the metric, and begins every series at 0: the first failure must not look like a new series."""
    ALL.append(MetricDoc(name, type(metric).__name__.lower(), labels, meaning))
    if labels and OPEN not in labels.values():
        for values in product(*labels.values()):
            metric.labels(*values)
    return metric


def _counter(name: str, meaning: str, **labels: tuple[str, ...]) -> Counter:
    return _with_series(Counter(name, meaning, list(labels), registry=PROCESS), name, meaning, labels)


def _summary(name: str, meaning: str, **labels: tuple[str, ...]) -> Summary:
    return _with_series(Summary(name, meaning, list(labels), registry=PROCESS), name, meaning, labels)


def _histogram(name: str, meaning: str, buckets: tuple[float, ...], **labels: tuple[str, ...]) -> Histogram:
    metric = Histogram(name, meaning, list(labels), registry=PROCESS, buckets=buckets)
    return _with_series(metric, name, meaning, labels)


def _gauge(name: str, meaning: str, registry: CollectorRegistry = LEDGER, **labels: tuple[str, ...]) -> Gauge:
    return _with_series(Gauge(name, meaning, list(labels), registry=registry), name, meaning, labels)


# counted here

INFO: Final = _gauge(
    "streamdialer_info",
    "Always 1: the version of this program, and the tenant whose calls it places.",
    registry=PROCESS,
    version=OPEN,
    namespace=OPEN,
)
ENTRIES: Final = _counter(
    "streamdialer_entries_total",
    "Stream entries that left a handler: done, dead (moved to the dead letters), again (delivered again, because a "
    "server was away or this process stopped), failed (delivered again, because our code failed).",
    stage=_STAGES,
    outcome=("done", "dead", "again", "failed"),
)
ENTRY_SECONDS: Final = _histogram(
    "streamdialer_entry_seconds", "Time an entry spent in its handler.", _SLOW, stage=_STAGES
)
TICKS: Final = _counter(
    "streamdialer_ticks_total",
    "Ticks by their result; reason is `none`, or why nothing was done, as in `explain`.",
    kind=OPEN,
    status=OPEN,
    reason=OPEN,
)
CALLS_WANTED: Final = _counter(
    "streamdialer_pacing_wanted_calls_total",
    "Calls that the pacing formulas wanted, per tick: a call that is not placed is wanted again at the next tick.",
    mode=_MODES,
)
CALLS_RESERVED: Final = _counter(
    "streamdialer_pacing_reserved_calls_total", "Calls that dial ticks reserved.", mode=_MODES
)
PACING_LIMITS: Final = _counter(
    "streamdialer_pacing_limits_total",
    "Dial ticks by the limit that decided how many calls they placed.",
    limit=OPEN,
)
REACTION_SECONDS: Final = _histogram(
    "streamdialer_reaction_seconds",
    "From the wake-up (when an agent was freed or a call ended) until the next calls are reserved.",
    _FAST,
)
EVENT_FIELDS_UNREAD: Final = _counter(
    "streamdialer_event_fields_unread_total",
    "Fields of events that could not be read, or hold a word that is not known: the event counted without them.",
    field=(
        "agent_id",
        "answered_by",
        "call_id",
        "campaign_id",
        "cause",
        "contact_id",
        "disposition",
        "duration",
        "phone_number",
        "queue",
        "reason",
    ),
)
ORIGINATES: Final = _counter(
    "streamdialer_originates_total",
    "Originate requests by what their replies mean; unknown: the call may be up, so it is not redialed.",
    verdict=("placed", "not_placed", "never", "unknown"),
)
CONTACTS_UNREAD: Final = _counter(
    "streamdialer_contacts_unread_total",
    "Contacts in pages of the backend that could not be read: they are not called. Each reading of the page counts.",
)
CONTACT_FIELDS_UNREAD: Final = _counter(
    "streamdialer_contact_fields_unread_total",
    "Optional fields of contacts that could not be read: they have their default. Each reading of the page counts.",
    field=("attempts", "caller_id", "custom_data", "last_attempt", "priority", "timezone"),
)
UPDATES: Final = _counter(
    "streamdialer_updates_total",
    "States of contacts for the backend: taken, refused (a contact that is finished stays finished here), outdated "
    "(not sent, because the backend showed a newer state after a data loss), over (not sent, because the backend has "
    "finished the contact itself).",
    outcome=("taken", "refused", "outdated", "over"),
)
ATTEMPTS_ENDED: Final = _counter(
    "streamdialer_attempts_ended_total",
    "Attempts that ended, by an event or without one: no_event (deadline), too_long (longest conversation), "
    "not_listed (no event source lists it).",
    disposition=(
        "abandoned",
        "busy",
        "callback",
        "cancelled",
        "completed",
        "congestion",
        "do_not_call",
        "failed",
        "invalid",
        "machine",
        "no_answer",
        "no_event",
        "not_listed",
        "too_long",
    ),
)
_INVARIANTS: Final = (
    "attempt_state",
    "do_not_call",
    "next_sweep",
    "one_call",
    "one_state",
    "record_state",
    "update_queued",
)
INVARIANTS_CHECKED: Final = _counter(
    "streamdialer_invariants_checked_total",
    "Checks of what must always be true in the ledger: the newest attempt fits the contact's state, each contact is in "
    "one state, its record names that state, no contact that must not be called is ready, a sweep is due by the "
    "earliest deadline, every update that the backend lacks is queued, a contact holds its number as long as its call "
    "may be up.",
    invariant=_INVARIANTS,
)
INVARIANTS_BROKEN: Final = _counter(
    "streamdialer_invariants_broken_total",
    "Checks that failed: a bug, or someone changed our keys; the log names campaign and contact.",
    invariant=_INVARIANTS,
)
SWEEPS_FAILED: Final = _counter(
    "streamdialer_sweeps_failed_total",
    "Sweeps of one campaign that Redis answered with an error, while those of the others went on: its leases, "
    "deadlines and retries wait; the log names the campaign.",
)
HTTP_REQUESTS: Final = _counter(
    "streamdialer_http_requests_total",
    "HTTP requests by outcome: the class of the status, or no_reply (refused, timed out, cut off).",
    service=("backend", "dialer_api"),
    outcome=("2xx", "3xx", "4xx", "5xx", "no_reply"),
)
HTTP_SECONDS: Final = _histogram(
    "streamdialer_http_request_seconds",
    "Time until the whole reply or the failure; the Dialer API may delay a reply for the ring time.",
    _SLOW,
    service=("backend", "dialer_api"),
)
WEBHOOK_REQUESTS: Final = _counter(
    "streamdialer_webhook_requests_total",
    "Requests of `webhooks` by outcome: the class of the status, no_reply (refused, timed out, cut off), or refused "
    "(not sent, because the address is of a private network).",
    outcome=("2xx", "3xx", "4xx", "5xx", "no_reply", "refused"),
)
WEBHOOK_OUTCOMES: Final = _counter(
    "streamdialer_webhook_outcomes_total",
    "Outcomes that `webhooks` is done with: delivered, dead (not taken for a day), unreadable (no outcome).",
    result=("delivered", "dead", "unreadable"),
)
WEBHOOK_WAITING: Final = _gauge(
    "streamdialer_webhook_waiting",
    "Outcomes that `webhooks` has read and the address has not taken.",
    PROCESS,
)
WEBHOOK_OLDEST: Final = _gauge(
    "streamdialer_webhook_oldest_seconds", "Age of the oldest of those; 0 without one.", PROCESS
)
SCRIPT_SECONDS: Final = _summary(
    "streamdialer_script_seconds",
    "Time from calling a script to its answer, including the wait in the queue.",
    script=OPEN,
)
ROUND_TRIP_SECONDS: Final = _histogram(
    "streamdialer_redis_round_trip_seconds", "Time of one pipeline of scripts.", _FAST
)
REDIS_UP: Final = _gauge(
    "streamdialer_redis_up", "1 when Redis answered the last reading, 0 when it is away.", PROCESS
)
READY: Final = _gauge("streamdialer_ready", "1 when this process takes work, as `/ready` says.", PROCESS)

# read from Redis

STREAM_LENGTH: Final = _gauge("streamdialer_stream_length", "Entries that are not done yet.", stream=_STAGES)
STREAM_LAG: Final = _gauge(
    "streamdialer_stream_lag", "Entries that no consumer has received yet.", stream=_STAGES
)
OLDEST_PENDING_SECONDS: Final = _gauge(
    "streamdialer_stream_oldest_pending_seconds",
    "Age of the oldest entry that a consumer holds; 0 without one.",
    stream=_STAGES,
)
DEAD_LETTERS: Final = _gauge("streamdialer_dead_letters", "Entries in the dead-letter stream.")
CAMPAIGNS: Final = _gauge(
    "streamdialer_campaigns",
    "Campaigns the ledger knows: active, other; unmeasured: too many for one reading, missing in what follows.",
    state=("active", "other", "unmeasured"),
)
CONTACTS: Final = _gauge(
    "streamdialer_contacts", "Contacts that are still to be called, by state.", state=("ready", "deferred")
)
CALLS: Final = _gauge(
    "streamdialer_calls",
    "Live calls: reserved (about to be sent), dialing (sent or ringing), connected.",
    state=("reserved", "dialing", "connected"),
)
UNCERTAIN: Final = _gauge(
    "streamdialer_uncertain_attempts",
    "Attempts whose result is unknown: silent past their deadline, or lost by Redis (forgotten). Not redialed.",
    why=("silent", "forgotten"),
)
AGENTS: Final = _gauge("streamdialer_agents", "Agents of all queues.", state=("free", "busy"))
ABANDON_RATIO: Final = _gauge(
    "streamdialer_abandon_ratio",
    "Abandoned calls per call answered by a person, over all active campaigns, each within its own window.",
)
ABANDON_WORST: Final = _gauge(
    "streamdialer_abandon_ratio_of_cap_max",
    "The highest abandon rate divided by its cap, among active campaigns; above 1, the cap is exceeded.",
)
OVER_CAP: Final = _gauge(
    "streamdialer_campaigns_over_abandon_cap", "Active campaigns whose abandon rate is above their cap."
)
AUTO_PAUSED: Final = _gauge(
    "streamdialer_campaigns_auto_paused",
    "Campaigns that have paused themselves because half of their calls failed, and that a person must start again.",
)
PAUSES: Final = ("dialer_api_down", "dialer_api_credentials", "asterisk_down", "asterisk_credentials")
API_PAUSED: Final = _gauge(
    "streamdialer_dialer_api_paused",
    "1 while all calls wait, because the Dialer API, or Asterisk in its place, is down or refuses our credentials.",
    reason=PAUSES,
)


def exposition(*, with_ledger: bool) -> bytes:
    """All metrics in Prometheus' text format; those read from Redis only `with_ledger`."""
    return generate_latest(PROCESS) + (generate_latest(LEDGER) if with_ledger else b"")


def documented(metric: MetricDoc) -> str:
    """The metric as a line of the table in `docs/metrics.md`."""
    labels = [
        f"`{label}` ({' · '.join(values)})" if values else f"`{label}`"
        for label, values in metric.labels.items()
    ]
    return f"| `{metric.name}` | {metric.kind} | {', '.join(labels)} | {metric.meaning} |"
