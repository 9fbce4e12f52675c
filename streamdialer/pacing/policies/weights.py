"""Calls of a queue, divided among its campaigns by weight."""

from __future__ import annotations

from collections.abc import Mapping

from streamdialer.pacing.types import QueueView


def share_by_weight(calls: int, view: QueueView) -> Mapping[str, int]:
    """At most `calls` and the lines that are left; calls that one campaign cannot place go to the next."""
    calls = min(calls, view.lines)
    weight = sum(campaign.weight for campaign in view.campaigns)
    placed = {}
    for campaign in view.campaigns:
        share = max(0, min(round(calls * campaign.weight / weight), campaign.callable))
        placed[campaign.id] = share
        calls -= share
        weight -= campaign.weight
    return placed
