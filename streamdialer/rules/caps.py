"""How often a contact or a number may be called: the caps of a rule pack and of the campaign, for the ledger.

All caps apply at once. `lua/lib/call_history.lua` checks them when it reserves a call, and again when the request is
sent.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeVar

import msgspec

from streamdialer.errors import CampaignError
from streamdialer.model import CampaignSettings
from streamdialer.rules.rule_pack import Cap, CoolOff, Pack, Scope

CapReason = Literal["cap_attempts", "cap_conversations", "min_gap", "abandon_cooloff"]
Counted = Literal["a", "c", "b"]
"""Every attempt, conversations with a person, abandoned calls."""
HOUR_MS: Final = 3_600_000
MAX_WINDOW_H: Final = 24 * 366
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


class Caps(msgspec.Struct, frozen=True):
    longest_ms: int = 0
    """The longest window."""
    rules: list[CapRule] = msgspec.field(default_factory=list)

    def encoded(self) -> str:
        """The JSON for the ledger; '' without caps."""
        return msgspec.json.encode(self).decode() if self.rules else ""


NO_CAPS: Final = Caps()


def caps_of(pack: Pack, settings: CampaignSettings) -> Caps:
    """The caps of a pack and of a campaign; raises CampaignError for settings that cannot be read."""
    law = f"rule pack {pack.name} {pack.version}"
    rules = [
        *(_attempts(cap, law) for cap in pack.attempt_caps),
        *(_conversations(cap, law) for cap in pack.contact_caps),
        *(_gap(pause, law) for pause in [pack.min_gap] if pause),
        *(_abandoned(pause, law) for pause in [pack.abandon_cooloff] if pause),
        *(_attempts(cap, OWN) for cap in _read_own_caps("attempt_caps", settings.attempt_caps)),
        *(_conversations(cap, OWN) for cap in _read_own_caps("contact_caps", settings.contact_caps)),
    ]
    if settings.min_gap is not None:
        rules.append(_gap(_read_own("min_gap", settings.min_gap, CoolOff), OWN))
    if settings.abandon_cooloff is not None:
        rules.append(_abandoned(_read_own("abandon_cooloff", settings.abandon_cooloff, CoolOff), OWN))
    return Caps(max((rule.window_ms for rule in rules), default=0), rules)


def _attempts(cap: Cap, origin: str) -> CapRule:
    source = _source(
        origin, cap, f"at most {_plural(cap.count, 'attempt')} in {cap.window_h} h per {cap.scope}"
    )
    return CapRule("cap_attempts", "a", cap.count, cap.window_h * HOUR_MS, cap.scope, source)


def _conversations(cap: Cap, origin: str) -> CapRule:
    text = f"at most {_plural(cap.count, 'conversation')} in {cap.window_h} h per {cap.scope}"
    source = _source(origin, cap, text)
    return CapRule("cap_conversations", "c", cap.count, cap.window_h * HOUR_MS, cap.scope, source, True)


def _gap(pause: CoolOff, origin: str) -> CapRule:
    source = _source(origin, pause, f"{pause.hours} h between two attempts per {pause.scope}")
    return CapRule("min_gap", "a", 1, pause.hours * HOUR_MS, pause.scope, source, True)


def _abandoned(pause: CoolOff, origin: str) -> CapRule:
    source = _source(origin, pause, f"{pause.hours} h after an abandoned call per {pause.scope}")
    return CapRule("abandon_cooloff", "b", 1, pause.hours * HOUR_MS, pause.scope, source, True)


def _source(origin: str, value: Cap | CoolOff, text: str) -> str:
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
        value = msgspec.convert({**fields, "statute": OWN}, kind)
    except msgspec.ValidationError as exc:
        raise CampaignError(f"{name} is {raw!r:.200}, takes {example}: {exc}") from exc
    hours = value.window_h if isinstance(value, Cap) else value.hours
    if hours > MAX_WINDOW_H:
        raise CampaignError(f"{name} has {hours} hours, takes at most {MAX_WINDOW_H}")
    return value
