"""Decision records in words: why a campaign placed as many calls as it did, or none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.consumers.dialing.reasons import LIMITS, NOTICES, REASONS, SKIPPED
from streamdialer.model import TickResult
from streamdialer.pacing.adaptive import AdaptiveDecision

SILENT_MS: Final = 120_000
"""A tick decides about an active campaign every few seconds: after this long none is running."""
DO_THEY_RUN: Final = "do `streamdialer tick` and `streamdialer consume` run?"


class DialStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a campaign is dialed, and why not."""

    is_dialing: bool
    reason: str | None
    """The code of why not: the newest decision's, or unknown_campaign, not_active, no_decisions."""
    sentence: str


def dial_status(
    campaign: str,
    status: str | None,
    newest: TickResult | None,
    now_ms: int,
    refusal: str = "",
    auto_paused: str = "",
) -> DialStatus:
    """Its status at `now_ms`, server's time; `status` is the public hash's, None when it has none.

    `refusal` is the server's answer when Redis takes no writes, `auto_paused` why the campaign has paused itself.
    """

    def not_dialed(reason: str, text: str) -> DialStatus:
        return DialStatus(is_dialing=False, reason=reason, sentence=f"Campaign {campaign} {text}")

    if status is None:
        return not_dialed("unknown_campaign", "is not dialed: it has no status in Redis.")
    if status == "paused" and auto_paused:
        return not_dialed("auto_paused", f"has paused itself: {auto_paused}.")
    if status != "active":
        return not_dialed("not_active", f"is not dialed: its status is {status!r}, not 'active'.")
    if refusal:
        text = f"is not dialed: {REASONS['redis_refuses_writes'].text} (it says: {refusal.rstrip('.')})."
        return not_dialed("redis_refuses_writes", text)
    if newest is None:
        return not_dialed("no_decisions", f"is active, but no tick has decided about it yet: {DO_THEY_RUN}")
    silent_ms = now_ms - (newest.at or 0)
    if silent_ms > SILENT_MS:
        text = f"is active, but no tick has decided about it for {silent_ms // 1000} s: {DO_THEY_RUN}"
        return not_dialed("no_decisions", text)
    if newest.reason in ("not_active", "unknown_campaign"):
        return not_dialed("no_decisions", "became active, and no tick has decided about it since.")
    if newest.reason is not None:
        detail = (newest.detail or newest.reason).rstrip(".")
        return not_dialed(newest.reason, f"is not dialed: {detail}{skipped_text(newest)}.")
    return DialStatus(is_dialing=True, reason=None, sentence=_dialed_text(campaign, newest))


def _dialed_text(campaign: str, newest: TickResult) -> str:
    if newest.mode == "preview":
        return f"Campaign {campaign} is in preview mode: an agent requests each call."
    if newest.dialed or newest.limit not in LIMITS:
        return f"Campaign {campaign} is dialed."
    why = LIMITS[newest.limit].text
    return f"Campaign {campaign} is dialed, but places no call at this moment: {why}{skipped_text(newest)}."


def skipped_text(record: TickResult) -> str:
    """The contacts that the decision skipped, by reason, as the end of a sentence; '' for none."""
    if not record.skipped:
        return ""
    rules = record.why or {}

    def count(reason: str, contacts: int) -> str:
        text = SKIPPED[reason].text if reason in SKIPPED else reason.replace("_", " ")
        by = ": " if reason == "unreadable" else " by "
        return f"{contacts} {text}" + (f" (the first{by}{rules[reason]})" if reason in rules else "")

    return "; skipped: " + ", ".join(count(reason, many) for reason, many in record.skipped.items())


async def decisions(client: Redis, keys: Keys, campaign: str, last: int) -> list[TickResult]:
    """The newest decision records of a campaign, newest first; raises redis.RedisError."""
    records: Any = await client.xrevrange(keys.decisions(campaign), count=last)
    return [msgspec.json.decode(fields["record"], type=TickResult) for _, fields in records]


def explain(
    campaign: str,
    status: str | None,
    records: list[TickResult],
    now_ms: int,
    refusal: str = "",
    auto_paused: str = "",
) -> Iterator[str]:
    """Lines for people: first whether it is dialed at `now_ms` (server's time), then each decision, newest first."""
    now = dial_status(campaign, status, records[0] if records else None, now_ms, refusal, auto_paused)
    yield now.sentence
    if now.reason in REASONS and REASONS[now.reason].remedy:
        yield f"What to do: {REASONS[now.reason].remedy}."
    if records and records[0].only_ends:
        notice = NOTICES["only_ends"]
        yield f"Note: {notice.text} ({_count(records[0].only_ends, 'call')}). What to do: {notice.remedy}."
    for code, detail in (records[0].notices or {}).items() if records else ():
        if code in NOTICES:
            yield f"Note: {NOTICES[code].text} ({detail}). What to do: {NOTICES[code].remedy}."
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


def _placed(record: TickResult) -> str:
    calls = _count(record.dialed or 0, "call")
    sentence = f"Placed {calls}" if record.dialed else "No call"
    if record.adaptive is not None:
        return f"{sentence}. {_adaptive(msgspec.convert(record.adaptive, AdaptiveDecision))}"
    agents = _count(record.available_agents or 0, "free agent")
    if record.mode == "agentless":
        agents = _count(record.live_calls or 0, "live call")
    ringing = _count(record.active_calls or 0, "unanswered call")
    limit = LIMITS[record.limit].text if record.limit in LIMITS else record.limit
    return f"{sentence}: {agents}, {ringing} ({record.mode}); {limit}{_narrowed(record)}"


def _narrowed(record: TickResult) -> str:
    """How each limit narrowed what could be placed: `12 by its share, 8 after agents, 5 after trunk_channels`."""
    steps = [step for step in record.steps or [] if step[2] < step[1]]
    if not steps:
        return ""
    narrowed = ", ".join(f"{max(0, after)} after {name}" for name, _, after in steps)
    return f" ({max(0, steps[0][1])} by its share, {narrowed})"


def _adaptive(decision: AdaptiveDecision) -> str:
    if decision.limit == "risk":
        why = (
            f"the risk that one more person finds no agent would be {decision.risk:.1%}, "
            f"and at most {decision.risk_limit:.1%} is allowed now"
        )
    else:
        why = LIMITS[decision.limit].text
    unwanted = f"; {_count(decision.take_back, 'ringing call')} taken back" if decision.take_back else ""
    return (
        f"Within {decision.horizon_s} s, {decision.coming:.1f} agents become free besides the "
        f"{decision.available} free now, and {decision.answering:.1f} people answer "
        f"({decision.p:.0%} of calls are answered); {why}{unwanted}"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _clock(at_ms: int | None) -> str:
    return datetime.fromtimestamp((at_ms or 0) / 1000, UTC).strftime("%H:%M:%S")
