"""How often a contact or a number may be called: the caps of a rule pack and of the campaign, for the ledger.

All caps apply at once. `lua/lib/call_history.lua` checks them when it reserves a call, and again when the request is
sent.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeVar

import msgspec

from streamdialer.errors import CampaignError
from streamdialer.model import CampaignSettings
from streamdialer.rules.rule_pack import Cap, CoolOff, Pack, Scope, StatuteValue, state_packs
from streamdialer.rules.zone_clock import DAY_MS

CapReason = Literal[
    "cap_attempts", "cap_conversations", "min_gap", "abandon_cooloff", "machine_cooloff", "no_consent"
]
Counted = Literal["a", "c", "b", "m"]
"""Every attempt, conversations with a person, abandoned calls, calls that a machine answered."""
HOUR_MS: Final = 3_600_000
OWN: Final = "the campaign's own"
Table = TypeVar("Table", Cap, CoolOff)


class CapRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """With `count` calls within the window, the next one waits; `call_history.lua` reads the same names."""

    reason: CapReason
    of: Counted
    count: int
    window_ms: int
    scope: Scope
    source: str
    """The rule and its source, for people."""
    from_end: bool = False
    """A call counts from its end, or from its sending until it has ended."""
    is_daily: bool = False
    """Within the day on the person's clock."""
    only: str = ""
    """The state's pack whose people and numbers it is for; '' for all."""


class ConsentRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """Contacts without a consent, or with an older one, are not called."""

    source: str
    max_age_ms: int | None = None


class RegistryRule(msgspec.Struct, frozen=True):
    """The campaign is not dialed when the registry's newest query is older; without any query, nothing stops it."""

    name: str
    max_age_ms: int
    source: str


class Caps(msgspec.Struct, frozen=True, omit_defaults=True):
    longest_ms: int = 0
    """The longest window."""
    rules: list[CapRule] = msgspec.field(default_factory=list)
    consent: ConsentRule | None = None
    registries: list[RegistryRule] = msgspec.field(default_factory=list)

    def encoded(self) -> str:
        """The JSON for the ledger; '' without caps."""
        return "" if self == NO_CAPS else msgspec.json.encode(self).decode()


NO_CAPS: Final = Caps()


def caps_of(pack: Pack, settings: CampaignSettings) -> Caps:
    """The caps of a pack and of a campaign; raises CampaignError for settings that cannot be read."""
    rules = [
        *_caps_of_law(pack),
        *(
            msgspec.structs.replace(rule, only=state.name)
            for state in state_packs(pack.name).values()
            for rule in _caps_of_law(state)
        ),
        *(_attempts(cap, OWN) for cap in _read_own_caps("attempt_caps", settings.attempt_caps)),
        *(_conversations(cap, OWN) for cap in _read_own_caps("contact_caps", settings.contact_caps)),
    ]
    if settings.min_gap is not None:
        rules.append(_gap(_read_own("min_gap", settings.min_gap, CoolOff), OWN))
    if settings.abandon_cooloff is not None:
        rules.append(_abandoned(_read_own("abandon_cooloff", settings.abandon_cooloff, CoolOff), OWN))
    longest_ms = max((rule.window_ms * (2 if rule.is_daily else 1) for rule in rules), default=0)
    consent, law = pack.consent_required, _law(pack)
    registries = [
        RegistryRule(
            each.name,
            each.max_age_days * DAY_MS,
            _source(law, each, f"the registry {each.name} is asked at least every {each.max_age_days} days"),
        )
        for each in pack.registries
    ]
    if consent is None:
        return Caps(longest_ms, rules, registries=registries)
    days = consent.max_age_days
    text = "the contact's consent" + (f", not older than {days} days" if days else "")
    return Caps(
        longest_ms, rules, ConsentRule(_source(law, consent, text), days and days * DAY_MS), registries
    )


def _law(pack: Pack) -> str:
    return f"rule pack {pack.name} {pack.version}"


def _caps_of_law(pack: Pack) -> list[CapRule]:
    law = _law(pack)
    return [
        *(_attempts(cap, law) for cap in pack.attempt_caps),
        *(_conversations(cap, law) for cap in pack.contact_caps),
        *(_gap(pause, law) for pause in [pack.min_gap] if pause),
        *(_abandoned(pause, law) for pause in [pack.abandon_cooloff] if pause),
        *(_machine(pause, law) for pause in [pack.machine_cooloff] if pause),
    ]


def _attempts(cap: Cap, origin: str) -> CapRule:
    text = f"at most {_plural(cap.count, 'attempt')} {_window(cap)} per {cap.scope}"
    source, window_ms = _source(origin, cap, text), cap.window_h * HOUR_MS
    return CapRule("cap_attempts", "a", cap.count, window_ms, cap.scope, source, is_daily=cap.calendar_day)


def _conversations(cap: Cap, origin: str) -> CapRule:
    text = f"at most {_plural(cap.count, 'conversation')} {_window(cap)} per {cap.scope}"
    source, window_ms = _source(origin, cap, text), cap.window_h * HOUR_MS
    return CapRule(
        "cap_conversations", "c", cap.count, window_ms, cap.scope, source, True, is_daily=cap.calendar_day
    )


def _window(cap: Cap) -> str:
    return "a day" if cap.calendar_day else f"in {cap.window_h} h"


def _gap(pause: CoolOff, origin: str) -> CapRule:
    source = _source(origin, pause, f"{pause.hours} h between two attempts per {pause.scope}")
    return CapRule("min_gap", "a", 1, pause.hours * HOUR_MS, pause.scope, source, True)


def _abandoned(pause: CoolOff, origin: str) -> CapRule:
    source = _source(origin, pause, f"{pause.hours} h after an abandoned call per {pause.scope}")
    return CapRule("abandon_cooloff", "b", 1, pause.hours * HOUR_MS, pause.scope, source, True)


def _machine(pause: CoolOff, origin: str) -> CapRule:
    source = _source(origin, pause, f"{pause.hours} h after a machine's answer per {pause.scope}")
    return CapRule("machine_cooloff", "m", 1, pause.hours * HOUR_MS, pause.scope, source, True)


def _source(origin: str, value: StatuteValue, text: str) -> str:
    if origin == OWN:
        return f"{origin}: {text}"
    return f"{origin} ({value.statute}{'' if value.verified else ', not verified'}): {text}"


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _read_own_caps(name: str, raw: list[Any] | None) -> list[Cap]:
    return [_read_own(name, cap, Cap) for cap in raw or []]


def _read_own(name: str, raw: object, kind: type[Table]) -> Table:
    fields = {key: value for key, value in raw.items() if key != "statute"} if isinstance(raw, dict) else {}
    example = (
        '{"count": 3, "window_h": 24, "scope": "number"}'
        if kind is Cap
        else '{"hours": 4, "scope": "number"}'
    )
    try:
        return msgspec.convert({**fields, "statute": OWN}, kind)
    except msgspec.ValidationError as exc:
        raise CampaignError(f"{name} is {raw!r:.200}, takes {example}: {exc}") from exc
