"""Decision records in words: why a campaign placed as many calls as it did, or none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.consumers.dialing.reasons import LIMITS, REASONS, SKIPPED
from streamdialer.model import TickResult
from streamdialer.pacing.adaptive import AdaptiveDecision

SILENT_MS: Final = 120_000
"""A dialed campaign is decided about every few seconds: later than this nobody does."""
ASK_WHO_RUNS: Final = "do `streamdialer tick` and `streamdialer consume` run?"


class DialStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a campaign stands, before any figures."""

    is_dialing: bool
    reason: str | None
    """The code of why it is not dialed: the newest decision's, or unknown_campaign, not_active, no_decisions."""
    sentence: str


def dial_status(campaign: str, status: str | None, newest: TickResult | None, now_ms: int) -> DialStatus:
    """How it stands at `now_ms`, server's time; `status` is what its public hash says, None when nothing."""

    def is_not(reason: str, why: str) -> DialStatus:
        return DialStatus(
            is_dialing=False, reason=reason, sentence=f"Campaign {campaign} is not dialed: {why}."
        )

    if status is None:
        return is_not("unknown_campaign", "it has no status in Redis")
    if status != "active":
        return is_not("not_active", f"its status is {status!r}, not 'active'")
    if newest is None:
        return DialStatus(
            is_dialing=False,
            reason="no_decisions",
            sentence=f"Campaign {campaign} is active, and nobody has decided anything about it yet: {ASK_WHO_RUNS}",
        )
    silent_ms = now_ms - (newest.at or 0)
    if silent_ms > SILENT_MS:
        return DialStatus(
            is_dialing=False,
            reason="no_decisions",
            sentence=f"Campaign {campaign} is active, and nobody has decided anything about it for "
            f"{silent_ms // 1000} s: {ASK_WHO_RUNS}",
        )
    if newest.reason in ("not_active", "unknown_campaign"):
        return DialStatus(
            is_dialing=False,
            reason="no_decisions",
            sentence=f"Campaign {campaign} has become active, and nobody has decided anything about it since.",
        )
    if newest.reason is not None:
        return is_not(newest.reason, (newest.detail or newest.reason).rstrip(".") + skipped_text(newest))
    return DialStatus(is_dialing=True, reason=None, sentence=_dialed(campaign, newest))


def _dialed(campaign: str, newest: TickResult) -> str:
    if newest.mode == "preview":
        return f"Campaign {campaign} is in preview: agents ask for each call."
    if newest.dialed or newest.limit not in LIMITS:
        return f"Campaign {campaign} is dialed."
    why = LIMITS[newest.limit].text
    return (
        f"Campaign {campaign} is dialed, with no call to place at this moment: {why}{skipped_text(newest)}."
    )


def skipped_text(record: TickResult) -> str:
    """Whom the decision passed over, by reason, as the end of a sentence; '' for nobody."""
    if not record.skipped:
        return ""
    return "; passed over: " + ", ".join(_passed_over(record, reason) for reason in record.skipped)


async def decisions(client: Redis, keys: Keys, campaign: str, last: int) -> list[TickResult]:
    """The newest decision records of a campaign, newest first; raises redis.RedisError."""
    records: Any = await client.xrevrange(keys.decisions(campaign), count=last)
    return [msgspec.json.decode(fields["record"], type=TickResult) for _, fields in records]


def explain(campaign: str, status: str | None, records: list[TickResult], now_ms: int) -> Iterator[str]:
    """Lines for people: how it stands at `now_ms` (server's time) first, then each decision, newest first."""
    stands = dial_status(campaign, status, records[0] if records else None, now_ms)
    yield stands.sentence
    if stands.reason in REASONS and REASONS[stands.reason].remedy:
        yield f"What to do: {REASONS[stands.reason].remedy}."
    for record in records:
        yield f"{_clock(record.at)}  {describe(record)}"


def describe(record: TickResult) -> str:
    """One decision as a sentence or two."""
    if record.reason is None:
        sentence = _placed(record) + skipped_text(record)
    else:
        sentence = f"No call: {record.detail or record.reason}{skipped_text(record)}"
    sentence = sentence.rstrip(".") + "."
    if record.reason is None and record.shadow is not None:
        shadow = msgspec.convert(record.shadow, AdaptiveDecision)
        sentence += f" Adaptive pacing would have placed {shadow.place}."
    return sentence


def _passed_over(record: TickResult, reason: str) -> str:
    words = SKIPPED[reason].text if reason in SKIPPED else reason.replace("_", " ")
    counted = f"{(record.skipped or {})[reason]} {words}"
    rule = (record.why or {}).get(reason)
    return counted if rule is None else f"{counted} (the first by {rule})"


def _placed(record: TickResult) -> str:
    calls = _count(record.dialed or 0, "call")
    sentence = f"Placed {calls}" if record.dialed else "No call"
    if record.adaptive is not None:
        return f"{sentence}. {_adaptive(msgspec.convert(record.adaptive, AdaptiveDecision))}"
    agents = _count(record.available_agents or 0, "free agent")
    ringing = _count(record.active_calls or 0, "unanswered call")
    limit = LIMITS[record.limit].text if record.limit in LIMITS else record.limit
    return f"{sentence}: {agents}, {ringing} ({record.mode}); {limit}{_narrowed(record)}"


def _narrowed(record: TickResult) -> str:
    """How each limit narrowed what could be placed: `12 by its share, 8 after agents, 5 after trunk_channels`."""
    steps = [step for step in record.steps or [] if step[2] < step[1]]
    if not steps:
        return ""
    told = ", ".join(f"{max(0, after)} after {name}" for name, _, after in steps)
    return f" ({max(0, steps[0][1])} by its share, {told})"


def _adaptive(decision: AdaptiveDecision) -> str:
    outlook = (
        f"Within {decision.horizon_s} s {decision.coming:.1f} agents come free beside the {decision.available} "
        f"free now, and {decision.answering:.1f} people answer (a call is answered with {decision.p:.0%})"
    )
    match decision.limit:
        case "risk":
            why = (
                f"one more person would find no agent with {decision.risk:.1%}, "
                f"and {decision.risk_limit:.1%} is allowed now"
            )
        case limit:
            why = LIMITS[limit].text
    return f"{outlook}; {why}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _clock(at_ms: int | None) -> str:
    return datetime.fromtimestamp((at_ms or 0) / 1000, UTC).strftime("%H:%M:%S")
