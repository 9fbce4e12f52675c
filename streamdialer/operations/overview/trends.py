"""What samples of a campaign say of its last half hour, and of when its list ends (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from streamdialer.ledger.samples import Sample
from streamdialer.operations.overview.views import Agents, TrendPoint

MIN_POINTS: Final = 3
"""Samples a forecast needs: two might be chance."""


def trends_of(samples: Sequence[Sample]) -> list[TrendPoint]:
    """One interval per pair of neighbours, oldest first; totals that late news corrected downwards are no change."""
    return [
        TrendPoint(
            at=after.at,
            seconds=(after.at - before.at) / 1000,
            calls=max(0, after.calls - before.calls),
            answered=max(0, after.answered - before.answered),
            abandoned=max(0, after.abandoned - before.abandoned),
            free=after.free,
            busy=after.busy,
            wrapup=after.wrapup,
            ringing=after.ringing,
            connected=after.connected,
        )
        for before, after in pairwise(samples)
        if after.at > before.at
    ]


def utilisation(samples: Sequence[Sample], now: Agents) -> float | None:
    """Share of the logged-in agents that worked, over the samples and now; None when nobody was logged in."""
    worked = now.busy + now.wrapup + sum(one.busy + one.wrapup for one in samples)
    there = now.logged_in + sum(one.free + one.busy + one.wrapup for one in samples)
    return worked / there if there else None


def forecast_end(samples: Sequence[Sample]) -> int | None:
    """When nobody is left to be called, ms, if that goes on as over the samples; None when it cannot be said.

    Left are the contacts the Dialer API counts as pending (or those ready here, when it does not count) and those
    that wait here. Samples of another way of counting than the newest's are not compared with it.
    """
    alike = [one for one in samples if (one.pending is None) == (samples[-1].pending is None)]
    if len(alike) < MIN_POINTS:
        return None
    first, last = alike[0], alike[-1]
    fallen, passed_ms = _left(first) - _left(last), last.at - first.at
    if fallen <= 0 or passed_ms <= 0:
        return None
    return last.at + round(_left(last) * passed_ms / fallen)


def _left(sample: Sample) -> int:
    return max(sample.ready, sample.pending or 0) + sample.deferred
