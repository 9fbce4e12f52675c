"""Deals calls one at a time to the campaign that had the fewest for its weight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streamdialer.pacing.types import CampaignView


class RoundRobin:
    """Remembers how many calls each campaign had."""

    def __init__(self) -> None:
        self._dealt: dict[str, float] = {}

    def deal(self, campaigns: Sequence[CampaignView], lines: int, placed: dict[str, int]) -> Iterator[str]:
        """Yields the id of a campaign for each call, until lines and contacts are used up.

        The caller raises `placed` of that campaign to take the turn. A campaign that does not take its turn gets no
        more turns.
        """
        left = list(campaigns)
        while left and sum(placed.values()) < lines:
            turn = min(left, key=lambda campaign: self._dealt.get(campaign.id, 0.0))
            before = placed.get(turn.id, 0)
            if before < turn.callable:
                yield turn.id
            if placed.get(turn.id, 0) == before:
                left.remove(turn)
            else:
                self._dealt[turn.id] = self._dealt.get(turn.id, 0.0) + 1 / turn.weight
