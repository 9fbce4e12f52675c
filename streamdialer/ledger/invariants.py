"""Typed stub of the script that checks what must always be true of a campaign."""

from __future__ import annotations

from typing import Final

import msgspec

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Script, Scripts

CHECK_INVARIANTS: Final = Script("streamdialer.ledger", "check_invariants")
CONTACTS_PER_STATE: Final = 5


class Violation(msgspec.Struct, frozen=True, array_like=True):
    """An invariant that does not hold."""

    invariant: str
    """One of those in `lua/check_invariants.lua`."""
    contact: str
    """'' for the campaign as a whole."""
    detail: str


class InvariantReport(msgspec.Struct, frozen=True):
    """What one check of a campaign found."""

    checked: dict[str, int]
    """Number of checks by invariant."""
    broken: list[Violation] = []


async def check_campaign(scripts: Scripts, keys: Keys, campaign: str) -> InvariantReport:
    """Checks some contacts of each state; changes nothing."""
    answer = await scripts.run(CHECK_INVARIANTS, keys.of_campaign(campaign), [campaign, CONTACTS_PER_STATE])
    return msgspec.json.decode(answer, type=InvariantReport)
