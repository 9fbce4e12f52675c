"""The structs of an overview: each number with its unit and where it comes from.

Instants are the server's time in ms since 1970; durations end in `_s`; rates and shares are between 0 and 1.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from streamdialer.broker.heartbeat import KnownProcess
from streamdialer.model import has_agents
from streamdialer.operations.refused_updates import RefusedUpdates


class Agents(msgspec.Struct, frozen=True, kw_only=True):
    """Agents of a queue, by the newest of the backend's list and their agent events."""

    free: int
    busy: int
    """Talking."""
    wrapup: int
    away: int
    """Known to the queue and neither free, talking nor in wrap-up."""

    @property
    def logged_in(self) -> int:
        return self.free + self.busy + self.wrapup

    @property
    def known(self) -> int:
        return self.logged_in + self.away


class AbandonRate(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign's abandon rate over the window of its rule pack, up to now; pacing uses the same numbers."""

    answered_by_person: int
    """Calls sent within the window that a person answered, not a machine."""
    abandoned: int
    """Those of them that no agent took in time."""
    cap: float
    """The highest rate allowed: the campaign's `abandon_cap`, or less where its rule pack says so."""
    window_h: int
    rate: float
    """abandoned / people; 0 before a person answered."""

    @property
    def is_over_cap(self) -> bool:
        return self.abandoned > self.cap * self.answered_by_person


class TrendPoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a campaign did between two samples, and its state at the second; from `ledger/samples.py`."""

    at: int
    """The end of the interval, ms."""
    seconds: float
    calls: int
    """Placed within the interval; the next two were answered and abandoned within it."""
    answered: int
    abandoned: int
    free: int
    """Agents of the queue at the end; so are the next two."""
    busy: int
    wrapup: int
    ringing: int
    """Calls reserved, sent or ringing at the end."""
    connected: int


class CampaignOverview(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign of the ledger's directory."""

    campaign_id: int | str
    name: str
    """In the backend; '' when it has none, or before this version has dialed the campaign."""
    mode: str
    """preview, progressive, predictive, adaptive (predictive, paced adaptively) or power; '' before its first tick."""
    status: str
    """Of the public hash; '' when it has none."""
    queue: str
    is_dialing: bool
    """It is active, and nothing in its newest decision forbids calls."""
    reason: str | None
    """The code of why not, as in decision records and metrics."""
    why: str
    """The same as a sentence: the first line of `explain`."""
    agents: Agents
    """Of its queue; other campaigns may share them."""
    utilisation: float | None
    """Share of the logged-in agents who talked or were in wrap-up: the mean over the samples and now."""
    reserved: int
    """Calls about to be sent."""
    ringing: int
    """Calls sent and neither answered nor ended: the public hash's `active_calls`."""
    silent: int
    """Those of them whose deadline has passed without any event."""
    connected: int
    orphaned: int
    """Calls that Redis has lost and that may still be up."""
    calls: int
    """Placed since the campaign began; so are the next two. From the ledger's totals, as in the public hash."""
    answered: int
    abandoned: int
    answer_rate: float | None
    """answered / calls, machines included; None before the first call."""
    abandon_rate: AbandonRate | None
    """None before the campaign's first tick, and beyond the first campaigns of very many (`RATES_HOURS`)."""
    ready: int
    """Contacts that may be called now; the backend's list may hold more that were not loaded yet."""
    deferred: int
    """Contacts that wait for a retry, a callback, their calling hours or a cap."""
    previewing: int
    """Contacts shown to an agent, in preview mode."""
    final: int
    """Final contacts whose record has not expired (`STREAMDIALER_FINAL_TTL_S`)."""
    unconfirmed: int
    """Contacts whose newest state the backend has not confirmed."""
    refused_updates: RefusedUpdates | None
    """States of contacts that the backend refused, when it did within the last hour."""
    pending: int | None
    """Contacts of the whole list still to be called, as the Dialer API counted them for the newest sample."""
    forecast_end: int | None
    """When the list will end if it falls as in the last half hour, ms; None when it does not fall."""
    trend: list[TrendPoint]
    """The last thirty samples' intervals, oldest first: half an hour at `STREAMDIALER_SAMPLE_INTERVAL_S` = 60."""

    @property
    def has_agents(self) -> bool:
        """False of an agentless campaign, whose queue is no one's."""
        return has_agents(self.queue)

    @property
    def uncertain(self) -> int:
        """Contacts that may or may not be on the phone."""
        return self.silent + self.orphaned


class QueueOverview(msgspec.Struct, frozen=True, kw_only=True):
    queue: str
    agents: Agents
    people_waiting: int
    """People who answered in the last thirty seconds and have no agent yet."""
    campaigns: list[int | str]


class StreamOverview(msgspec.Struct, frozen=True, kw_only=True):
    """A stream and its consumer group. Finished entries are deleted, so its length is the work left."""

    stream: str
    length: int
    lag: int
    """Entries that no consumer has yet."""
    pending: int
    """Entries that a consumer has and has not finished."""
    oldest_pending_s: float | None
    """Age of the oldest of those, since it was written."""
    per_s: float
    """Entries handled per second over the last ten seconds, from the replicas' heartbeats."""
    consumers: dict[str, int]
    """Name -> entries that it has and has not finished."""
    read: int
    """Entries read since the stream's group was made; 0 before Redis 7."""


class Alert(msgspec.Struct, frozen=True):
    level: Literal["error", "warning"]
    """error: it stops dialing or loses calls; warning: look at it."""
    code: str
    """data_loss, dialer_api_down, dialer_api_credentials, asterisk_down, asterisk_credentials, over_abandon_cap,
    auto_paused, updates_refused, registry_age, no_replica, no_producer, replica_silent, dead_letters, or the campaign's
    reason."""
    text: str
    """A sentence."""
    campaign_id: int | str | None = None
    """The only campaign that it concerns; None when it concerns more."""


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at one moment; it is read in several steps within some milliseconds."""

    at: int
    campaigns: list[CampaignOverview]
    """In the order of their ids; at most `MAX_CAMPAIGNS`."""
    unshown: int
    """How many more there are."""
    queues: list[QueueOverview]
    """Those of `campaigns`, by name."""
    streams: list[StreamOverview]
    """The four stages'."""
    replicas: list[KnownProcess]
    """Processes whose last heartbeat is at most ten minutes old, by name; `tick` producers are among them."""
    dead: int
    """Dead letters."""
    alerts: list[Alert]
    """Errors first."""
