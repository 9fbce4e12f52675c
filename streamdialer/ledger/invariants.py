"""Typed stub of the script that looks whether what must be true of a campaign in every instant is true."""

from __future__ import annotations

from typing import Final

import msgspec

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Script, Scripts

CHECK_INVARIANTS: Final = Script("streamdialer.ledger", "check_invariants")
CONTACTS_PER_STATE: Final = 5


class Violation(msgspec.Struct, frozen=True, array_like=True):
    """Something that must not be."""

    invariant: str
    contact: str
    """'' when it is of the campaign as a whole."""
    detail: str


class InvariantReport(msgspec.Struct, frozen=True):
    """What one look at a campaign has found."""

    checked: dict[str, int]
    """How often each invariant was looked at, by name."""
    broken: list[Violation] = []


async def check_campaign(scripts: Scripts, keys: Keys, campaign: str) -> InvariantReport:
    """One look, of a bounded number of contacts; the ledger is not changed by it."""
    answer = await scripts.run(CHECK_INVARIANTS, keys.of_campaign(campaign), [campaign, CONTACTS_PER_STATE])
    return msgspec.json.decode(answer, type=InvariantReport)
