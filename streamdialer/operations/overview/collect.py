"""Reads the overview: seven round trips for up to two hundred campaigns, no SCAN, nothing written."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from streamdialer.broker.connection import server_ms
from streamdialer.broker.heartbeat import KnownProcess, read_replicas
from streamdialer.broker.keys import STAGES, Keys
from streamdialer.broker.scripts import Scripts
from streamdialer.consumers.dialing.queue_pacing import CampaignPacing, read_pacing
from streamdialer.ledger.abandon_rates import AbandonCounts, read_abandon_counts
from streamdialer.ledger.samples import Sample, read_samples
from streamdialer.ledger.serial_api import FIELDS as SERIAL_API
from streamdialer.ledger.serial_api import read_serial_api
from streamdialer.model import TickResult, has_agents
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
from streamdialer.operations.refused_updates import FIELDS, RefusedUpdates, read_refused_updates
from streamdialer.operations.registry_ages import registry_warnings
from streamdialer.operations.streams import StreamState, stream_states

MAX_CAMPAIGNS: Final = 500
DETAILS_BATCH: Final = 200
"""Campaigns per round trip."""
RATES_HOURS: Final = 3000
"""Hours of abandon rates that one overview sums: four campaigns with a window of a month, or 125 with one of a day."""
WAITED_FOR_MS: Final = 30_000
"""No person waits longer for an agent (`lua/queue_snapshot.lua`)."""


class _Details(msgspec.Struct, frozen=True):
    """What a campaign's row does not have."""

    pacing: CampaignPacing | None
    newest: TickResult | None
    samples: list[Sample]
    final: int
    silent: int
    unconfirmed: int
    refused: RefusedUpdates | None
    caps: str | None
    """As its last tick saved them."""


async def overview(scripts: Scripts, keys: Keys) -> Overview:
    """Raises redis.RedisError, or Unreachable when `scripts` are not patient."""
    client = scripts.client
    now_ms = await server_ms(client)
    pipe = client.pipeline(transaction=False)
    pipe.hkeys(keys.directory)
    pipe.hgetall(keys.server)
    pipe.hmget(keys.api, ["until", "reason", "detail", *SERIAL_API])
    pipe.zrange(keys.replicas, 0, -1, withscores=True)
    pipe.hgetall(keys.replica_states)
    answers: list[Any] = await pipe.execute()
    known, server, (until, reason, detail, *delays), heartbeats, states = answers
    ledger_ms = now_ms + int(server.get("clock_offset") or 0)
    replicas = read_replicas(heartbeats, states, now_ms)
    shown = sort_campaign_ids(known)[:MAX_CAMPAIGNS]
    rows = await campaign_rows(client, keys, shown)
    details, queues = await _details(scripts, keys, shown, rows, ledger_ms)
    rates = await _rates(scripts, keys, dict(zip(shown, details, strict=True)))
    campaigns = [
        _campaign(row, detail, queues[row.queue].agents, rates.get(campaign), now_ms)
        for campaign, row, detail in zip(shown, rows, details, strict=True)
    ]
    streams = await stream_states(client, keys)
    dead = next(stream.length for stream in streams if stream.stream == "dead")
    return Overview(
        at=now_ms,
        campaigns=campaigns,
        unshown=len(known) - len(shown),
        queues=[queues[queue] for queue in sorted(queues) if queue and has_agents(queue)],
        streams=[_stream(stream, replicas) for stream in streams if stream.stream in STAGES],
        replicas=replicas,
        dead=dead,
        alerts=alerts_of(
            now_ms=ledger_ms,
            server=server,
            api_pause=(until, reason, detail),
            serial_api=read_serial_api(delays),
            campaigns=campaigns,
            replicas=replicas,
            dead=dead,
            registries={
                campaign: registry_warnings(detail.caps, server, now_ms)
                for campaign, detail in zip(shown, details, strict=True)
            },
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
    while batch := list(islice(pairs, DETAILS_BATCH)):
        pipe = scripts.client.pipeline(transaction=False)
        for campaign, row in batch:
            pipe.hget(keys.queue_pacing(row.queue), campaign)
            pipe.xrevrange(keys.decisions(campaign), count=1)
            pipe.lrange(keys.samples(campaign), 0, -1)
            pipe.zcard(keys.final(campaign))
            pipe.zcount(keys.dialing(campaign), "-inf", f"({ledger_ms}")
            pipe.hlen(keys.outbox(campaign))
            pipe.hmget(keys.totals(campaign), ["caps", *FIELDS])
        answers: list[Any] = await pipe.execute()
        details += [_read_details(ledger_ms, *answers[at : at + 7]) for at in range(0, len(answers), 7)]
    pipe = scripts.client.pipeline(transaction=False)
    for queue in members:
        pipe.zcard(keys.queue_free(queue))
        pipe.zcard(keys.queue_busy(queue))
        pipe.hvals(keys.queue_agent_activity(queue))
        pipe.zcount(keys.queue_answer_queue(queue), ledger_ms - WAITED_FOR_MS, "+inf")
    counts: list[Any] = await pipe.execute() if members else []
    queues = {
        queue: _queue(queue, members[queue], *counts[4 * number : 4 * number + 4])
        for number, queue in enumerate(members)
    }
    return details, queues


def _read_details(
    ledger_ms: int,
    pacing: str | None,
    decisions: Any,
    samples: list[str],
    final: int,
    silent: int,
    unconfirmed: int,
    totals: list[str | None],
) -> _Details:
    caps, *refused = totals
    return _Details(
        pacing=read_pacing(pacing) if pacing else None,
        newest=msgspec.json.decode(decisions[0][1]["record"], type=TickResult) if decisions else None,
        samples=read_samples(samples),
        final=final,
        silent=silent,
        unconfirmed=unconfirmed,
        refused=read_refused_updates(refused, ledger_ms),
        caps=caps,
    )


def _queue(
    queue: str, campaigns: list[int | str], free: int, not_free: int, activity: list[str], waiting: int
) -> QueueOverview:
    talking = sum(each.startswith("t") for each in activity)
    wrapping = sum(each.startswith("w") for each in activity)
    away = max(0, not_free - talking - wrapping)
    return QueueOverview(
        queue=queue,
        agents=Agents(free=free, busy=talking, wrapup=wrapping, away=away),
        people_waiting=waiting,
        campaigns=campaigns,
    )


async def _rates(scripts: Scripts, keys: Keys, details: dict[str, _Details]) -> dict[str, AbandonCounts]:
    """Those of the first campaigns, as many as `RATES_HOURS` allows."""
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
    status = dial_status(
        str(row.campaign_id), row.status or None, detail.newest, now_ms, auto_paused=row.auto_paused
    )
    abandon_rate = None
    if pacing is not None and counts is not None:
        abandon_rate = AbandonRate(
            answered_by_person=counts.answered_by_person,
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
        is_dialing=status.is_dialing,
        reason=status.reason,
        why=status.sentence,
        agents=agents,
        utilisation=utilisation(samples, agents),
        reserved=row.reserved,
        ringing=row.active_calls,
        silent=detail.silent,
        connected=row.connected_calls,
        orphaned=row.orphaned,
        calls=calls,
        answered=answered,
        abandoned=row.totals["abandoned"],
        answer_rate=answered / calls if calls else None,
        abandon_rate=abandon_rate,
        ready=row.ready,
        deferred=row.deferred,
        previewing=row.previewing,
        final=detail.final,
        unconfirmed=detail.unconfirmed,
        refused_updates=detail.refused,
        pending=samples[-1].pending if samples else None,
        forecast_end=forecast_end(samples),
        trend=trends_of(samples),
    )


def _stream(state: StreamState, replicas: Sequence[KnownProcess]) -> StreamOverview:
    stages = [each.state.stages[state.stream] for each in replicas if state.stream in each.state.stages]
    return StreamOverview(
        stream=state.stream,
        length=state.length,
        lag=state.lag,
        pending=state.pending,
        oldest_pending_s=state.oldest_pending_s,
        per_s=round(sum(stage.per_s for stage in stages), 2),
        consumers={consumer.name: consumer.pending for consumer in state.consumers},
        read=state.read,
    )
