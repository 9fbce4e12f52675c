"""How a campaign's calls ended and how long they took, from the records the ledger still has."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.ledger.records import Attempt, decode_contact

PAGE: Final = 1000
MAX_CALLS: Final = 100_000
"""Calls that are read: enough for every distribution."""

Outcome = Literal["human", "machine", "busy", "failed", "no_answer"]


class PastCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call that is over."""

    outcome: Outcome
    """`human`: a person answered, whether or not an agent came."""
    rang_s: float | None
    """From sending to the answer or the end; None when no event said when it was answered."""
    talked_s: float | None
    """From the answer to the end, of calls with an agent or a machine."""


async def past_calls(client: Redis, keys: Keys, campaign: str) -> list[PastCall]:
    """The campaign's calls that are over, `MAX_CALLS` or a few more at most, in no order; raises redis.RedisError."""
    calls: list[PastCall] = []
    async for _, raw in client.hscan_iter(keys.records(campaign), count=PAGE):
        calls += filter(None, map(_past_call, decode_contact(raw).history))
        if len(calls) >= MAX_CALLS:
            break
    return calls


def _past_call(attempt: Attempt) -> PastCall | None:
    """None while the call is up, and when only its deadline says how it ended."""
    facts = attempt.facts
    if attempt.state != "ended" or attempt.is_remembered or facts.silent:
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


def _seconds(begin_ms: float | None, end_ms: float | None) -> float:
    return max(0.0, ((end_ms or 0) - (begin_ms or 0)) / 1000)
