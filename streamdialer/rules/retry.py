"""After which end of an attempt a contact is called again, and when: a campaign's settings become a plan.

`lua/lib/retry.lua` applies the plan in the step in which an attempt ends. Without `retry_rules`, `no_answer`, `busy`
and `failed` are tried again after `retry_delay`; network congestion as well, doubling the delay, without using up an
attempt; everything else is final. docs/retries.md has the table.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, get_args

import msgspec

from streamdialer.errors import CampaignError
from streamdialer.model import CampaignSettings
from streamdialer.rules.hangup_causes import KIND_OF, Kind, cause_of

MAX_DELAY_S: Final = 31_536_000
"""A year: a delay beyond it is a mistake."""
MAX_CONGESTION_DELAY_S: Final = 3600
UNCOUNTED_IN_A_ROW: Final = 5
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
RETRIED: Final[tuple[Kind, ...]] = ("no_answer", "busy", "failed", "congestion")
"""Kinds tried again unless the campaign says otherwise."""

Seconds = Annotated[float, msgspec.Meta(ge=0, le=MAX_DELAY_S)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class RetryRuleInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One rule of `retry_rules` as the campaign gives it; what is missing is as by default."""

    delay: Seconds | None = None
    """Seconds from the end of the attempt to the next."""
    limit: Count | None = None
    """Attempts ended by this rule after which the contact is final."""
    counts: bool | None = None
    """Whether it counts towards `max_retries`."""
    final: bool = False
    schedule: Literal["fixed", "exponential"] | None = None
    factor: Annotated[float, msgspec.Meta(ge=1, le=100)] | None = None
    """By which an exponential delay grows with each attempt ended by this rule."""
    longest_delay: Seconds | None = None
    jitter: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    """Largest share of the delay that is added to it; which share hangs on the attempt's id alone."""


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rule as the ledger applies it; the short names are those of `lua/lib/retry.lua`."""

    is_final: bool = False
    delay_ms: int = 0
    factor: float = 1.0
    longest_ms: int = MAX_DELAY_S * 1000
    jitter: float = 0.0
    limit: int | None = None
    is_uncounted: bool = False

    def delay_after(self, attempts: int) -> int:
        """Milliseconds (jitter apart) after the end of the attempt that is the `attempts`th ended by this rule."""
        grown = self.delay_ms * self.factor ** min(attempts - 1, 64)
        return round(min(grown, self.longest_ms))


class RetryPlan(msgspec.Struct, frozen=True):
    """What follows the end of an attempt, by kind of end and by cause; whatever is not named is final."""

    max_attempts: int
    uncounted_in_a_row: int
    """Attempts in a row that may not count; the next counts whatever its rule says: nothing goes on for ever."""
    rules: dict[str, Rule]

    def encoded(self) -> str:
        """As the ledger keeps it."""
        return msgspec.json.encode(self).decode()

    def may_return(self, status: str, attempts: int, since_ms: float | None) -> bool:
        """Whether a contact the backend shows with that status may be called again, of which nothing else is known.

        `since_ms` is how long ago its last attempt was, None when the backend does not say. All its attempts are taken
        to have ended the same way: when in doubt, it is not called.
        """
        rule = self.rules.get(status)
        if rule is None or rule.is_final or (rule.limit is not None and attempts >= rule.limit):
            return False
        return since_ms is None or since_ms >= rule.delay_after(max(1, attempts))


def retry_plan(settings: CampaignSettings) -> RetryPlan:
    """The campaign's plan; raises CampaignError for rules that cannot be read."""
    if settings.retry_delay > MAX_DELAY_S:
        raise CampaignError(
            f"retry_delay is {settings.retry_delay:g}, takes at most {MAX_DELAY_S} seconds, a year"
        )
    wishes: dict[str, Any] = dict(settings.retry_rules or {})
    gap_s = _read("minimum_gap", wishes.pop("minimum_gap", 0), Seconds)
    row = _read("uncounted_in_a_row", wishes.pop("uncounted_in_a_row", UNCOUNTED_IN_A_ROW), int)
    if not 0 <= row <= 100:
        raise CampaignError(f"retry_rules: uncounted_in_a_row is {row}, takes 0 to 100")
    kinds: dict[str, RetryRuleInput] = {}
    causes: dict[str, RetryRuleInput] = {}
    for name, raw in wishes.items():
        wish = _read(name, raw, RetryRuleInput)
        cause = cause_of(name) if ":" in name else ""
        if name in KINDS:
            kinds[name] = wish
        elif cause:
            if cause in causes:
                raise CampaignError(f"retry_rules: {name!r} says {cause} a second time")
            causes[cause] = wish
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
    for cause, wish in causes.items():
        kind = KIND_OF.get(cause, "failed")
        base = _merge(_default(kind), kinds.get(kind, RetryRuleInput()))
        rules[cause] = _rule(cause, base, wish, settings, gap_s)
    return RetryPlan(settings.max_retries, row, rules)


def _default(kind: Kind) -> RetryRuleInput:
    if kind == "congestion":
        return RetryRuleInput(counts=False, schedule="exponential", longest_delay=MAX_CONGESTION_DELAY_S)
    return RetryRuleInput()


def _merge(base: RetryRuleInput, wish: RetryRuleInput) -> RetryRuleInput:
    """`wish`, with what it leaves open as in `base`."""
    said = msgspec.to_builtins(wish)
    return (
        wish
        if wish.final
        else msgspec.convert({**msgspec.to_builtins(base), **said, "final": False}, RetryRuleInput)
    )


def _rule(
    name: str, base: RetryRuleInput, wish: RetryRuleInput, settings: CampaignSettings, gap_s: float
) -> Rule:
    if wish.final:
        if wish != RetryRuleInput(final=True):
            raise CampaignError(f"retry_rules: {name} is final: takes nothing else beside it")
        return Rule(is_final=True)
    if wish.schedule == "fixed" and (wish.factor is not None or wish.longest_delay is not None):
        raise CampaignError(f"retry_rules: {name} is fixed: takes no factor and no longest_delay")
    merged = _merge(base, wish)
    is_growing = merged.schedule == "exponential" or (
        merged.schedule is None and (merged.factor is not None or merged.longest_delay is not None)
    )
    delay_s = settings.retry_delay if merged.delay is None else merged.delay
    longest_s = MAX_DELAY_S if merged.longest_delay is None or not is_growing else merged.longest_delay
    if wish.longest_delay is not None and wish.longest_delay < delay_s:
        raise CampaignError(
            f"retry_rules: {name} has longest_delay {wish.longest_delay:g} below its delay {delay_s:g}"
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
