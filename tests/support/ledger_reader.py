"""The whole ledger as tests look at it, read in one script.

Records are decoded as production decodes them. What must be true of them is written anew, in `ledger_invariants`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.ledger.records import (
    CONTACT_STATES,
    AgentRecord,
    Attempt,
    ContactRecord,
    ContactState,
    Update,
    decode_contact,
    decode_update,
)
from tests.support.attempt_model import Facts

Stored = TypeVar("Stored")
DEADLINES: Final[tuple[ContactState, ...]] = (
    "reserved",
    "dialing",
    "connected",
    "orphaned",
    "previewing",
    "deferred",
    "final",
)
"""Places whose score is a time; that of `ready` is an order."""


def known_facts(attempt: Attempt) -> Facts:
    """The stored facts, for the model of an attempt."""
    facts, missing_ms = attempt.facts, attempt.facts.missing_at_ms
    return Facts(
        rang=bool(facts.rang),
        answered=bool(facts.answered),
        by_machine=bool(facts.by_machine),
        completed=facts.completed_as,
        failed=facts.failed_as,
        cause=facts.failure_cause or "",
        abandoned=bool(facts.abandoned),
        impossible=bool(facts.never_placed),
        not_placed=bool(facts.not_placed),
        silent=bool(facts.silent),
        endless=bool(facts.without_end),
        missing=missing_ms is not None and (attempt.last_sign_ms or 0) < missing_ms,
        forgotten=bool(facts.forgotten),
        shown_answered=bool(facts.shown_answered),
    )


class CampaignView(msgspec.Struct, frozen=True):
    """One campaign in the ledger."""

    states: Mapping[ContactState, Mapping[str, float]]
    records: Mapping[str, ContactRecord]
    calls_kept: frozenset[str]
    """Contacts whose number is known."""
    outbox: Mapping[str, Update]
    totals: Mapping[str, int]
    public: Mapping[str, str]


class QueueView(msgspec.Struct, frozen=True):
    """One queue's agents and campaigns."""

    free: frozenset[str]
    busy: frozenset[str]
    campaigns: frozenset[str]


class LedgerView(msgspec.Struct, frozen=True):
    """Everything the ledger holds, in one instant."""

    now_ms: float
    """By the ledger's clock."""
    campaigns: Mapping[str, CampaignView]
    queues: Mapping[str, QueueView]
    agents: Mapping[str, AgentRecord]
    agent_calls: Mapping[str, str]
    """Attempt -> agent who has its call."""
    outcomes: Mapping[str, list[dict[str, Any]]] | None
    """Attempt -> what each of its entries in `dialer:outcomes` says, oldest first; None: not read."""
    queue_of: Mapping[str, str]
    due: Mapping[str, float]
    updates: Mapping[str, tuple[str, str]]
    """Entry of `updates` -> campaign and contact it speaks of."""
    ticks: Sequence[Mapping[str, str]]
    calls_up: Mapping[str, set[str]]
    """Number -> the contacts that may be in a call to it, as campaign:contact."""


LOOK: Final = """
local READ = {
  z = function(key) return redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end,
  h = function(key) return redis.call('HGETALL', key) end,
  x = function(key) return redis.call('XRANGE', key, '-', '+') end,
}
local found = { redis.call('TIME') }
for i, key in ipairs(KEYS) do found[i + 1] = READ[string.sub(ARGV[1], i, i)](key) end
return cjson.encode(found)
"""
"""Reads keys as sorted sets, hashes and streams; one reply is much cheaper to read than fifty."""


async def read_ledger(
    client: Redis,
    keys: Keys,
    campaigns: Iterable[str],
    queues: Iterable[str] = (),
    *,
    with_outcomes: bool = True,
) -> LedgerView:
    """Reads it in one script, so that nothing changes in between."""
    campaigns, queues = list(campaigns), list(queues)
    wanted = [
        ("h", keys.server),
        ("h", keys.directory),
        ("z", keys.sweep_schedule),
        ("x", keys.stream("updates")),
        ("x", keys.stream("ticks")),
        ("h", keys.calls_up),
        ("h", keys.agents),
        ("h", keys.agent_calls),
        *([("x", keys.outcomes)] if with_outcomes else []),
    ]
    for campaign in campaigns:
        wanted += [("z", getattr(keys, place)(campaign)) for place in CONTACT_STATES]
        wanted += [
            ("h", keys.records(campaign)),
            ("h", keys.contacts(campaign)),
            ("h", keys.outbox(campaign)),
            ("h", keys.totals(campaign)),
            ("h", keys.campaign(campaign)),
        ]
    for queue in queues:
        wanted += [
            ("z", keys.queue_free(queue)),
            ("z", keys.queue_busy(queue)),
            ("z", keys.queue_campaigns(queue)),
        ]
    kinds, names = zip(*wanted, strict=True)
    found = msgspec.json.decode(await client.eval(LOOK, len(names), *names, "".join(kinds)))
    seconds, micros = found[0]
    replies = iter(found[1:])

    def pairs() -> dict[str, str]:
        flat = next(replies)
        return dict(zip(flat[::2], flat[1::2], strict=True)) if flat else {}

    def scores() -> dict[str, float]:
        return {member: float(score) for member, score in pairs().items()}

    def entries() -> list[tuple[str, dict[str, str]]]:
        return [(entry, dict(zip(flat[::2], flat[1::2], strict=True))) for entry, flat in next(replies) or []]

    clock = pairs()
    wall = int(seconds) * 1000 + int(micros) // 1000
    return LedgerView(
        now_ms=max(wall + int(clock.get("clock_offset", 0)), int(clock.get("last", 0))),
        queue_of=pairs(),
        due=scores(),
        updates={entry: (fields["campaign"], fields["contact"]) for entry, fields in entries()},
        ticks=[fields for _, fields in entries()],
        calls_up={number: set(holders.split()) for number, holders in pairs().items()},
        agents={
            agent: _checked(raw, msgspec.json.Decoder(AgentRecord).decode) for agent, raw in pairs().items()
        },
        agent_calls=pairs(),
        outcomes=_by_attempt(fields for _, fields in entries()) if with_outcomes else None,
        campaigns={
            campaign: CampaignView(
                states={place: scores() for place in CONTACT_STATES},
                records={contact: _checked(raw, decode_contact) for contact, raw in pairs().items()},
                calls_kept=frozenset(pairs()),
                outbox={contact: _checked(raw, decode_update) for contact, raw in pairs().items()},
                totals={name: int(value) for name, value in pairs().items() if value.isdigit()},
                public=pairs(),
            )
            for campaign in campaigns
        },
        queues={
            queue: QueueView(
                free=frozenset(scores()), busy=frozenset(scores()), campaigns=frozenset(scores())
            )
            for queue in queues
        },
    )


def _by_attempt(entries: Iterable[Mapping[str, str]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for fields in entries:
        data = msgspec.json.decode(fields["data"])
        found.setdefault(data["attempt_id"], []).append(data)
    return found


def _checked(raw: str, decode: Callable[[str], Stored]) -> Stored:
    """Decoded; raises AssertionError for a field that `streamdialer.ledger.records` does not list."""
    decoded = decode(raw)
    assert _lists_all_fields(msgspec.to_builtins(decoded), msgspec.json.decode(raw)), raw
    return decoded


def _lists_all_fields(decoded: Any, stored: Any) -> bool:
    """Whether every field of the stored value, at every depth, is one of the decoded value."""
    if isinstance(stored, dict):
        return all(
            name in decoded and _lists_all_fields(decoded[name], inner) for name, inner in stored.items()
        )
    if isinstance(stored, list):
        return all(map(_lists_all_fields, decoded, stored))
    return True


async def move_clock(client: Redis, keys: Keys, seconds: int) -> None:
    """The ledger's clock goes forward; deadlines of every kind come nearer, answers kept by the server do not."""
    pipe: Any = client.pipeline(transaction=True)
    pipe.hincrby(keys.server, "last", seconds * 1000)
    pipe.hincrby(keys.server, "clock_offset", seconds * 1000)
    await pipe.execute()
