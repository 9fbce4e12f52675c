"""Decision records in words: why a campaign placed as many calls as it did, or none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.consumers.dialing.reasons import LIMITS, NOTICES, REASONS, SKIPPED, WAITING
from streamdialer.model import TickResult
from streamdialer.operations.phrase import Phrase
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

    def not_dialed(reason: str, sentence: Phrase) -> DialStatus:
        return DialStatus(is_dialing=False, reason=reason, sentence=sentence)

    if status is None:
        return not_dialed(
            "unknown_campaign",
            Phrase("Campaign {campaign} is not dialed: it has no status in Redis.", campaign=campaign),
        )
    if status == "paused" and auto_paused:
        return not_dialed(
            "auto_paused",
            Phrase("Campaign {campaign} has paused itself: {why}.", campaign=campaign, why=auto_paused),
        )
    if status != "active":
        return not_dialed(
            "not_active",
            Phrase(
                "Campaign {campaign} is not dialed: its status is {status}, not 'active'.",
                campaign=campaign,
                status=repr(status),
            ),
        )
    if refusal:
        return not_dialed(
            "redis_refuses_writes",
            Phrase(
                "Campaign {campaign} is not dialed: {why} (it says: {refusal}).",
                campaign=campaign,
                why=Phrase(REASONS["redis_refuses_writes"].text),
                refusal=refusal.rstrip("."),
            ),
        )
    if newest is None:
        return not_dialed(
            "no_decisions",
            Phrase(
                "Campaign {campaign} is active, but no tick has decided about it yet: {question}",
                campaign=campaign,
                question=Phrase(DO_THEY_RUN),
            ),
        )
    silent_ms = now_ms - (newest.at or 0)
    if silent_ms > SILENT_MS:
        return not_dialed(
            "no_decisions",
            Phrase(
                "Campaign {campaign} is active, but no tick has decided about it for {seconds} s: {question}",
                campaign=campaign,
                seconds=silent_ms // 1000,
                question=Phrase(DO_THEY_RUN),
            ),
        )
    if newest.reason in ("not_active", "unknown_campaign"):
        return not_dialed(
            "no_decisions",
            Phrase(
                "Campaign {campaign} became active, and no tick has decided about it since.",
                campaign=campaign,
            ),
        )
    if newest.reason is not None:
        return not_dialed(
            newest.reason,
            Phrase(
                "Campaign {campaign} is not dialed: {detail}{skipped}.",
                campaign=campaign,
                detail=_detail(newest),
                skipped=skipped_text(newest),
            ),
        )
    return DialStatus(is_dialing=True, reason=None, sentence=_dialed_text(campaign, newest))


def _detail(record: TickResult) -> Phrase:
    """Why it placed nothing. A record has the words in English; another language adds those of the code."""
    detail = (record.detail or record.reason or "").rstrip(".")
    text = REASONS[record.reason].text if record.reason in REASONS else detail
    if not detail.startswith(text):
        return Phrase("{detail}", detail=detail, text=Phrase(text))
    waiting = Phrase.joined("; ", Phrase(WAITING, number=record.deferred or 0))
    rest = detail.removeprefix(text)
    return Phrase.joined(Phrase(text), waiting if rest == waiting else rest)


def _dialed_text(campaign: str, newest: TickResult) -> Phrase:
    if newest.mode == "preview":
        return Phrase(
            "Campaign {campaign} is in preview mode: an agent requests each call.", campaign=campaign
        )
    if newest.dialed or newest.limit not in LIMITS:
        return Phrase("Campaign {campaign} is dialed.", campaign=campaign)
    return Phrase(
        "Campaign {campaign} is dialed, but places no call at this moment: {why}{skipped}.",
        campaign=campaign,
        why=Phrase(LIMITS[newest.limit].text),
        skipped=skipped_text(newest),
    )


def skipped_text(record: TickResult) -> Phrase:
    """The contacts that the decision skipped, by reason, as the end of a sentence; '' for none."""
    if not record.skipped:
        return Phrase.joined()
    rules = record.why or {}

    def count(reason: str, contacts: int) -> Phrase:
        text = Phrase(SKIPPED[reason].text if reason in SKIPPED else reason.replace("_", " "))
        if reason not in rules:
            return Phrase("{contacts} {text}", contacts=contacts, text=text)
        values = {"contacts": contacts, "text": text, "rule": rules[reason]}
        if reason == "unreadable":
            return Phrase("{contacts} {text} (the first: {rule})", **values)
        return Phrase("{contacts} {text} (the first by {rule})", **values)

    counts = [count(reason, many) for reason, many in record.skipped.items()]
    return Phrase("; skipped: {counts}", counts=_listed(counts))


def _listed(parts: list[Phrase]) -> Phrase:
    return Phrase.joined(*[each for part in parts for each in (", ", part)][1:])


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
        calls = Phrase.counted("{number} call", "{number} calls", records[0].only_ends)
        yield f"Note: {notice.text} ({calls}). What to do: {notice.remedy}."
    for code, detail in (records[0].notices or {}).items() if records else ():
        if code in NOTICES:
            yield f"Note: {NOTICES[code].text} ({detail}). What to do: {NOTICES[code].remedy}."
    for record in records:
        yield f"{_clock(record.at)}  {describe(record)}"


def describe(record: TickResult) -> Phrase:
    """One decision as a sentence or two."""
    if record.reason is not None:
        return Phrase("No call: {why}{skipped}.", why=_detail(record), skipped=skipped_text(record))
    sentence = Phrase("{placed}{skipped}.", placed=_placed(record), skipped=skipped_text(record))
    if record.shadow is None:
        return sentence
    shadow = msgspec.convert(record.shadow, AdaptiveDecision)
    more = Phrase("Adaptive pacing would have placed {number}.", number=shadow.place)
    return Phrase.joined(sentence, " ", more)


def _placed(record: TickResult) -> Phrase:
    placed = Phrase("No call")
    if record.dialed:
        placed = Phrase.counted("Placed {number} call", "Placed {number} calls", record.dialed)
    if record.adaptive is not None:
        return Phrase.joined(placed, ". ", _adaptive(msgspec.convert(record.adaptive, AdaptiveDecision)))
    agents = Phrase.counted("{number} free agent", "{number} free agents", record.available_agents or 0)
    if record.mode == "agentless":
        agents = Phrase.counted("{number} live call", "{number} live calls", record.live_calls or 0)
    ringing = Phrase.counted(
        "{number} unanswered call", "{number} unanswered calls", record.active_calls or 0
    )
    limit = Phrase(LIMITS[record.limit].text if record.limit in LIMITS else str(record.limit))
    return Phrase.joined(placed, ": ", agents, ", ", ringing, f" ({record.mode}); ", limit, _narrowed(record))


def _narrowed(record: TickResult) -> Phrase:
    """How each limit narrowed what could be placed: `12 by its share, 8 after agents, 5 after trunk_channels`."""
    steps = [step for step in record.steps or [] if step[2] < step[1]]
    if not steps:
        return Phrase.joined()
    narrowed = [
        Phrase("{number} after {limit}", number=max(0, after), limit=name) for name, _, after in steps
    ]
    return Phrase(
        " ({number} by its share, {narrowed})", number=max(0, steps[0][1]), narrowed=_listed(narrowed)
    )


def _adaptive(decision: AdaptiveDecision) -> Phrase:
    if decision.limit == "risk":
        why = Phrase(
            "the risk that one more person finds no agent would be {risk:.1%}, and at most {limit:.1%} is allowed now",
            risk=decision.risk,
            limit=decision.risk_limit,
        )
    else:
        why = Phrase(LIMITS[decision.limit].text)
    forecast = Phrase(
        "Within {horizon} s, {coming:.1f} agents become free besides the {available} free now, and {answering:.1f} "
        "people answer ({share:.0%} of calls are answered)",
        horizon=decision.horizon_s,
        coming=decision.coming,
        available=decision.available,
        answering=decision.answering,
        share=decision.p,
    )
    unwanted = Phrase.joined()
    if decision.take_back:
        unwanted = Phrase.counted(
            "; {number} ringing call taken back", "; {number} ringing calls taken back", decision.take_back
        )
    return Phrase.joined(forecast, "; ", why, unwanted)


def _clock(at_ms: int | None) -> str:
    return datetime.fromtimestamp((at_ms or 0) / 1000, UTC).strftime("%H:%M:%S")
