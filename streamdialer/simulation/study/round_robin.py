"""Whose turn it is: calls dealt one at a time to the campaign that has had fewest for its weight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streamdialer.pacing.types import CampaignView


class RoundRobin:
    """Remembers what each campaign has had."""

    def __init__(self) -> None:
        self._had: dict[str, float] = {}

    def deal(self, campaigns: Sequence[CampaignView], lines: int, placed: dict[str, int]) -> Iterator[str]:
        """Ids of campaigns, one per call, until lines and contacts are used up.

        A call counts when the next id is asked for, and only if `placed` of that campaign was raised meanwhile; a
        campaign that did not use its turn gets no more of them.
        """
        left = list(campaigns)
        while left and sum(placed.values()) < lines:
            turn = min(left, key=lambda each: self._had.get(each.id, 0.0))
            before = placed.get(turn.id, 0)
            if before < turn.callable:
                yield turn.id
            if placed.get(turn.id, 0) == before:
                left.remove(turn)
            else:
                self._had[turn.id] = self._had.get(turn.id, 0.0) + 1 / turn.weight
