"""The calls that ring and talk now, and the newest attempts that have ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.ledger.records import ContactRecord, decode_contact
from streamdialer.model import ContactData, normalise_id, wire_id
from streamdialer.observability.redaction import mask_number
from streamdialer.operations.overview.views import CampaignOverview

MAX_LIVE: Final = 200
"""More live calls are not read."""
MAX_ENDED: Final = 100
Phase = Literal["sent", "ringing", "waiting", "talking", "uncertain"]
_decode_call: Final = msgspec.json.Decoder(ContactData).decode


class LiveCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call that may be up; times are the server's ms."""

    campaign_id: int | str
    contact_id: int | str
    number: str
    """Masked."""
    phase: Phase
    """waiting: a person has answered, and no agent is known to have the call; uncertain: past its deadline."""
    since: int | None
    """Of the answer, else of sending."""
    agent: str
    attempt: int


class EndedCall(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `dialer:outcomes` (docs/outcomes.md)."""

    attempt_id: str
    campaign_id: int | str
    contact_id: int | str
    disposition: str
    attempt: int
    ended_at: str | None = None
    phone_number: str | None = None
    cause: str | None = None
    agent_id: str | None = None
    duration: float | None = None
    final: bool = False

    @property
    def number(self) -> str:
        return mask_number(self.phone_number)


_decode_ended: Final = msgspec.json.Decoder(EndedCall).decode


async def live_calls(
    client: Redis, keys: Keys, campaigns: Sequence[CampaignOverview], now_ms: int
) -> list[LiveCall]:
    """`MAX_LIVE` at most, of the first campaigns; within a campaign the longest conversations first.

    Raises redis.RedisError.
    """
    busy, room = list[str](), MAX_LIVE
    for campaign in campaigns:
        if room > 0 and campaign.ringing + campaign.connected:
            busy.append(normalise_id(campaign.campaign_id))
            room -= campaign.ringing + campaign.connected
    pipe = client.pipeline(transaction=False)
    pipe.hget(keys.server, "clock_offset")
    for name in busy:
        pipe.zrange(keys.connected(name), 0, MAX_LIVE - 1)
        pipe.zrange(keys.dialing(name), 0, MAX_LIVE - 1)
    offset, *sets = await pipe.execute()
    contacts = [
        (name, contact) for at, name in enumerate(busy) for contact in [*sets[2 * at], *sets[2 * at + 1]]
    ][:MAX_LIVE]
    pipe = client.pipeline(transaction=False)
    for name, contact in contacts:
        pipe.hget(keys.records(name), contact)
        pipe.hget(keys.contacts(name), contact)
        pipe.zscore(keys.dialing(name), contact)
    answers: Any = await pipe.execute()
    records = [decode_contact(raw) if raw else None for raw in answers[::3]]
    agentless = {normalise_id(each.campaign_id) for each in campaigns if not each.has_agents}
    attempts = [record.newest.id for record in records if record and record.newest]
    holders: Any = await client.hmget(keys.agent_calls, attempts) if attempts else []
    agents = dict(zip(attempts, holders, strict=True))
    calls = [
        _live_call(
            *(campaign, contact, record, call, deadline, agents, now_ms + int(offset or 0)),
            is_agentless=campaign in agentless,
        )
        for (campaign, contact), record, call, deadline in zip(
            contacts, records, answers[1::3], answers[2::3], strict=True
        )
        if record
    ]
    return [
        msgspec.structs.replace(call, since=None if call.since is None else call.since - int(offset or 0))
        for call in calls
        if call is not None
    ]


def _live_call(
    campaign: str,
    contact: str,
    record: ContactRecord,
    call: str | None,
    deadline: float | None,
    agents: dict[str, str | None],
    ledger_ms: int,
    *,
    is_agentless: bool,
) -> LiveCall | None:
    """None when the call has ended since its contact was found; `since` is ledger ms."""
    attempt = record.newest
    if attempt is None or attempt.state not in ("sent", "ringing", "answered"):
        return None
    agent = agents.get(attempt.id) or attempt.agent_at_answer or ""
    phase: Phase = "ringing" if attempt.state == "ringing" else "sent"
    if attempt.state == "answered":
        phase = "talking" if agent or attempt.facts.by_machine or is_agentless else "waiting"
    elif deadline is not None and deadline < ledger_ms:
        phase = "uncertain"
    data = _decode_call(call) if call else None
    numbers = [] if data is None else data.phones or [data.phone_number]
    index = 1 if attempt.phone_index is None else attempt.phone_index
    since = attempt.answered_ms or attempt.sent_ms
    return LiveCall(
        campaign_id=wire_id(campaign),
        contact_id=wire_id(contact),
        number=mask_number(numbers[index - 1] if 0 < index <= len(numbers) else attempt.called_number),
        phase=phase,
        since=None if since is None else round(since),
        agent=agent,
        attempt=attempt.number,
    )


async def newest_ended(client: Redis, keys: Keys) -> list[EndedCall]:
    """The last `MAX_ENDED` attempts that ended, newest first; of a corrected one the correction alone.

    Raises redis.RedisError.
    """
    entries: Any = await client.xrevrange(keys.outcomes, count=MAX_ENDED)
    newest: dict[str, EndedCall] = {}
    for _, fields in entries:
        try:
            ended = _decode_ended(fields.get("data", ""))
        except (msgspec.DecodeError, UnicodeError):
            continue  # another program has written it
        newest.setdefault(ended.attempt_id, ended)
    return list(newest.values())
