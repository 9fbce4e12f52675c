"""Pacing policies, one class in one small file each.

To add one, write `policies/name.py` with a class that has `interval_s` and `place` (`pacing.types.Policy`). Its
`__init__` takes only keyword arguments with plain defaults (numbers, words, yes or no). Add the class to `POLICIES`
below: `simulate --policy name:argument=value`, the comparison, the plots and the tests of all policies then use it.
A policy may have an attribute `risk_limit`, the risk it accepts now, which the plots show; and `take_back`, by
campaign how many of the calls that have rung longest it wants to be hung up.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from streamdialer.errors import SettingsError
from streamdialer.pacing.policies.adaptive import Adaptive
from streamdialer.pacing.policies.fixed import Fixed
from streamdialer.pacing.policies.impact_dialing import ImpactDialing
from streamdialer.pacing.policies.issabel import Issabel
from streamdialer.pacing.policies.omnidialer import Omnidialer
from streamdialer.pacing.policies.ticks import Ticks
from streamdialer.pacing.policies.vicidial import Vicidial
from streamdialer.pacing.types import Policy

__all__ = ["POLICIES", "build_policy"]

POLICIES: Mapping[str, type[Policy]] = {
    "fixed": Fixed,
    "ticks": Ticks,
    "vicidial": Vicidial,
    "omnidialer": Omnidialer,
    "impact_dialing": ImpactDialing,
    "issabel": Issabel,
    "adaptive": Adaptive,
}


def build_policy(text: str, policies: Mapping[str, type[Policy]] = POLICIES) -> Policy:
    """A new policy from `name` or `name:argument=value,argument=value`; raises SettingsError with the valid values."""
    name, _, rest = text.partition(":")
    if name not in policies:
        raise SettingsError(f"policy: got {name!r}, takes one of {', '.join(policies)}")
    defaults = {
        parameter.name: parameter.default
        for parameter in inspect.signature(policies[name]).parameters.values()
    }
    arguments: dict[str, object] = {}
    for pair in filter(None, rest.split(",")):
        argument, _, value = pair.partition("=")
        if argument not in defaults:
            takes = ", ".join(defaults) or "none"
            raise SettingsError(f"policy {name}: no argument {argument!r}, takes {takes}")
        arguments[argument] = _parse_value(f"policy {name}: {argument}", value, defaults[argument])
    return policies[name](**arguments)


def _parse_value(label: str, value: str, default: object) -> object:
    if isinstance(default, bool):
        if value in ("yes", "no"):
            return value == "yes"
        raise SettingsError(f"{label}: got {value!r}, takes yes or no")
    if isinstance(default, int | float):
        try:
            return type(default)(value)
        except ValueError:
            kind = "a whole number" if isinstance(default, int) else "a number"
            raise SettingsError(f"{label}: got {value!r}, takes {kind}") from None
    return value
