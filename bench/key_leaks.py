"""Which keys may be in Redis, why, and until when: the table, and the check that compares a server with it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final, get_args

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys, PausingServer

KEYS: Final = Keys()
OWN_CONTACTS: Final = Keys(has_shared_contacts=False)
CLAIM_RESULT_TTL_S: Final = 300.0
QUEUE_TTL_S: Final = 86_400.0
LEARNING_TTL_S: Final = 31 * 86_400.0
DECISIONS_TTL_S: Final = 7 * 86_400.0
SAMPLES_TTL_S: Final = 86_400.0
PERSONS_TTL_S: Final = 86_400.0
HEARTBEATS_TTL_S: Final = 600.0
MAX_CALL_S: Final = 7200.0
MAX_SERVER_PAUSE_S: Final = 3600.0
LIST_PARTS_TTL_S: Final = 60.0
HANGUPS_TTL_S: Final = 3600.0
WEBHOOKS_LEASE_S: Final = 30.0
SETTINGS_TTL_S: Final = 60.0
PENDING_DNC_TTL_S: Final = 400 * 86_400.0


class AllowedKey(msgspec.Struct, frozen=True):
    """A kind of key that may be there."""

    name: str
    """`*` stands for one part of the name, `**` for several."""
    reason: str
    expires_within_s: float | None = None
    """The key must have an expiry, at most this far away; None: it must not have one."""

    def names(self, key: str) -> bool:
        return _pattern(self.name).fullmatch(key) is not None


@cache
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(re.escape(name).replace(r"\*\*", ".+").replace(r"\*", "[^:]+"))


def allowed_after_cleanup(result_ttl_s: float) -> list[AllowedKey]:
    """What stays when every campaign has been cleaned up: nothing named after a campaign, unless it expires."""
    return [
        *(
            AllowedKey(KEYS.stream(stream), "a stream, empty: its consumer group lives inside it")
            for stream in ("ticks", "calls", "events", "updates")
        ),
        AllowedKey(
            KEYS.stream("dead"), "entries that no stage could handle, for an operator; bounded in bytes"
        ),
        *(
            AllowedKey(name, "which dead letters there are, for their bounds")
            for name in KEYS.of_dead_letters[1:]
        ),
        AllowedKey(KEYS.events_retained, "number of events that stay for other consumer groups"),
        AllowedKey(KEYS.previews, "what agents were shown in preview; bounded in number"),
        AllowedKey(KEYS.outcomes, "ended attempts, for other services; bounded in number"),
        AllowedKey(KEYS.blocks, "what rules have blocked, for auditors; bounded in number"),
        AllowedKey(KEYS.webhooks_lease("*"), "which process posts outcomes to an address", WEBHOOKS_LEASE_S),
        AllowedKey(KEYS.hangups, "calls to end while they ring; bounded in number", HANGUPS_TTL_S),
        AllowedKey(KEYS.server, "the ledger's clock, and which server's memory it has met"),
        AllowedKey(
            KEYS.event_watermark, "the newest call events: shows whether a producer still writes them"
        ),
        AllowedKey(
            KEYS.api, "how the Dialer API placed and answered its last calls: some numbers; and its breaker"
        ),
        *(
            AllowedKey(KEYS.paused(server), "how long a server asks for no requests", MAX_SERVER_PAUSE_S)
            for server in get_args(PausingServer)
        ),
        AllowedKey(KEYS.shared_settings("*"), "settings of campaigns, while they are fresh", SETTINGS_TTL_S),
        AllowedKey(
            KEYS.first_events,
            "which attempts were seen lately: one number per second in which any were sent",
            MAX_CALL_S,
        ),
        AllowedKey(KEYS.sources, "the event sources that list calls", MAX_CALL_S),
        AllowedKey(KEYS.source_calls("**"), "the calls that an event source lists", MAX_CALL_S),
        AllowedKey(
            KEYS.list_parts("**"), "a list of an event source of which parts are missing", LIST_PARTS_TTL_S
        ),
        AllowedKey(KEYS.dnc, "the do-not-call list: for good, or until an operator takes a number from it"),
        AllowedKey(
            KEYS.call_history, "who was called lately, for caps; as many as were called in the longest window"
        ),
        AllowedKey(KEYS.call_history_newest, "the order in which the call history is forgotten"),
        *(
            AllowedKey(
                key("*"), "who is called until the backend knows the end, or was a moment ago", PERSONS_TTL_S
            )
            for keys in (KEYS, OWN_CONTACTS)
            for key in (keys.persons_up, keys.persons_called)
        ),
        AllowedKey(
            KEYS.trunks, "the trunk of each campaign until its cleanup, and the rate limits of trunks"
        ),
        AllowedKey(KEYS.caller_ids, "calls per caller id of the last days", 3 * 86_400),
        AllowedKey(KEYS.agents, "the agents of all lists: as many as there are agents"),
        AllowedKey(KEYS.agent_calls, "who has which answered call: one per agent"),
        AllowedKey(KEYS.shared_agents, "the agents who stand in several queues"),
        *(
            AllowedKey(key("*"), "the agents of a queue as they were last reported", QUEUE_TTL_S)
            for key in (
                KEYS.queue_free,
                KEYS.queue_busy,
                KEYS.queue_freed,
                KEYS.queue_guessed,
                KEYS.queue_state,
                KEYS.queue_lists,
                KEYS.queue_agent_activity,
            )
        ),
        AllowedKey(
            KEYS.queue_answer_queue("*"), "who answered and had no agent within the last minute", QUEUE_TTL_S
        ),
        AllowedKey(
            KEYS.queue_observations("*"),
            "what adaptive pacing has not learnt from; bounded in number",
            QUEUE_TTL_S,
        ),
        AllowedKey(
            KEYS.queue_learning("*"), "what adaptive pacing has learnt; bounded in size", LEARNING_TTL_S
        ),
        AllowedKey(KEYS.replicas, "the processes that reported lately", HEARTBEATS_TTL_S),
        AllowedKey(KEYS.replica_states, "what those processes reported", HEARTBEATS_TTL_S),
        AllowedKey(KEYS.tick("*"), "the result of a tick, for the program that asked for it", result_ttl_s),
        AllowedKey(
            KEYS.answer("*", "**"),
            "the answer of a claim: a repeated claim gets the same",
            CLAIM_RESULT_TTL_S,
        ),
    ]


def allowed_for_campaigns(campaigns: Sequence[str]) -> list[AllowedKey]:
    """What stays besides when these campaigns have been dialed to their end and not been cleaned up."""
    rules = [
        AllowedKey(KEYS.directory, "which campaigns the ledger knows"),
        AllowedKey(KEYS.contacts_by_number, "which contacts the ledger holds of a number"),
        AllowedKey(KEYS.sweep_schedule, "when a campaign's next tombstone ends"),
        AllowedKey(KEYS.tick_slots, "the last tick of each kind and campaign"),
        AllowedKey(KEYS.waiting_ticks, "the dial tick of each campaign that waits in the stream"),
        AllowedKey(KEYS.queue_campaigns("*"), "the campaigns that share a queue"),
        AllowedKey(KEYS.queue_pacing("*"), "the pacing of the campaigns that share a queue"),
    ]
    for campaign in campaigns:
        rules += [
            AllowedKey(KEYS.campaign(campaign), "the public hash: other programs read its numbers"),
            AllowedKey(KEYS.totals(campaign), "the totals the public hash is written from"),
            AllowedKey(KEYS.refused(campaign), "finished contacts whose state the backend refused"),
            AllowedKey(
                KEYS.pending_dnc(campaign),
                "who must not be called, where their number is not known yet",
                PENDING_DNC_TTL_S,
            ),
            AllowedKey(KEYS.decisions(campaign), "why was (not) dialed: the last decisions", DECISIONS_TTL_S),
            AllowedKey(
                KEYS.samples(campaign),
                "the last half hour, for the charts; thirty-one samples",
                SAMPLES_TTL_S,
            ),
            *(
                AllowedKey(
                    key(campaign), "tombstones: a stale page of the backend must not bring a contact back"
                )
                for key in (KEYS.final, KEYS.records, KEYS.contacts)
            ),
        ]
    return rules


def allowed_for_contacts_in_progress() -> list[AllowedKey]:
    """What there is besides while a campaign is dialed; each goes when its last contact has left that state."""
    names = ("ready", "deferred", "previewing", "reserved", "dialing", "connected", "orphaned")
    return [
        *(AllowedKey(getattr(KEYS, name)("*"), f"contacts that are {name}") for name in names),
        AllowedKey(KEYS.agent_callbacks("*"), "callbacks in `ready` that wait for their agent"),
        AllowedKey(KEYS.outbox("*"), "states of contacts that the backend has not confirmed"),
        AllowedKey(KEYS.calls_up, "the numbers to which a call may be up"),
    ]


def judge_keys(expiries_ms: Mapping[str, int], table: Iterable[AllowedKey]) -> list[str]:
    """Every key that is not in the table, or has not the expiry it should have; [] when all is well.

    `expiries_ms` holds what PTTL answers: -1 is no expiry, -2 a key that has expired meanwhile.
    """
    known, found = list(table), []
    for name, ttl_ms in sorted(expiries_ms.items()):
        if ttl_ms == -2:
            continue
        rule = next((rule for rule in known if rule.names(name)), None)
        if rule is None:
            found.append(f"{name}: not in the table of allowed keys")
        elif rule.expires_within_s is None and ttl_ms != -1:
            found.append(f"{name}: expires in {ttl_ms} ms, should not expire")
        elif rule.expires_within_s is not None and not 0 <= ttl_ms <= rule.expires_within_s * 1000:
            expiry = "never expires" if ttl_ms == -1 else f"expires in {ttl_ms} ms"
            found.append(f"{name}: {expiry}, should within {rule.expires_within_s:g} s")
    return found


async def find_leaks(client: Redis, table: Iterable[AllowedKey]) -> list[str]:
    """`judge_keys` over every key of the server."""
    names = [str(name) async for name in client.scan_iter(count=1000)]
    pipe: Any = client.pipeline(transaction=False)
    for name in names:
        pipe.pttl(name)
    return judge_keys(dict(zip(names, await pipe.execute(), strict=True)), table)


async def find_unread(client: Redis, streams: Iterable[str]) -> list[str]:
    """Entries and consumers that are left in the streams; [] when all is read and every consumer has gone."""
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


def count_by_kind(names: Iterable[str]) -> dict[str, int]:
    """How many keys there are of each kind, numbers in their names taken out."""
    counted = Counter(re.sub(r"\d[\d-]*(\.\d+)?", "N", name) for name in names)
    return dict(counted.most_common())
