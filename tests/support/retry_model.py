"""What follows the end of an attempt: part of the ledger's model, written from docs/retries.md (pure)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from streamdialer.model import CampaignSettings
from streamdialer.rules.retry import RetryPlan, retry_plan

RETRY_S: Final = 30_500
MAX_ATTEMPTS: Final = 3
UNCOUNTED_IN_A_ROW: Final = 2

CAUSES: Final = {
    "": ("", None),
    "Q.850;cause=17": ("q850:17", "busy"),
    "34": ("q850:34", "congestion"),
    "SIP/2.0 503 Service Unavailable": ("sip:503", "congestion"),
    "1": ("q850:1", "invalid"),
    "16": ("q850:16", None),
}
"""Cause as a producer writes it -> its code, and the disposition it gives a call without other facts."""


@dataclass(frozen=True)
class RuleModel:
    """The delay to the next attempt, after how many such ends there is none, and whether such an attempt counts."""

    delay_s: float
    limit: int | None = None
    counts: bool = True
    doubles: bool = False


PLAIN: Final = {
    "no_answer": RuleModel(RETRY_S),
    "busy": RuleModel(RETRY_S),
    "failed": RuleModel(RETRY_S),
    "congestion": RuleModel(RETRY_S, counts=False),
    "cancelled": RuleModel(RETRY_S, counts=False),
}
WISHES: Final[dict[str, Any]] = {
    "uncounted_in_a_row": UNCOUNTED_IN_A_ROW,
    "busy": {"limit": 1},
    "machine": {"delay": 2 * RETRY_S},
    "q850:34": {"longest_delay": 10 * RETRY_S},
    "q850:16": {"counts": False, "limit": 2},
}
WISHED: Final = {
    **PLAIN,
    "busy": RuleModel(RETRY_S, limit=1),
    "machine": RuleModel(2 * RETRY_S),
    "q850:34": RuleModel(RETRY_S, counts=False, doubles=True),
    "q850:16": RuleModel(RETRY_S, limit=2, counts=False),
}


@dataclass(frozen=True)
class PlanModel:
    """A campaign's plan."""

    max_attempts: int
    rules: dict[str, RuleModel]
    in_a_row: int


def plans(max_attempts: int, is_plain: bool) -> tuple[RetryPlan, PlanModel]:
    """A plan as the ledger takes it, and its model."""
    settings = CampaignSettings(
        queue_name="any",
        max_retries=max_attempts,
        retry_delay=RETRY_S,
        retry_rules=None if is_plain else WISHES,
    )
    rules, in_a_row = (PLAIN, 5) if is_plain else (WISHED, UNCOUNTED_IN_A_ROW)
    return retry_plan(settings), PlanModel(max_attempts, rules, in_a_row)


@dataclass(frozen=True)
class History:
    """The history when an attempt was reserved."""

    counted: int
    uncounted_in_a_row: int = 0
    ended_by: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class After:
    """What follows."""

    key: str
    is_counted: bool
    delay_s: float | None
    """To the next attempt; None when there is none."""


def after(plan: PlanModel, past: History, kind: str, cause: str) -> After:
    """What follows an attempt with this end."""
    key = cause if cause in plan.rules else kind
    rule = plan.rules.get(key)
    if rule is None:
        return After(key, True, None)
    is_counted = rule.counts or past.uncounted_in_a_row >= plan.in_a_row
    times = past.ended_by[key] + 1
    is_over = rule.limit is not None and times >= rule.limit
    if is_over or past.counted + is_counted >= plan.max_attempts:
        return After(key, is_counted, None)
    return After(key, is_counted, min(rule.delay_s * (2 ** (times - 1) if rule.doubles else 1), 10 * RETRY_S))
