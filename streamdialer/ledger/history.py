"""What became of a campaign's calls and how long they took, from the records the ledger still has."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys

PAGE: Final = 1000
MAX_CALLS: Final = 100_000
"""Calls that are read: enough for every distribution."""

Outcome = Literal["human", "machine", "busy", "failed", "no_answer"]


class PastCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call that is over."""

    outcome: Outcome
    """`human`: a person answered, whether or not an agent came."""
    rang_s: float | None
    """From sending to the answer or the end; None when nobody said when it was answered."""
    talked_s: float | None
    """From the answer to the end, of calls with an agent or a machine."""


class _Facts(msgspec.Struct, frozen=True):
    answered: Any = msgspec.field(default=None, name="a")
    abandoned: Any = msgspec.field(default=None, name="b")
    by_machine: Any = msgspec.field(default=None, name="m")
    by_silence: Any = msgspec.field(default=None, name="dl")


class _Attempt(msgspec.Struct, frozen=True):
    token: str = msgspec.field(name="t")
    state: str = msgspec.field(name="s")
    facts: _Facts = msgspec.field(name="f")
    disposition: str = msgspec.field(default="", name="d")
    sent_ms: float = msgspec.field(default=0, name="sm")
    answered_ms: float | None = msgspec.field(default=None, name="am")
    ended_ms: float = msgspec.field(default=0, name="em")


class _Record(msgspec.Struct, frozen=True):
    attempts: list[_Attempt] = msgspec.field(default_factory=list, name="h")


async def past_calls(client: Redis, keys: Keys, campaign: str) -> list[PastCall]:
    """The campaign's calls that are over, at most `MOST`, in no order; raises redis.RedisError."""
    found: list[PastCall] = []
    async for _, raw in client.hscan_iter(keys.records(campaign), count=PAGE):
        record = msgspec.json.decode(raw, type=_Record)
        calls = [past_call(attempt) for attempt in record.attempts]
        found += [call for call in calls if call is not None]
        if len(found) >= MAX_CALLS:
            break
    return found


def past_call(attempt: _Attempt) -> PastCall | None:
    """An attempt as a call; None while it is up, and when nobody but the clock has said how it ended."""
    facts = attempt.facts
    if attempt.state != "ended" or attempt.token == "remembered" or facts.by_silence:
        return None
    is_answered = bool(facts.answered or facts.abandoned)
    if not is_answered:
        outcome: Outcome = "failed"
        if attempt.disposition == "busy":
            outcome = "busy"
        elif attempt.disposition == "no_answer":
            outcome = "no_answer"
        elif attempt.disposition == "machine":
            outcome = "machine"
        return PastCall(outcome=outcome, rang_s=_seconds(attempt.sent_ms, attempt.ended_ms), talked_s=None)
    is_machine = bool(facts.by_machine) or attempt.disposition == "machine"
    rang_s = talked_s = None
    if attempt.answered_ms is not None:
        rang_s = _seconds(attempt.sent_ms, attempt.answered_ms)
        if not facts.abandoned:
            talked_s = _seconds(attempt.answered_ms, attempt.ended_ms)
    return PastCall(outcome="machine" if is_machine else "human", rang_s=rang_s, talked_s=talked_s)


def _seconds(begin_ms: float, end_ms: float) -> float:
    return max(0.0, (end_ms - begin_ms) / 1000)
