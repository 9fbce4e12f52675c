"""Which keys may be left in Redis when the work is done, why, and until when: the table, and a look that compares."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

ANSWER_S: Final = 300.0
QUEUE_S: Final = 86_400.0
LEARNING_S: Final = 31 * 86_400.0
DECISIONS_S: Final = 7 * 86_400.0
SAMPLES_S: Final = 86_400.0
HEARTBEATS_S: Final = 600.0


class KeyLeak(msgspec.Struct, frozen=True):
    """A kind of key that may be left."""

    pattern: str
    """A regular expression for the whole name."""
    reason: str
    expires_within_s: float | None = None
    """It must have an expiry, at most this far away; None: it must not have one."""


def of_the_installation(result_ttl_s: float) -> list[KeyLeak]:
    """What is left when every campaign has been cleaned up: nothing named after a campaign, unless it expires."""
    return [
        KeyLeak(
            r"dialer:(ticks|calls|events|updates)", "a stream, empty: its consumer group lives inside it"
        ),
        KeyLeak(r"dialer:dead", "entries nobody could handle, for somebody to look at; bounded in number"),
        KeyLeak(r"dialer:previews", "what agents were shown in preview; bounded in number"),
        KeyLeak(r"sd:server", "the ledger's clock and which server's memory it has met"),
        KeyLeak(r"sd:event_watermark", "the newest call events: whether anybody writes them"),
        KeyLeak(r"sd:dnc", "the do-not-call list: for good, or until somebody takes a number from it"),
        KeyLeak(
            r"sd:call_history(:newest)?",
            "who was called lately, for caps; as many as were called in the longest window",
        ),
        KeyLeak(r"sd:trunks", "the trunk of each campaign until it is cleaned up, and the pace of trunks"),
        KeyLeak(r"sd:agents", "in which queue an agent was last seen, for events that name no queue"),
        KeyLeak(
            r"sd:q:[^:]+:(free|busy|state|work)", "the agents of a queue as they were last heard of", QUEUE_S
        ),
        KeyLeak(r"sd:q:[^:]+:answer_queue", "who answered and had no agent within the last minute", QUEUE_S),
        KeyLeak(
            r"sd:q:[^:]+:observations",
            "what the queue's pacing has not learnt from; bounded in number",
            QUEUE_S,
        ),
        KeyLeak(r"sd:q:[^:]+:learning", "what the queue's pacing has learnt; bounded in size", LEARNING_S),
        KeyLeak(r"sd:replicas(:state)?", "the processes that were heard of lately", HEARTBEATS_S),
        KeyLeak(r"sd:tick:\d+-\d+", "the result of a tick, for whoever asked for it", result_ttl_s),
        KeyLeak(r"sd:c:[^:]+:answer:.+", "the answer of a claim: asked again, it must be the same", ANSWER_S),
    ]


def of_campaigns(campaigns: Sequence[str]) -> list[KeyLeak]:
    """What is left besides when these campaigns have been dialed to their end and not been cleaned up."""
    one = "|".join(map(re.escape, campaigns))
    return [
        KeyLeak(rf"campaign:({one})", "the public hash: its numbers are read by others"),
        KeyLeak(rf"sd:c:({one}):totals", "the totals the public hash is written from"),
        KeyLeak(
            rf"sd:c:({one}):(finished|records|contacts)",
            "tombstones: a stale page of the backend must not bring anybody back",
        ),
        KeyLeak(rf"sd:c:({one}):pending_dnc", "who must not be called, where their number is not known yet"),
        KeyLeak(r"sd:contacts_by_number", "which contacts the ledger holds of a number"),
        KeyLeak(rf"sd:c:({one}):decisions", "why was (not) dialed: the last decisions", DECISIONS_S),
        KeyLeak(
            rf"sd:c:({one}):samples",
            "the campaign's last half hour, as a picture; thirty-one samples",
            SAMPLES_S,
        ),
        KeyLeak(r"sd:campaigns", "which campaigns the ledger knows"),
        KeyLeak(r"sd:sweep_schedule", "when a campaign's next tombstone ends"),
        KeyLeak(r"sd:ticks:(slots|waiting)", "the last tick of each kind and campaign"),
        KeyLeak(r"sd:q:[^:]+:(campaigns|pacing)", "the campaigns that share a queue"),
    ]


async def complaints(client: Redis, table: Iterable[KeyLeak]) -> list[str]:
    """Every key that is not in the table, or has not the expiry it should have; [] when all is well."""
    known, found = list(table), []
    names = sorted([str(name) async for name in client.scan_iter(count=1000)])
    for name in names:
        row = next((row for row in known if re.fullmatch(row.pattern, name)), None)
        ttl_ms = int(await client.pttl(name))
        if ttl_ms == -2:
            continue  # has expired meanwhile
        if row is None:
            found.append(f"{name}: nobody knows why it is still there")
        elif row.expires_within_s is None and ttl_ms != -1:
            found.append(f"{name}: is to stay and expires in {ttl_ms} ms")
        elif row.expires_within_s is not None and not 0 <= ttl_ms <= row.expires_within_s * 1000:
            told = "never expires" if ttl_ms == -1 else f"expires in {ttl_ms} ms"
            found.append(f"{name}: {told}, should within {row.expires_within_s:g} s")
    return found


async def unfinished(client: Redis, streams: Iterable[str]) -> list[str]:
    """Entries and consumers that are left in the streams; [] when everything is read and everybody has gone."""
    found = []
    for stream in streams:
        length = int(await client.xlen(stream))
        if length:
            found.append(f"{stream}: {length} entries")
        groups: Any = await client.xinfo_groups(stream) if await client.exists(stream) else []
        found += [
            f"{stream}: {group['consumers']} consumers, {group['pending']} entries pending"
            for group in groups
            if group["consumers"] or group["pending"]
        ]
    return found


def kinds(names: Iterable[str]) -> dict[str, int]:
    """How many keys there are of each kind, numbers in their names taken out."""
    counted = Counter(re.sub(r"\d[\d-]*(\.\d+)?", "N", name) for name in names)
    return dict(counted.most_common())
