"""Pacing policies, one class in one small file each.

To add one: write `policies/name.py` with a class that has `every_s` and `place` (`pacing.policy.Policy`) and whose
`__init__` takes only keyword arguments with plain defaults (numbers, words, yes or no), and put it into `POLICIES`
below. That is all: `simulate --policy name:argument=value` finds it, and the comparison, the plots and the tests that
hold for every policy take it in. A policy may have an attribute `theta`, the risk it accepts just now, for the plots.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from streamdialer.errors import SettingsError
from streamdialer.pacing.policies.adaptive import Adaptive
from streamdialer.pacing.policies.fixed import Fixed
from streamdialer.pacing.policies.ticks import Ticks
from streamdialer.pacing.policies.vicidial import Vicidial
from streamdialer.pacing.types import Policy

__all__ = ["POLICIES", "build_policy"]

POLICIES: Mapping[str, type[Policy]] = {
    "fixed": Fixed,
    "ticks": Ticks,
    "vicidial": Vicidial,
    "adaptive": Adaptive,
}


def build_policy(text: str, policies: Mapping[str, type[Policy]] = POLICIES) -> Policy:
    """A new policy from `name` or `name:argument=value,argument=value`; SettingsError says what would be right."""
    name, _, rest = text.partition(":")
    if name not in policies:
        raise SettingsError(f"policy: got {name!r}, takes one of {', '.join(policies)}")
    known = {
        parameter.name: parameter.default
        for parameter in inspect.signature(policies[name]).parameters.values()
    }
    arguments: dict[str, object] = {}
    for part in filter(None, rest.split(",")):
        argument, _, value = part.partition("=")
        if argument not in known:
            takes = ", ".join(known) or "none"
            raise SettingsError(f"policy {name}: no argument {argument!r}, takes {takes}")
        arguments[argument] = _read(f"policy {name}: {argument}", value, known[argument])
    return policies[name](**arguments)


def _read(what: str, value: str, default: object) -> object:
    """`value` as the kind of thing the default is."""
    if isinstance(default, bool):
        if value in ("yes", "no"):
            return value == "yes"
        raise SettingsError(f"{what}: got {value!r}, takes yes or no")
    if isinstance(default, int | float):
        try:
            return type(default)(value)
        except ValueError:
            kind = "a whole number" if isinstance(default, int) else "a number"
            raise SettingsError(f"{what}: got {value!r}, takes {kind}") from None
    return value
