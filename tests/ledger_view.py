"""The whole ledger as tests look at it, read in one pipeline: the only place that knows how records are stored.

What the scripts write (`lua/lib/campaign.lua`, `attempts.lua`, `outbox.lua`, `clock.lua`) becomes plain values here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from redis.asyncio import Redis

from streamdialer.keys import Keys
from tests.attempt_model import Facts, State

Place = Literal["ready", "waiting", "reserved", "unanswered", "connected", "in_doubt", "finished"]
PLACES: Final[tuple[Place, ...]] = (
    "ready",
    "waiting",
    "reserved",
    "unanswered",
    "connected",
    "in_doubt",
    "finished",
)
DEADLINES: Final[tuple[Place, ...]] = (
    "reserved",
    "unanswered",
    "connected",
    "in_doubt",
    "waiting",
    "finished",
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

    def read(self) -> Facts:
        return Facts(
            rang=bool(self.r),
            answered=bool(self.a),
            by_machine=bool(self.m),
            completed=self.c,
            failed=self.x,
            abandoned=bool(self.b),
            impossible=bool(self.i),
            not_placed=bool(self.z),
            silent=bool(self.dl),
            endless=bool(self.mx),
            forgotten=bool(self.u),
            shown_answered=bool(self.w),
        )


class StoredAttempt(msgspec.Struct):
    """One attempt of a record, as `lua/lib/attempts.lua` writes it."""

    number: int = msgspec.field(name="n")
    id: str
    token: str = msgspec.field(name="t")
    state: State = msgspec.field(name="s")
    facts: StoredFacts = msgspec.field(name="f")
    max_attempts: int = msgspec.field(name="mr")
    reserved_ms: float = msgspec.field(name="rm")
    run: str | None = msgspec.field(name="b", default=None)
    disposition: str | None = msgspec.field(name="d", default=None)
    verdict: str | None = msgspec.field(name="v", default=None)
    call_id: str | None = msgspec.field(name="c", default=None)
    reply_id: str | None = msgspec.field(name="rc", default=None)
    sent_ms: float | None = msgspec.field(name="sm", default=None)
    ended_ms: float | None = msgspec.field(name="em", default=None)
    sent_after: str | None = msgspec.field(name="ev", default=None)


class Record(msgspec.Struct):
    """A contact's record."""

    place: Place = msgspec.field(name="p")
    attempts: int = msgspec.field(name="a")
    history: list[StoredAttempt] = msgspec.field(name="h", default_factory=list)


class Document(msgspec.Struct):
    """What the backend does not know yet of a contact."""

    version: int = msgspec.field(name="v")
    status: str = msgspec.field(name="s")
    entry: str = msgspec.field(name="e")
    attempts: int | None = msgspec.field(name="a", default=None)


class CampaignView(msgspec.Struct, frozen=True):
    """One campaign in the ledger."""

    places: Mapping[Place, Mapping[str, float]]
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


async def read_ledger(
    client: Redis, keys: Keys, campaigns: Iterable[str], queues: Iterable[str] = ()
) -> LedgerView:
    """Reads it in one transaction, so that no script runs in between."""
    campaigns, queues = list(campaigns), list(queues)
    pipe: Any = client.pipeline(transaction=True)
    pipe.time()
    pipe.hmget(keys.server, "last", "ahead")
    pipe.hgetall(keys.directory)
    pipe.zrange(keys.due, 0, -1, withscores=True)
    pipe.xrange(keys.stream("updates"))
    pipe.xrange(keys.stream("ticks"))
    for campaign in campaigns:
        for place in PLACES:
            pipe.zrange(getattr(keys, place)(campaign), 0, -1, withscores=True)
        pipe.hgetall(keys.records(campaign))
        pipe.hkeys(keys.contacts(campaign))
        pipe.hgetall(keys.outbox(campaign))
        pipe.hgetall(keys.totals(campaign))
        pipe.hgetall(keys.campaign(campaign))
    for queue in queues:
        pipe.zrange(keys.queue_free(queue), 0, -1)
        pipe.zrange(keys.queue_busy(queue), 0, -1)
        pipe.zrange(keys.queue_campaigns(queue), 0, -1)
    answers = iter(await pipe.execute())
    (seconds, micros), (last, ahead) = next(answers), next(answers)
    wall = seconds * 1000 + micros // 1000
    return LedgerView(
        now_ms=max(wall + int(ahead or 0), int(last or 0)),
        queue_of=next(answers),
        due=dict(next(answers)),
        updates={entry: (fields["campaign"], fields["contact"]) for entry, fields in next(answers)},
        ticks=[fields for _, fields in next(answers)],
        campaigns={
            campaign: CampaignView(
                places={place: dict(next(answers)) for place in PLACES},
                records={
                    contact: msgspec.json.decode(raw, type=Record) for contact, raw in next(answers).items()
                },
                calls_kept=frozenset(next(answers)),
                outbox={
                    contact: msgspec.json.decode(raw, type=Document) for contact, raw in next(answers).items()
                },
                totals={name: int(value) for name, value in next(answers).items() if value.isdigit()},
                public=next(answers),
            )
            for campaign in campaigns
        },
        queues={
            queue: QueueView(*(frozenset(next(answers)) for _ in QueueView.__struct_fields__))
            for queue in queues
        },
    )


async def move_clock(client: Redis, keys: Keys, seconds: int) -> None:
    """The ledger's clock goes forward; deadlines of every kind come nearer, answers kept by the server do not."""
    pipe: Any = client.pipeline(transaction=True)
    pipe.hincrby(keys.server, "last", seconds * 1000)
    pipe.hincrby(keys.server, "ahead", seconds * 1000)
    await pipe.execute()
