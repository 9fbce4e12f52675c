"""A campaign's last half hour and the expected end of its list, from its samples (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from streamdialer.ledger.samples import Sample
from streamdialer.operations.overview.views import Agents, TrendPoint

MIN_POINTS: Final = 3
"""Samples that a forecast needs: two could be chance."""


def trends_of(samples: Sequence[Sample]) -> list[TrendPoint]:
    """One point per pair of neighbours, oldest first; a total that late events have lowered counts as no change."""
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
    """Share of the logged-in agents who worked, over the samples and now; None when no agent was logged in."""
    worked = now.busy + now.wrapup + sum(each.busy + each.wrapup for each in samples)
    logged_in = now.logged_in + sum(each.free + each.busy + each.wrapup for each in samples)
    return worked / logged_in if logged_in else None


def forecast_end(samples: Sequence[Sample]) -> int | None:
    """When no contact will be left to call, ms, if the list goes on falling as it did; None when it does not fall.

    Left are the contacts that the Dialer API counts as pending (or those ready here, when it does not count) and the
    deferred ones. Samples that were counted in another way than the newest are left out.
    """
    alike = [each for each in samples if (each.pending is None) == (samples[-1].pending is None)]
    if len(alike) < MIN_POINTS:
        return None
    first, last = alike[0], alike[-1]
    fallen, passed_ms = _left(first) - _left(last), last.at - first.at
    if fallen <= 0 or passed_ms <= 0:
        return None
    return last.at + round(_left(last) * passed_ms / fallen)


def _left(sample: Sample) -> int:
    return max(sample.ready, sample.pending or 0) + sample.deferred
