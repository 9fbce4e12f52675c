"""How often a contact may be called: part of the ledger's model, written from docs/rules.md (pure).

Calls outlive their contact: several contacts may share a number, and a contact may come back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from streamdialer.rules.caps import CapRule, Caps
from tests.support.ledger_model import AttemptModel

GAP_S, TWO_IN_S, CALM_S = 45_500, 90_500, 60_500
"""Longer than a retry waits, and no multiples of what the tests' clock moves by."""
LONGEST_S: Final = 10**6


def _rule(reason: str, of: str, count: int, window_s: int, scope: str, *, from_end: bool) -> CapRule:
    return CapRule(reason, of, count, window_s * 1000, scope, reason, from_end)  # type: ignore[arg-type]


KINDS: Final[dict[str, tuple[CapRule, ...]]] = {
    "none": (),
    "gap": (_rule("min_gap", "a", 1, GAP_S, "number", from_end=True),),
    "two": (
        _rule("cap_attempts", "a", 2, TWO_IN_S, "contact", from_end=False),
        _rule("min_gap", "a", 1, GAP_S, "contact", from_end=True),
    ),
    "calm": (
        _rule("cap_conversations", "c", 1, CALM_S, "number", from_end=True),
        _rule("abandon_cooloff", "b", 1, CALM_S, "number", from_end=True),
    ),
}
"""Caps campaigns may have."""


def caps_of_kind(kind: str) -> Caps:
    """As a claim takes them."""
    rules = KINDS[kind]
    return Caps(max((rule.window_ms for rule in rules), default=0), list(rules))


@dataclass(frozen=True)
class CappedModel:
    """Why a contact may not be called, and until when."""

    reason: str
    due: float


def counts_as(attempt: AttemptModel) -> str | None:
    """`c` a conversation with a person, `b` abandoned, `a` any other attempt; None when no call was placed."""
    state, disposition = attempt.outcome
    if attempt.run is None or state == "released":
        return None
    if disposition == "abandoned":
        return "b"
    if attempt.facts.by_machine or disposition == "machine":
        return "a"
    is_spoken = disposition in ("completed", "callback", "do_not_call")
    return "c" if attempt.facts.answered or is_spoken else "a"


def capped(
    kind: str,
    calls: list[tuple[str | None, AttemptModel]],
    campaign: str,
    contact: str,
    number: str | None,
    now: float,
) -> CappedModel | None:
    """Whether one call more is forbidden; `calls` are all ever sent, with the number each called."""
    longest: CappedModel | None = None
    for rule in KINDS[kind]:
        begun = sorted(_begun(rule, calls, campaign, contact, number, now))
        if len(begun) < rule.count:
            continue
        due = begun[-rule.count] + rule.window_ms / 1000
        if longest is None or due > longest.due:
            longest = CappedModel(rule.reason, due)
    return longest


def _begun(
    rule: CapRule,
    calls: list[tuple[str | None, AttemptModel]],
    campaign: str,
    contact: str,
    number: str | None,
    now: float,
) -> Iterator[float]:
    """The time from which each call counts for the rule."""
    by_number = rule.scope == "number" and number is not None
    for called, attempt in calls:
        is_its = called == number if by_number else (attempt.campaign, attempt.contact) == (campaign, contact)
        kind = counts_as(attempt)
        if not is_its or kind is None or rule.of not in ("a", kind):
            continue
        has_ended = rule.from_end and attempt.outcome[0] == "ended"
        at = attempt.ended_at if has_ended else attempt.sent_at
        if now < at + rule.window_ms / 1000:
            yield at
