"""The whole ledger as tests look at it, read in one pipeline: the only place that knows how records are stored.

What the scripts write (`lua/lib/campaign.lua`, `attempts.lua`, `outbox.lua`, `clock.lua`) becomes plain values here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from tests.support.attempt_model import Facts, State

ContactState = Literal[
    "ready", "deferred", "previewing", "reserved", "dialing", "connected", "orphaned", "final"
]
STATES: Final[tuple[ContactState, ...]] = (
    "ready",
    "deferred",
    "previewing",
    "reserved",
    "dialing",
    "connected",
    "orphaned",
    "final",
)
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


class StoredFacts(msgspec.Struct, forbid_unknown_fields=True):
    """`f` of an attempt."""

    r: int = 0
    a: int = 0
    m: int = 0
    b: int = 0
    i: int = 0
    z: int = 0
    dl: int = 0
    mx: int = 0
    u: int = 0
    w: int = 0
    c: str | None = None
    x: str | None = None
    xc: str | None = None

    def read(self) -> Facts:
        return Facts(
            rang=bool(self.r),
            answered=bool(self.a),
            by_machine=bool(self.m),
            completed=self.c,
            failed=self.x,
            cause=self.xc or "",
            abandoned=bool(self.b),
            impossible=bool(self.i),
            not_placed=bool(self.z),
            silent=bool(self.dl),
            endless=bool(self.mx),
            forgotten=bool(self.u),
            shown_answered=bool(self.w),
        )


class StoredHistory(msgspec.Struct):
    """What had been when an attempt was reserved."""

    counted: int = msgspec.field(name="a")
    uncounted_in_a_row: int = msgspec.field(name="u")
    ended_by: dict[str, int] = msgspec.field(name="k", default_factory=dict)


class StoredAttempt(msgspec.Struct):
    """One attempt of a record, as `lua/lib/attempts.lua` writes it."""

    number: int = msgspec.field(name="n")
    id: str
    token: str = msgspec.field(name="t")
    state: State = msgspec.field(name="s")
    facts: StoredFacts = msgspec.field(name="f")
    past: StoredHistory = msgspec.field(name="p")
    reserved_ms: float = msgspec.field(name="rm")
    rule: str | None = msgspec.field(name="y", default=None)
    is_uncounted: bool = msgspec.field(name="u", default=False)
    run: str | None = msgspec.field(name="b", default=None)
    disposition: str | None = msgspec.field(name="d", default=None)
    verdict: str | None = msgspec.field(name="v", default=None)
    call_id: str | None = msgspec.field(name="c", default=None)
    reply_id: str | None = msgspec.field(name="rc", default=None)
    sent_ms: float | None = msgspec.field(name="sm", default=None)
    ended_ms: float | None = msgspec.field(name="em", default=None)
    callback: str | None = msgspec.field(name="cb", default=None)
    sent_after: str | None = msgspec.field(name="ev", default=None)


class StoredCallback(msgspec.Struct):
    """The newest callback asked for, as `schedule_callback.lua` writes it."""

    request: str = msgspec.field(name="e")
    due_ms: float = msgspec.field(name="at")
    had: bool = False


class StoredWait(msgspec.Struct):
    """Why a contact waits."""

    reason: str = msgspec.field(name="y")


class Record(msgspec.Struct):
    """A contact's record."""

    state: ContactState = msgspec.field(name="p")
    attempts: int = msgspec.field(name="a")
    history: list[StoredAttempt] = msgspec.field(name="h", default_factory=list)
    is_suppressed: bool = msgspec.field(name="dnc", default=False)
    callback: StoredCallback | None = msgspec.field(name="cb", default=None)
    wait: StoredWait | None = msgspec.field(name="w", default=None)


class Document(msgspec.Struct):
    """What the backend does not know yet of a contact."""

    version: int = msgspec.field(name="v")
    status: str = msgspec.field(name="s")
    entry: str = msgspec.field(name="e")
    attempts: int | None = msgspec.field(name="a", default=None)


class CampaignView(msgspec.Struct, frozen=True):
    """One campaign in the ledger."""

    states: Mapping[ContactState, Mapping[str, float]]
    records: Mapping[str, Record]
    calls_kept: frozenset[str]
    """Contacts whose number is known."""
    outbox: Mapping[str, Document]
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
    queue_of: Mapping[str, str]
    due: Mapping[str, float]
    updates: Mapping[str, tuple[str, str]]
    """Entry of `updates` -> campaign and contact it speaks of."""
    ticks: Sequence[Mapping[str, str]]


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
    client: Redis, keys: Keys, campaigns: Iterable[str], queues: Iterable[str] = ()
) -> LedgerView:
    """Reads it in one script, so that nothing changes in between."""
    campaigns, queues = list(campaigns), list(queues)
    wanted = [
        ("h", keys.server),
        ("h", keys.directory),
        ("z", keys.sweep_schedule),
        ("x", keys.stream("updates")),
        ("x", keys.stream("ticks")),
    ]
    for campaign in campaigns:
        wanted += [("z", getattr(keys, place)(campaign)) for place in STATES]
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
        campaigns={
            campaign: CampaignView(
                states={place: scores() for place in STATES},
                records={contact: _record.decode(raw) for contact, raw in pairs().items()},
                calls_kept=frozenset(pairs()),
                outbox={contact: _document.decode(raw) for contact, raw in pairs().items()},
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


_record = msgspec.json.Decoder(Record)
_document = msgspec.json.Decoder(Document)


async def move_clock(client: Redis, keys: Keys, seconds: int) -> None:
    """The ledger's clock goes forward; deadlines of every kind come nearer, answers kept by the server do not."""
    pipe: Any = client.pipeline(transaction=True)
    pipe.hincrby(keys.server, "last", seconds * 1000)
    pipe.hincrby(keys.server, "clock_offset", seconds * 1000)
    await pipe.execute()
