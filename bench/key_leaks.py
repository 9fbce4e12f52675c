"""The keys that may be left in Redis when all work is done, with reason and expiry, and the check against the table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

CLAIM_RESULT_TTL_S: Final = 300.0
QUEUE_TTL_S: Final = 86_400.0
LEARNING_TTL_S: Final = 31 * 86_400.0
DECISIONS_TTL_S: Final = 7 * 86_400.0
SAMPLES_TTL_S: Final = 86_400.0
HEARTBEATS_TTL_S: Final = 600.0


class AllowedKey(msgspec.Struct, frozen=True):
    """A kind of key that may be left in Redis."""

    pattern: str
    """Regular expression for the whole name."""
    reason: str
    expires_within_s: float | None = None
    """It must expire within this time; None: it must not expire."""


def allowed_after_cleanup(result_ttl_s: float) -> list[AllowedKey]:
    """When every campaign has been cleaned up: no key named after a campaign, unless it expires."""
    return [
        AllowedKey(r"dialer:(ticks|calls|events|updates)", "an empty stream: it holds its consumer group"),
        AllowedKey(r"dialer:dead", "dead letters, for an operator; bounded in number"),
        AllowedKey(r"dialer:previews", "previews that agents were shown; bounded in number"),
        AllowedKey(r"sd:server", "the ledger's clock, and which server it trusts"),
        AllowedKey(r"sd:event_watermark", "the newest call events: whether any are written"),
        AllowedKey(r"sd:dnc", "the do-not-call list: a number stays until somebody removes it"),
        AllowedKey(
            r"sd:call_history(:newest)?",
            "recent calls by number, for caps; as many as were called in the longest window",
        ),
        AllowedKey(
            r"sd:trunks", "the trunk of each campaign until its cleanup, and the rate limits of trunks"
        ),
        AllowedKey(r"sd:agents", "the last queue of each agent, for events that name no queue"),
        AllowedKey(
            r"sd:q:[^:]+:(free|busy|state|agent_activity)",
            "the last known state of the queue's agents",
            QUEUE_TTL_S,
        ),
        AllowedKey(
            r"sd:q:[^:]+:answer_queue",
            "calls answered in the last minute that had no agent yet",
            QUEUE_TTL_S,
        ),
        AllowedKey(
            r"sd:q:[^:]+:observations",
            "what the queue's pacing has not learnt from yet; bounded in number",
            QUEUE_TTL_S,
        ),
        AllowedKey(
            r"sd:q:[^:]+:learning", "what the queue's pacing has learnt; bounded in size", LEARNING_TTL_S
        ),
        AllowedKey(r"sd:replicas(:state)?", "the heartbeats of recent processes", HEARTBEATS_TTL_S),
        AllowedKey(r"sd:tick:\d+-\d+", "the result of a tick, for its sender", result_ttl_s),
        AllowedKey(
            r"sd:c:[^:]+:answer:.+",
            "the result of a claim: a repeated claim gets the same one",
            CLAIM_RESULT_TTL_S,
        ),
    ]


def allowed_for_campaigns(campaigns: Sequence[str]) -> list[AllowedKey]:
    """What may be left in addition while these campaigns are dialed to their end and not cleaned up."""
    ids = "|".join(map(re.escape, campaigns))
    return [
        AllowedKey(rf"campaign:({ids})", "the public hash, read by other programs"),
        AllowedKey(rf"sd:c:({ids}):totals", "the totals that the public hash is written from"),
        AllowedKey(
            rf"sd:c:({ids}):(final|records|contacts)",
            "final contacts: an outdated page of the backend must not load them again",
        ),
        AllowedKey(
            rf"sd:c:({ids}):pending_dnc", "do-not-call requests of contacts whose number is not known"
        ),
        AllowedKey(r"sd:contacts_by_number", "the contacts of each number"),
        AllowedKey(rf"sd:c:({ids}):decisions", "the last decisions of dial ticks", DECISIONS_TTL_S),
        AllowedKey(
            rf"sd:c:({ids}):samples", "the last half hour for the charts; thirty-one samples", SAMPLES_TTL_S
        ),
        AllowedKey(r"sd:campaigns", "the campaigns that the ledger knows"),
        AllowedKey(r"sd:sweep_schedule", "when the next final contact of each campaign expires"),
        AllowedKey(r"sd:(tick_slots|ticks:waiting)", "the last tick of each kind and campaign"),
        AllowedKey(r"sd:q:[^:]+:(campaigns|pacing)", "the campaigns that share a queue"),
    ]


async def find_leaks(client: Redis, allowed: Sequence[AllowedKey]) -> list[str]:
    """Every key that is not in the table or has the wrong expiry, in words; [] when there is none."""
    leaks = []
    for name in sorted([str(name) async for name in client.scan_iter(count=1000)]):
        row = next((row for row in allowed if re.fullmatch(row.pattern, name)), None)
        ttl_ms = int(await client.pttl(name))
        if ttl_ms == -2:
            continue  # has expired meanwhile
        if row is None:
            leaks.append(f"{name}: not in the table of allowed keys")
        elif row.expires_within_s is None and ttl_ms != -1:
            leaks.append(f"{name}: expires in {ttl_ms} ms, should not expire")
        elif row.expires_within_s is not None and not 0 <= ttl_ms <= row.expires_within_s * 1000:
            expiry = "never expires" if ttl_ms == -1 else f"expires in {ttl_ms} ms"
            leaks.append(f"{name}: {expiry}, should within {row.expires_within_s:g} s")
    return leaks


async def find_unread(client: Redis, streams: Iterable[str]) -> list[str]:
    """Entries and consumers that are left in the streams, in words; [] when there is none."""
    left = []
    for stream in streams:
        length = int(await client.xlen(stream))
        if length:
            left.append(f"{stream}: {length} entries")
        groups: Any = await client.xinfo_groups(stream) if await client.exists(stream) else []
        left += [
            f"{stream}: {group['consumers']} consumers, {group['pending']} entries pending"
            for group in groups
            if group["consumers"] or group["pending"]
        ]
    return left


def count_by_kind(names: Iterable[str]) -> dict[str, int]:
    """Number of keys of each kind: their names without the numbers in them."""
    kinds = Counter(re.sub(r"\d[\d-]*(\.\d+)?", "N", name) for name in names)
    return dict(kinds.most_common())
