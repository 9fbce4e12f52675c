"""Typed stub of the script that looks whether what must be true of a campaign in every instant is true."""

from __future__ import annotations

from typing import Final

import msgspec

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Script, Scripts

CHECK: Final = Script("streamdialer.ledger", "check_invariants")
CONTACTS_PER_PLACE: Final = 5


class Broken(msgspec.Struct, frozen=True, array_like=True):
    """Something that must not be."""

    invariant: str
    contact: str
    """'' when it is of the campaign as a whole."""
    detail: str


class Look(msgspec.Struct, frozen=True):
    """What one look at a campaign has found."""

    checked: dict[str, int]
    """How often each invariant was looked at, by name."""
    broken: list[Broken] = []


async def check_campaign(scripts: Scripts, keys: Keys, campaign: str) -> Look:
    """One look, of a bounded number of contacts; the ledger is not changed by it."""
    answer = await scripts.run(CHECK, keys.of_campaign(campaign), [campaign, CONTACTS_PER_PLACE])
    return msgspec.json.decode(answer, type=Look)
