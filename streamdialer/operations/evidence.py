"""Which rule allowed each call of a campaign, and which forbade calls: rows for an auditor.

Calls and blocks are those of `streamdialer backend`, where that is the backend, and of the streams of outcomes and of
blocks. Further rows are the contacts that wait because of a rule.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.config.settings import Settings
from streamdialer.gateways.own_backend import OwnBackend
from streamdialer.ledger.records import decode_contact
from streamdialer.ledger.ticks import RULE_REASONS
from streamdialer.model import Block, plain_id
from streamdialer.operations.outcomes import outcomes

_BATCH: Final = 500
_RULES: Final = {
    "do_not_call": "do-not-call list or the contact's own status",
    "zone_unknown": "the contact's timezone names no place",
}
"""Of blocks that need no other words."""


class EvidenceRow(msgspec.Struct, frozen=True, kw_only=True):
    at: str
    """When the call was sent, the tick decided, or the rows were made; ISO 8601 in UTC."""
    what: str
    """`call`, `block` or `waiting`."""
    campaign: str
    contact: str = ""
    phone_number: str = ""
    result: str = ""
    """How the call ended, or the code of why not."""
    count: int = 1
    """How many contacts the block was for; those that a tick names have rows of their own."""
    rule: str = ""
    """What allowed the call, or forbade it; '' when it is not known."""
    until: str = ""
    """When a waiting contact is looked at again."""
    attempt: str = ""


async def evidence(
    client: Redis, keys: Keys, settings: Settings, campaign: str, from_ms: int, to_ms: int
) -> AsyncIterator[EvidenceRow]:
    """The rows of what happened from `from_ms` until before `to_ms` (Unix ms); raises Unreachable."""
    async for call in _calls(client, keys, settings, campaign, from_ms, to_ms):
        yield EvidenceRow(
            at=str(call["sent_at"]),
            what="call",
            campaign=campaign,
            contact=_text(call.get("contact_id")),
            phone_number=_text(call.get("phone_number")),
            result=_text(call.get("disposition")),
            rule=_text(call.get("allowed_by")),
            attempt=str(call["attempt_id"]),
        )
    async for row in _blocks(client, keys, settings, campaign, from_ms, to_ms):
        yield row
    async for row in _waiting(client, keys, campaign, from_ms, to_ms):
        yield row


async def _calls(
    client: Redis, keys: Keys, settings: Settings, campaign: str, from_ms: int, to_ms: int
) -> AsyncIterator[dict[str, Any]]:
    """Each call once, as its newest outcome says; what allowed it, as its first one says."""
    in_stream: dict[str, dict[str, Any]] = {}
    async for outcome in outcomes(client, keys, campaign=campaign):
        if from_ms <= _ms(outcome.get("sent_at")) < to_ms:
            before = in_stream.get(str(outcome["attempt_id"]), {})
            rule = outcome.get("allowed_by") or before.get("allowed_by")
            in_stream[str(outcome["attempt_id"])] = outcome | {"allowed_by": rule}
    async with OwnBackend(settings) as backend:
        async for call in backend.attempts(campaign, _iso(from_ms), _iso(to_ms)):
            newer = in_stream.pop(str(call["attempt_id"]), {})
            yield call | newer | {"allowed_by": call.get("allowed_by") or newer.get("allowed_by")}
    for call in in_stream.values():
        yield call


async def _blocks(
    client: Redis, keys: Keys, settings: Settings, campaign: str, from_ms: int, to_ms: int
) -> AsyncIterator[EvidenceRow]:
    """Those of the backend, and then those of the stream that it does not have yet."""
    stored = set[str]()
    async with OwnBackend(settings) as backend:
        async for each in backend.blocks(campaign, _iso(from_ms), _iso(to_ms)):
            stored.add(str(each["entry_id"]))
            for row in _rows_of(campaign, str(each["entry_id"]), msgspec.convert(each, Block)):
                yield row
    after = str(from_ms)
    while entries := await _page(client, keys.blocks, after, to_ms):
        for entry, fields in entries:
            if fields["campaign"] != campaign or entry in stored:
                continue
            for block in msgspec.json.decode(fields["blocks"], type=list[Block]):
                for row in _rows_of(campaign, entry, block):
                    yield row
        after = f"({entries[-1][0]}"


def _rows_of(campaign: str, entry: str, block: Block) -> Iterator[EvidenceRow]:
    row = EvidenceRow(
        at=_iso(int(entry.partition("-")[0])),
        what="block",
        campaign=campaign,
        result=block.reason,
        rule=block.rule or _RULES.get(block.reason, ""),
    )
    for contact in block.contacts:
        yield msgspec.structs.replace(row, contact=plain_id(contact))
    if rest := block.count - len(block.contacts):
        yield msgspec.structs.replace(row, count=rest)


async def _page(client: Redis, stream: str, after: str, to_ms: int) -> list[tuple[str, dict[str, str]]]:
    entries: Any = await client.xrange(stream, min=after, max=f"({to_ms}", count=_BATCH)
    return list(entries)


async def _waiting(
    client: Redis, keys: Keys, campaign: str, from_ms: int, to_ms: int
) -> AsyncIterator[EvidenceRow]:
    seconds, microseconds = await client.time()
    now_ms = int(seconds) * 1000 + int(microseconds) // 1000
    if not from_ms <= now_ms < to_ms:
        return
    ahead_ms = int(await client.hget(keys.server, "clock_offset") or 0)
    async for contact, raw in client.hscan_iter(keys.records(campaign), count=_BATCH):
        record = decode_contact(raw)
        if record.wait is None or record.wait.reason not in RULE_REASONS:
            continue
        due_ms: Any = await client.zscore(keys.deferred(campaign), contact)
        yield EvidenceRow(
            at=_iso(now_ms),
            what="waiting",
            campaign=campaign,
            contact=str(contact),
            result=record.wait.reason,
            rule=record.wait.detail or "",
            until="" if due_ms is None else _iso(int(due_ms) - ahead_ms),
        )


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _ms(text: object) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000) if isinstance(text, str) else 0
