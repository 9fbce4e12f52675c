"""Reads what Redis holds, for the metrics: a few read-only scripts, bounded for any number of campaigns."""

from __future__ import annotations

from typing import Final

import msgspec

from streamdialer.broker.keys import GROUP, STAGES, Keys
from streamdialer.broker.scripts import Argument, Script, Scripts
from streamdialer.ledger.abandon_rates import AbandonCounts, read_abandon_counts
from streamdialer.observability import metrics

STREAM_METRICS, CAMPAIGN_METRICS = (
    Script("streamdialer.ledger", name, only_reads=True) for name in ("stream_metrics", "campaign_metrics")
)
SCAN_BATCH: Final = 1000
"""Campaigns that one reading covers."""
BATCH: Final = 50
"""Campaigns per script: a millisecond or two of the server's time."""
HOURS_PER_COLLECT: Final = 3000
"""Hours of abandon rates that one reading sums, the rates read longest ago first; the others are remembered."""


class _Streams(msgspec.Struct, frozen=True):
    streams: list[tuple[int, int, int]]
    """Length, given to consumers, age of the oldest of those in ms; in the order of STAGES."""
    dead: int
    directory: list[str] = []
    api_pause: str = ""


class _Sums(msgspec.Struct):
    ready: int = 0
    deferred: int = 0
    reserved: int = 0
    dialing: int = 0
    connected: int = 0
    silent: int = 0
    orphaned: int = 0
    free: int = 0
    busy: int = 0
    auto_paused: int = 0
    active: list[tuple[str, str]] = []
    """Campaigns with their pacing (JSON, '' when not dialed yet)."""

    def add(self, other: _Sums) -> None:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class _Limit(msgspec.Struct, frozen=True):
    """Of a campaign's pacing, what its abandon rate must keep under, and over how many hours."""

    cap: float
    window_h: int


class LedgerMetrics:
    """Reads into the gauges of `metrics.LEDGER`."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys
        self._rates: dict[str, AbandonCounts] = {}
        """By campaign, those read longest ago first."""

    async def collect(self) -> None:
        """One reading; a server that is away is waited for as long as the scripts do."""
        keys = self._keys
        names = [keys.api, keys.server, keys.directory, keys.stream("dead"), keys.events_retained]
        args: list[Argument] = [GROUP, STAGES.index("events") + 1]
        answer = await self._scripts.run(STREAM_METRICS, [*names, *map(keys.stream, STAGES)], args)
        streams = msgspec.json.decode(answer, type=_Streams)
        queue_of = dict(zip(streams.directory[::2], streams.directory[1::2], strict=True))
        campaigns = sorted(queue_of)[:SCAN_BATCH]
        sums, measured = _Sums(), set[str]()
        for at in range(0, len(campaigns), BATCH):
            batch = campaigns[at : at + BATCH]
            queues = {queue_of[campaign] for campaign in batch} - measured - {""}
            sums.add(await self._sum(batch, queue_of, queues))
            measured |= queues
        limits = {
            campaign: msgspec.json.decode(pacing, type=_Limit) for campaign, pacing in sums.active if pacing
        }
        await self._read_rates(limits)
        _show_streams(streams)
        _show_campaigns(sums, measured=len(campaigns), known=len(queue_of))
        _show_abandoned(
            [(limit, self._rates[campaign]) for campaign, limit in limits.items() if campaign in self._rates]
        )

    async def _sum(self, campaigns: list[str], queue_of: dict[str, str], queues: set[str]) -> _Sums:
        keys = self._keys
        names = [keys.server]
        for campaign in campaigns:
            names += [
                keys.campaign(campaign),
                keys.ready(campaign),
                keys.deferred(campaign),
                keys.reserved(campaign),
                keys.dialing(campaign),
                keys.connected(campaign),
                keys.orphaned(campaign),
                keys.queue_pacing(queue_of[campaign]),
            ]
        for queue in queues:
            names += [keys.queue_free(queue), keys.queue_busy(queue)]
        return msgspec.json.decode(await self._scripts.run(CAMPAIGN_METRICS, names, campaigns), type=_Sums)

    async def _read_rates(self, limits: dict[str, _Limit]) -> None:
        """Reads the rates that are new, then those read longest ago, as far as the bound allows."""
        self._rates = {campaign: rate for campaign, rate in self._rates.items() if campaign in limits}
        new = [campaign for campaign in limits if campaign not in self._rates]
        windows_h, left_h = dict[str, int](), HOURS_PER_COLLECT
        for campaign in [*new, *self._rates]:
            if limits[campaign].window_h > left_h:
                break
            windows_h[campaign] = limits[campaign].window_h
            left_h -= limits[campaign].window_h
        for campaign, counts in (await read_abandon_counts(self._scripts, self._keys, windows_h)).items():
            self._rates.pop(campaign, None)  # to the end of the line
            self._rates[campaign] = counts


def _show_streams(streams: _Streams) -> None:
    for stage, (length, pending, oldest_ms) in zip(STAGES, streams.streams, strict=True):
        metrics.STREAM_LENGTH.labels(stage).set(length)
        metrics.STREAM_LAG.labels(stage).set(max(0, length - pending))
        metrics.OLDEST_PENDING_SECONDS.labels(stage).set(oldest_ms / 1000)
    metrics.DEAD_LETTERS.set(streams.dead)
    for reason in metrics.PAUSES:
        metrics.API_PAUSED.labels(reason).set(streams.api_pause == reason)


def _show_campaigns(sums: _Sums, *, measured: int, known: int) -> None:
    metrics.CAMPAIGNS.labels("active").set(len(sums.active))
    metrics.CAMPAIGNS.labels("other").set(measured - len(sums.active))
    metrics.AUTO_PAUSED.set(sums.auto_paused)
    metrics.CAMPAIGNS.labels("unmeasured").set(known - measured)
    for state in ("ready", "deferred"):
        metrics.CONTACTS.labels(state).set(getattr(sums, state))
    for state in ("reserved", "dialing", "connected"):
        metrics.CALLS.labels(state).set(getattr(sums, state))
    metrics.UNCERTAIN.labels("silent").set(sums.silent)
    metrics.UNCERTAIN.labels("forgotten").set(sums.orphaned)
    metrics.AGENTS.labels("free").set(sums.free)
    metrics.AGENTS.labels("busy").set(sums.busy)


def _show_abandoned(campaigns: list[tuple[_Limit, AbandonCounts]]) -> None:
    total = AbandonCounts(
        sum(counts.answered_by_person for _, counts in campaigns),
        sum(counts.abandoned for _, counts in campaigns),
    )
    of_cap = [counts.rate / limit.cap for limit, counts in campaigns if limit.cap]
    metrics.ABANDON_RATIO.set(total.rate)
    metrics.ABANDON_WORST.set(max(of_cap, default=0.0))
    metrics.OVER_CAP.set(
        sum(counts.abandoned > limit.cap * counts.answered_by_person for limit, counts in campaigns)
    )
