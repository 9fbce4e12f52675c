"""How often a contact or a number may be called: the caps of a rule pack and the campaign's own, for the ledger.

All of them hold at once. `lua/lib/call_history.lua` applies them in the step in which a call is reserved, and again in
the one in which its request leaves.
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
    """Fewer than `count` calls within the window, or the next one waits. `call_history.lua` has the short names."""

    reason: CapReason = msgspec.field(name="y")
    of: Counted = msgspec.field(name="o")
    count: int = msgspec.field(name="n")
    window_ms: int = msgspec.field(name="w")
    scope: Scope = msgspec.field(name="s")
    source: str = msgspec.field(name="d")
    """What it asks for and where that is written, for people."""
    from_end: bool = msgspec.field(name="e", default=False)
    """The window begins with the end of a call, as soon as it has one; else when it was sent."""


class Caps(msgspec.Struct, frozen=True):
    """All the caps of a campaign."""

    longest_ms: int = msgspec.field(name="k", default=0)
    """Of their windows."""
    rules: list[CapRule] = msgspec.field(name="c", default_factory=list)

    def encoded(self) -> str:
        """As the ledger keeps it; '' without caps."""
        return msgspec.json.encode(self).decode() if self.rules else ""


NO_CAPS: Final = Caps()


def caps_of(pack: Pack, settings: CampaignSettings) -> Caps:
    """The caps of a pack and of a campaign's settings; raises CampaignError for settings that cannot be read."""
    law = f"rule pack {pack.name} {pack.version}"
    rules = [
        *(_attempts(cap, law) for cap in pack.attempt_caps),
        *(_conversations(cap, law) for cap in pack.contact_caps),
        *(_gap(rest, law) for rest in [pack.min_gap] if rest),
        *(_abandoned(rest, law) for rest in [pack.abandon_cooloff] if rest),
        *(_attempts(cap, OWN) for cap in _read_own_caps("attempt_caps", settings.attempt_caps)),
        *(_conversations(cap, OWN) for cap in _read_own_caps("contact_caps", settings.contact_caps)),
    ]
    if settings.min_gap is not None:
        rules.append(_gap(_read_own("min_gap", settings.min_gap, CoolOff), OWN))
    if settings.abandon_cooloff is not None:
        rules.append(_abandoned(_read_own("abandon_cooloff", settings.abandon_cooloff, CoolOff), OWN))
    return Caps(max((rule.window_ms for rule in rules), default=0), rules)


def _attempts(cap: Cap, of: str) -> CapRule:
    source = _source(of, cap, f"at most {_plural(cap.count, 'attempt')} in {cap.window_h} h per {cap.scope}")
    return CapRule("cap_attempts", "a", cap.count, cap.window_h * HOUR_MS, cap.scope, source)


def _conversations(cap: Cap, of: str) -> CapRule:
    asked = f"at most {_plural(cap.count, 'conversation')} in {cap.window_h} h per {cap.scope}"
    source = _source(of, cap, asked)
    return CapRule("cap_conversations", "c", cap.count, cap.window_h * HOUR_MS, cap.scope, source, True)


def _gap(rest: CoolOff, of: str) -> CapRule:
    source = _source(of, rest, f"{rest.hours} h between two attempts per {rest.scope}")
    return CapRule("min_gap", "a", 1, rest.hours * HOUR_MS, rest.scope, source, True)


def _abandoned(rest: CoolOff, of: str) -> CapRule:
    source = _source(of, rest, f"{rest.hours} h after an abandoned call per {rest.scope}")
    return CapRule("abandon_cooloff", "b", 1, rest.hours * HOUR_MS, rest.scope, source, True)


def _source(of: str, value: Cap | CoolOff, asked: str) -> str:
    if of == OWN:
        return f"{of}: {asked}"
    return f"{of} ({value.statute}{'' if value.verified else ', not verified'}): {asked}"


def _plural(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _read_own_caps(name: str, raw: list[Any] | None) -> list[Cap]:
    return [_read_own(name, one, Cap) for one in raw or []]


def _read_own(name: str, raw: object, kind: type[Table]) -> Table:
    """A cap as a campaign gives it."""
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
