"""How many calls of a campaign were abandoned within the hours of its abandon rate; for metrics and the overview."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Script, Scripts

ABANDON_METRICS: Final = Script("streamdialer.ledger", "abandon_metrics", only_reads=True)
HOURS_PER_SCRIPT: Final = 750
"""Enough for one campaign: the longest window has 720 hours."""


class AbandonCounts(msgspec.Struct, frozen=True, array_like=True):
    """Calls answered by a person, and those of them that no agent took in time."""

    answered_by_person: int
    abandoned: int

    @property
    def rate(self) -> float:
        return self.abandoned / self.answered_by_person if self.answered_by_person else 0.0


async def read_abandon_counts(
    scripts: Scripts, keys: Keys, windows_h: Mapping[str, int]
) -> dict[str, AbandonCounts]:
    """The counts of the named campaigns, each over its own hours; several short scripts when there are many hours."""
    counts: dict[str, AbandonCounts] = {}
    batch: dict[str, int] = {}
    for campaign, hours in windows_h.items():
        if batch and sum(batch.values()) + hours > HOURS_PER_SCRIPT:
            counts |= await _read_batch(scripts, keys, batch)
            batch = {}
        batch[campaign] = hours
    return counts | (await _read_batch(scripts, keys, batch) if batch else {})


async def _read_batch(scripts: Scripts, keys: Keys, windows_h: dict[str, int]) -> dict[str, AbandonCounts]:
    names = [keys.server, *map(keys.totals, windows_h)]
    answer = await scripts.run(ABANDON_METRICS, names, list(windows_h.values()))
    return dict(zip(windows_h, msgspec.json.decode(answer, type=list[AbandonCounts]), strict=True))
