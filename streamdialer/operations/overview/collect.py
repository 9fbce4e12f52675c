"""Reads the overview: seven round trips for up to two hundred campaigns, no SCAN, nothing written."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from streamdialer.broker.connection import server_ms
from streamdialer.broker.heartbeat import Replica, read_replicas
from streamdialer.broker.keys import STAGES, Keys
from streamdialer.broker.scripts import Scripts
from streamdialer.consumers.dialing.queue_pacing import CampaignPacing
from streamdialer.ledger.abandon_rates import AbandonCounts, read_abandon_counts
from streamdialer.ledger.samples import Sample, read_samples
from streamdialer.model import TickResult
from streamdialer.operations.campaigns import CampaignRow, campaign_rows, sort_campaign_ids
from streamdialer.operations.decisions import dial_status
from streamdialer.operations.overview.alerts import alerts_of
from streamdialer.operations.overview.trends import forecast_end, trends_of, utilisation
from streamdialer.operations.overview.views import (
    AbandonRate,
    Agents,
    CampaignOverview,
    Overview,
    QueueOverview,
    StreamOverview,
)
from streamdialer.operations.streams import StreamState, stream_states

MAX_CAMPAIGNS: Final = 500
"""Campaigns that are shown."""
DETAILS_BATCH: Final = 200
"""Campaigns per round trip."""
RATES_HOURS: Final = 3000
"""Hours of abandon rates that one reading sums, campaign by campaign: four campaigns of a month, or 125 of a day."""
WAITED_FOR_MS: Final = 30_000
"""Nobody waits longer than that for an agent (`lua/queue_snapshot.lua`)."""


class _Details(msgspec.Struct, frozen=True):
    """Of one campaign, what its row does not have."""

    pacing: CampaignPacing | None
    newest: TickResult | None
    samples: list[Sample]
    final: int
    silent: int


async def overview(scripts: Scripts, keys: Keys) -> Overview:
    """Everything there is to see; raises redis.RedisError, or Unreachable when `scripts` are not patient."""
    client = scripts.client
    now_ms = await server_ms(client)
    pipe = client.pipeline(transaction=False)
    pipe.hkeys(keys.directory)
    pipe.hgetall(keys.server)
    pipe.hmget(keys.api, ["until", "reason"])
    pipe.zrange(keys.replicas, 0, -1, withscores=True)
    pipe.hgetall(keys.replica_states)
    answers: list[Any] = await pipe.execute()
    known, memory, held, heard, states = answers
    ledger_ms = now_ms + int(memory.get("clock_offset") or 0)
    replicas = read_replicas(heard, states, now_ms)
    shown = sort_campaign_ids(known)[:MAX_CAMPAIGNS]
    rows = await campaign_rows(client, keys, shown)
    details, queues = await _details(scripts, keys, shown, rows, ledger_ms)
    rates = await _rates(scripts, keys, dict(zip(shown, details, strict=True)))
    campaigns = [
        _campaign(row, detail, queues[row.queue].agents, rates.get(campaign), now_ms)
        for campaign, row, detail in zip(shown, rows, details, strict=True)
    ]
    streams = await stream_states(client, keys)
    dead = next(one.length for one in streams if one.stream == "dead")
    return Overview(
        at=now_ms,
        campaigns=campaigns,
        unshown=len(known) - len(shown),
        queues=[queues[queue] for queue in sorted(queues) if queue],
        streams=[_stream(one, replicas) for one in streams if one.stream in STAGES],
        replicas=replicas,
        dead=dead,
        alarms=alerts_of(
            now_ms=ledger_ms,
            memory=memory,
            held=tuple(held),
            campaigns=campaigns,
            replicas=replicas,
            dead=dead,
        ),
    )


async def _details(
    scripts: Scripts, keys: Keys, campaigns: Sequence[str], rows: Sequence[CampaignRow], ledger_ms: int
) -> tuple[list[_Details], dict[str, QueueOverview]]:
    details: list[_Details] = []
    members: dict[str, list[int | str]] = {}
    for row in rows:
        members.setdefault(row.queue, []).append(row.campaign_id)
    pairs = iter(zip(campaigns, rows, strict=True))
    while some := list(islice(pairs, DETAILS_BATCH)):
        pipe = scripts.client.pipeline(transaction=False)
        for campaign, row in some:
            pipe.hget(keys.queue_pacing(row.queue), campaign)
            pipe.xrevrange(keys.decisions(campaign), count=1)
            pipe.lrange(keys.samples(campaign), 0, -1)
            pipe.zcard(keys.final(campaign))
            pipe.zcount(keys.dialing(campaign), "-inf", f"({ledger_ms}")
        answers: list[Any] = await pipe.execute()
        details += [_read_details(*answers[at : at + 5]) for at in range(0, len(answers), 5)]
    pipe = scripts.client.pipeline(transaction=False)
    for queue in members:
        pipe.zcard(keys.queue_free(queue))
        pipe.zcard(keys.queue_busy(queue))
        pipe.hvals(keys.queue_agent_activity(queue))
        pipe.zcount(keys.queue_answer_queue(queue), ledger_ms - WAITED_FOR_MS, "+inf")
    told: list[Any] = await pipe.execute() if members else []
    queues = {
        queue: _queue(queue, members[queue], *told[4 * number : 4 * number + 4])
        for number, queue in enumerate(members)
    }
    return details, queues


def _read_details(
    pacing: str | None, decisions: Any, samples: list[str], finished: int, silent: int
) -> _Details:
    return _Details(
        pacing=msgspec.json.decode(pacing, type=CampaignPacing) if pacing else None,
        newest=msgspec.json.decode(decisions[0][1]["record"], type=TickResult) if decisions else None,
        samples=read_samples(samples),
        final=finished,
        silent=silent,
    )


def _queue(
    queue: str, campaigns: list[int | str], free: int, not_free: int, work: list[str], waiting: int
) -> QueueOverview:
    talking = sum(does.startswith("t") for does in work)
    wrapping = sum(does.startswith("w") for does in work)
    away = max(0, not_free - talking - wrapping)
    return QueueOverview(
        queue=queue,
        agents=Agents(free=free, busy=talking, wrapup=wrapping, away=away),
        people_waiting=waiting,
        campaigns=campaigns,
    )


async def _rates(scripts: Scripts, keys: Keys, details: dict[str, _Details]) -> dict[str, AbandonCounts]:
    """As many as may be summed in one reading."""
    windows_h, left_h = dict[str, int](), RATES_HOURS
    for campaign, detail in details.items():
        if detail.pacing is not None and detail.pacing.window_h <= left_h:
            windows_h[campaign] = detail.pacing.window_h
            left_h -= detail.pacing.window_h
    return await read_abandon_counts(scripts, keys, windows_h)


def _campaign(
    row: CampaignRow, detail: _Details, agents: Agents, counts: AbandonCounts | None, now_ms: int
) -> CampaignOverview:
    pacing = detail.pacing
    mode = "" if pacing is None else "adaptive" if pacing.is_adaptive else pacing.mode
    stands = dial_status(str(row.campaign_id), row.status or None, detail.newest, now_ms)
    abandoning = None
    if pacing is not None and counts is not None:
        abandoning = AbandonRate(
            people=counts.people,
            abandoned=counts.abandoned,
            cap=pacing.cap,
            window_h=pacing.window_h,
            rate=counts.rate,
        )
    calls, answered = row.totals["total_calls"], row.totals["answered_calls"]
    samples = detail.samples
    return CampaignOverview(
        campaign_id=row.campaign_id,
        name="" if pacing is None else pacing.name,
        mode=mode,
        status=row.status,
        queue=row.queue,
        is_dialing=stands.is_dialing,
        reason=stands.reason,
        why=stands.sentence,
        agents=agents,
        utilisation=utilisation(samples, agents),
        reserved=row.reserved,
        ringing=row.active_calls,
        connected=row.connected_calls,
        orphaned=row.orphaned + detail.silent,
        calls=calls,
        answered=answered,
        abandoned=row.totals["abandoned"],
        answer_rate=answered / calls if calls else None,
        abandoning=abandoning,
        ready=row.ready,
        deferred=row.deferred,
        previewing=row.previewing,
        final=detail.final,
        pending=samples[-1].pending if samples else None,
        forecast_end=forecast_end(samples),
        course=trends_of(samples),
    )


def _stream(state: StreamState, replicas: Sequence[Replica]) -> StreamOverview:
    handling = [one.state.stages[state.stream] for one in replicas if state.stream in one.state.stages]
    return StreamOverview(
        stream=state.stream,
        length=state.length,
        lag=state.lag,
        pending=state.pending,
        oldest_pending_s=state.oldest_pending_s,
        per_s=round(sum(one.per_s for one in handling), 2),
        consumers=len(state.consumers),
    )
