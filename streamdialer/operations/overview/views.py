"""What an overview holds, each number with its unit and where it comes from.

Instants are the server's time in ms since 1970; durations end in `_s`; rates and shares are between 0 and 1.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from streamdialer.broker.heartbeat import Replica


class Agents(msgspec.Struct, frozen=True, kw_only=True):
    """Agents of a queue as they were last heard of, from the backend's list and from agent events."""

    free: int
    busy: int
    """Talking."""
    wrapup: int
    away: int
    """Known to the queue and neither free, talking nor in wrap-up."""

    @property
    def logged_in(self) -> int:
        return self.free + self.busy + self.wrapup


class AbandonRate(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign's abandon rate over the window of its rule pack, up to now; the same numbers that pacing steers by."""

    people: int
    """Calls sent within the window that a person answered; machines are not among them."""
    abandoned: int
    """Those of them no agent took in time."""
    cap: float
    """Highest rate that is allowed: the campaign's `abandon_cap`, or less where its rule pack says so."""
    window_h: int
    rate: float
    """abandoned / people; 0 before anybody answered."""

    @property
    def is_over_cap(self) -> bool:
        return self.abandoned > self.cap * self.people


class TrendPoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a campaign did between two samples, and how it stood at the end of that; from `ledger/samples.py`."""

    at: int
    """Its end, ms."""
    seconds: float
    calls: int
    """Placed in it, as are the next two answered and abandoned in it."""
    answered: int
    abandoned: int
    free: int
    """Agents of the queue at its end; so are the next two."""
    busy: int
    wrapup: int
    ringing: int
    """Calls reserved, sent or ringing at its end."""
    connected: int


class CampaignOverview(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign of the ledger's directory."""

    campaign_id: int | str
    name: str
    """As the backend calls it; '' while it was not dialed by this version or has no name."""
    mode: str
    """preview, progressive, predictive, adaptive (predictive, paced adaptively) or power; '' before its first tick."""
    status: str
    """Of the public hash; '' when it has none."""
    queue: str
    is_dialing: bool
    """It is active, and its newest decision found nothing that forbids calls."""
    reason: str | None
    """The code of why not, as decision records and metrics have it."""
    why: str
    """The same in one sentence, for people: the first line of `explain`."""
    agents: Agents
    """Of its queue; other campaigns may share them."""
    utilisation: float | None
    """Share of the logged-in agents' time that they talked or were in wrap-up: the mean of the samples and of now."""
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
    """Placed since the campaign began; so are the next two. From the ledger's totals, as the public hash."""
    answered: int
    abandoned: int
    answer_rate: float | None
    """answered / calls, machines included; None before the first call."""
    abandoning: AbandonRate | None
    """None before the campaign's first tick, and for the most of very many campaigns (`RATES_HOURS`)."""
    ready: int
    """Contacts that may be called now, as far as the list was read."""
    deferred: int
    """Contacts that wait for a retry, a callback, their calling hours or a cap."""
    previewing: int
    """Contacts shown to an agent, in preview."""
    final: int
    """Contacts that were finished and are still remembered (`STREAMDIALER_FINAL_TTL_S`)."""
    unconfirmed: int
    """Contacts whose newest state the backend has not confirmed."""
    pending: int | None
    """Contacts of the whole list still to be called, as the Dialer API counted them at the newest sample."""
    forecast_end: int | None
    """When the list ends if it goes on falling as in the last half hour, ms; None when it does not fall."""
    course: list[TrendPoint]
    """The last thirty samples' intervals, oldest first: half an hour at `STREAMDIALER_SAMPLE_INTERVAL_S` = 60."""

    @property
    def uncertain(self) -> int:
        """Contacts that may or may not be on the phone."""
        return self.silent + self.orphaned


class QueueOverview(msgspec.Struct, frozen=True, kw_only=True):
    """A queue of agents."""

    queue: str
    agents: Agents
    people_waiting: int
    """People who answered within the last thirty seconds and have no agent yet."""
    campaigns: list[int | str]


class StreamOverview(msgspec.Struct, frozen=True, kw_only=True):
    """A stream and its consumer group; what is done is deleted, so its length is the work left."""

    stream: str
    length: int
    lag: int
    """Entries nobody has been given yet."""
    pending: int
    """Entries in somebody's hands."""
    oldest_pending_s: float | None
    """Age of the oldest of those, since it was written."""
    per_s: float
    """Entries handled per second, over the last ten seconds, as the replicas say in their heartbeats."""
    consumers: dict[str, int]
    """Entries that each consumer holds."""
    read: int
    """Entries read since the stream's group was made; 0 before Redis 7."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong."""

    level: Literal["error", "warning"]
    """error: nothing is dialed because of it, or calls are lost; warning: somebody should look."""
    code: str
    """data_loss, dialer_api_down, dialer_api_credentials, over_abandon_cap, no_replica, no_producer, replica_silent,
    dead_letters, or the campaign's reason."""
    text: str
    """A sentence."""
    campaign_id: int | str | None = None
    """Whom it concerns alone."""


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at one moment, as far as several readings within milliseconds are one."""

    at: int
    campaigns: list[CampaignOverview]
    """By number; at most `MOST`."""
    unshown: int
    """Campaigns beyond that."""
    queues: list[QueueOverview]
    """Those of the campaigns shown, by name."""
    streams: list[StreamOverview]
    """The four stages'."""
    replicas: list[Replica]
    """Processes heard of within ten minutes, by name; `tick` producers are among them."""
    dead: int
    """Dead letters."""
    alarms: list[Alert]
    """What somebody should know, the worst first."""
