"""What Redis holds, read for the metrics: a few read-only scripts, bounded however many campaigns there are."""

from __future__ import annotations

from typing import Final

import msgspec

from streamdialer.keys import GROUP, STAGES, Keys
from streamdialer.observe import metrics
from streamdialer.scripts import Script, Scripts

MEASURE, MEASURE_CAMPAIGNS = (
    Script("streamdialer.ledger", name) for name in ("measure", "measure_campaigns")
)
MOST: Final = 1000
"""Campaigns that one reading covers."""
BATCH: Final = 50
"""Campaigns per script: a millisecond or two of the server's time."""


class _Streams(msgspec.Struct, frozen=True):
    streams: list[tuple[int, int, int]]
    """Length, given to consumers, age of the oldest of those in ms; in the order of STAGES."""
    dead: int
    directory: list[str] = []
    held: str = ""


class _Sums(msgspec.Struct):
    active: int = 0
    ready: int = 0
    waiting: int = 0
    reserved: int = 0
    unanswered: int = 0
    connected: int = 0
    silent: int = 0
    forgotten: int = 0
    people: int = 0
    abandoned: int = 0
    over: int = 0
    worst: float = 0.0
    free: int = 0
    busy: int = 0

    def add(self, other: _Sums) -> None:
        worst = max(self.worst, other.worst)
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.worst = worst


async def measure(scripts: Scripts, keys: Keys) -> None:
    """Sets the gauges of `metrics.LEDGER`; waits for a server that is away as long as `scripts` does."""
    names = [keys.api, keys.server, keys.directory, keys.stream("dead")]
    answer = await scripts.run(MEASURE, [*names, *map(keys.stream, STAGES)], [GROUP])
    seen = msgspec.json.decode(answer, type=_Streams)
    queue_of = dict(zip(seen.directory[::2], seen.directory[1::2], strict=True))
    campaigns = sorted(queue_of)[:MOST]
    sums, measured = _Sums(), set[str]()
    for at in range(0, len(campaigns), BATCH):
        batch = campaigns[at : at + BATCH]
        queues = dict.fromkeys(queue_of[campaign] for campaign in batch)
        new = [queue for queue in queues if queue and queue not in measured]
        measured.update(new)
        asked = [keys.server]
        for campaign in batch:
            asked += [
                keys.campaign(campaign),
                keys.ready(campaign),
                keys.waiting(campaign),
                keys.reserved(campaign),
                keys.unanswered(campaign),
                keys.connected(campaign),
                keys.in_doubt(campaign),
                keys.totals(campaign),
                keys.queue_pacing(queue_of[campaign]),
            ]
        for queue in new:
            asked += [keys.queue_free(queue), keys.queue_busy(queue)]
        sums.add(msgspec.json.decode(await scripts.run(MEASURE_CAMPAIGNS, asked, batch), type=_Sums))
    _show_streams(seen)
    _show_campaigns(sums, measured=len(campaigns), known=len(queue_of))


def _show_streams(seen: _Streams) -> None:
    for stage, (length, pending, oldest_ms) in zip(STAGES, seen.streams, strict=True):
        metrics.STREAM_LENGTH.labels(stage).set(length)
        metrics.STREAM_LAG.labels(stage).set(max(0, length - pending))
        metrics.OLDEST_PENDING_SECONDS.labels(stage).set(oldest_ms / 1000)
    metrics.DEAD_LETTERS.set(seen.dead)
    for reason in ("dialer_api_down", "dialer_api_credentials"):
        metrics.API_HELD.labels(reason).set(seen.held == reason)


def _show_campaigns(sums: _Sums, *, measured: int, known: int) -> None:
    metrics.CAMPAIGNS.labels("active").set(sums.active)
    metrics.CAMPAIGNS.labels("other").set(measured - sums.active)
    metrics.CAMPAIGNS.labels("unmeasured").set(known - measured)
    for place in ("ready", "waiting"):
        metrics.CONTACTS.labels(place).set(getattr(sums, place))
    for state in ("reserved", "unanswered", "connected"):
        metrics.CALLS.labels(state).set(getattr(sums, state))
    metrics.UNCERTAIN.labels("silent").set(sums.silent)
    metrics.UNCERTAIN.labels("forgotten").set(sums.forgotten)
    metrics.AGENTS.labels("free").set(sums.free)
    metrics.AGENTS.labels("busy").set(sums.busy)
    metrics.ABANDON_RATIO.set(sums.abandoned / sums.people if sums.people else 0.0)
    metrics.ABANDON_WORST.set(sums.worst)
    metrics.OVER_CAP.set(sums.over)
