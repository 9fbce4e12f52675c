"""Whether and when a contact is called again after an attempt: turns a campaign's settings into a plan.

`lua/lib/retry.lua` applies the plan when an attempt ends. Without `retry_rules`, `no_answer`, `busy` and `failed` are
tried again after `retry_delay`. Network congestion is tried again too: its delay doubles, and the attempt does not
count; nor does a call that was taken back while it rang. Everything else is final. docs/retries.md has the table.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, get_args

import msgspec

from streamdialer.errors import CampaignError
from streamdialer.model import CampaignSettings
from streamdialer.rules.hangup_causes import KIND_OF, Kind, cause_of

MAX_DELAY_S: Final = 31_536_000
"""A year: a longer delay is a mistake."""
MAX_CONGESTION_DELAY_S: Final = 3600
UNCOUNTED_IN_A_ROW: Final = 5
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
RETRIED: Final[tuple[Kind, ...]] = ("no_answer", "busy", "failed", "congestion", "cancelled")
"""Kinds that are tried again unless the campaign says otherwise."""

Seconds = Annotated[float, msgspec.Meta(ge=0, le=MAX_DELAY_S)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class RetryRuleInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One rule of a campaign's `retry_rules`; a missing field has its default."""

    delay: Seconds | None = None
    """Seconds from the end of the attempt to the next."""
    limit: Count | None = None
    """Number of attempts that ended by this rule after which the contact is final."""
    counts: bool | None = None
    """Whether it counts towards `max_retries`."""
    final: bool = False
    schedule: Literal["fixed", "exponential"] | None = None
    factor: Annotated[float, msgspec.Meta(ge=1, le=100)] | None = None
    """Growth of an exponential delay with each attempt that ended by this rule."""
    longest_delay: Seconds | None = None
    jitter: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    """Largest share of the delay that is added to it; the attempt's id alone decides the share."""


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rule, as `lua/lib/retry.lua` reads it."""

    is_final: bool = False
    delay_ms: int = 0
    factor: float = 1.0
    longest_ms: int = MAX_DELAY_S * 1000
    jitter: float = 0.0
    limit: int | None = None
    is_uncounted: bool = False

    def delay_after(self, attempts: int) -> int:
        """Delay in ms, without jitter, after the `attempts`th attempt that ended by this rule."""
        grown = self.delay_ms * self.factor ** min(attempts - 1, 64)
        return round(min(grown, self.longest_ms))


class RetryPlan(msgspec.Struct, frozen=True):
    """What follows the end of an attempt, by kind and by cause; everything else is final."""

    max_attempts: int
    uncounted_in_a_row: int
    """Most uncounted attempts in a row; the next one counts whatever its rule says, so that retries end."""
    rules: dict[str, Rule]

    def encoded(self) -> str:
        return msgspec.json.encode(self).decode()

    def delay_of(self, status: str, attempts: int) -> int | None:
        """Delay in ms from the last attempt to the next of a contact of which only the backend's status is known.

        None when there is no next one. It assumes that all attempts ended the same way: when in doubt, the contact is
        not called.
        """
        rule = self.rules.get(status)
        if rule is None or rule.is_final or (rule.limit is not None and attempts >= rule.limit):
            return None
        return rule.delay_after(max(1, attempts))


def retry_plan(settings: CampaignSettings) -> RetryPlan:
    """The campaign's plan; raises CampaignError for rules that cannot be read."""
    if settings.retry_delay > MAX_DELAY_S:
        raise CampaignError(
            f"retry_delay is {settings.retry_delay:g}, takes at most {MAX_DELAY_S} seconds, a year"
        )
    raw_rules: dict[str, Any] = dict(settings.retry_rules or {})
    gap_s = _read("minimum_gap", raw_rules.pop("minimum_gap", 0), Seconds)
    uncounted = _read("uncounted_in_a_row", raw_rules.pop("uncounted_in_a_row", UNCOUNTED_IN_A_ROW), int)
    if not 0 <= uncounted <= 100:
        raise CampaignError(f"retry_rules: uncounted_in_a_row is {uncounted}, takes 0 to 100")
    kinds: dict[str, RetryRuleInput] = {}
    causes: dict[str, RetryRuleInput] = {}
    for name, raw in raw_rules.items():
        rule_input = _read(name, raw, RetryRuleInput)
        cause = cause_of(name) if ":" in name else ""
        if name in KINDS:
            kinds[name] = rule_input
        elif cause:
            if cause in causes:
                raise CampaignError(f"retry_rules: {name!r} repeats {cause}, takes each cause once")
            causes[cause] = rule_input
        else:
            raise CampaignError(
                f"retry_rules: {name!r} is unknown, takes {', '.join(KINDS)}, sip:NNN, q850:NN, "
                "minimum_gap, uncounted_in_a_row"
            )
    rules: dict[str, Rule] = {
        kind: _rule(kind, _default(kind), kinds.get(kind, RetryRuleInput()), settings, gap_s)
        for kind in KINDS
        if kind in kinds or kind in RETRIED
    }
    for cause, rule_input in causes.items():
        kind = KIND_OF.get(cause, "failed")
        base = _merge(_default(kind), kinds.get(kind, RetryRuleInput()))
        rules[cause] = _rule(cause, base, rule_input, settings, gap_s)
    return RetryPlan(settings.max_retries, uncounted, rules)


def _default(kind: Kind) -> RetryRuleInput:
    if kind == "congestion":
        return RetryRuleInput(counts=False, schedule="exponential", longest_delay=MAX_CONGESTION_DELAY_S)
    if kind == "cancelled":
        return RetryRuleInput(counts=False)
    return RetryRuleInput()


def _merge(base: RetryRuleInput, override: RetryRuleInput) -> RetryRuleInput:
    """`override`, with the fields of `base` that it does not set."""
    if override.final:
        return override
    fields = {**msgspec.to_builtins(base), **msgspec.to_builtins(override), "final": False}
    return msgspec.convert(fields, RetryRuleInput)


def _rule(
    name: str, base: RetryRuleInput, override: RetryRuleInput, settings: CampaignSettings, gap_s: float
) -> Rule:
    if override.final:
        if override != RetryRuleInput(final=True):
            raise CampaignError(f"retry_rules: {name} is final: takes no other field")
        return Rule(is_final=True)
    if override.schedule == "fixed" and (override.factor is not None or override.longest_delay is not None):
        raise CampaignError(f"retry_rules: {name} is fixed: takes no factor and no longest_delay")
    merged = _merge(base, override)
    is_growing = merged.schedule == "exponential" or (
        merged.schedule is None and (merged.factor is not None or merged.longest_delay is not None)
    )
    delay_s = settings.retry_delay if merged.delay is None else merged.delay
    longest_s = MAX_DELAY_S if merged.longest_delay is None or not is_growing else merged.longest_delay
    if override.longest_delay is not None and override.longest_delay < delay_s:
        raise CampaignError(
            f"retry_rules: {name} has longest_delay {override.longest_delay:g} below its delay {delay_s:g}"
        )
    delay_s = max(delay_s, gap_s)
    factor = 2.0 if merged.factor is None else merged.factor
    return Rule(
        delay_ms=round(delay_s * 1000),
        factor=factor if is_growing else 1.0,
        longest_ms=round(max(longest_s, delay_s) * 1000),
        jitter=merged.jitter or 0.0,
        limit=merged.limit,
        is_uncounted=merged.counts is False,
    )


def _read(name: str, raw: object, kind: Any) -> Any:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as exc:
        raise CampaignError(f"retry_rules: {name} is {raw!r:.200}: {exc}") from exc
