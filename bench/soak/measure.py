"""Samples of everything that could grow, and whether it did: the median of the last quarter against the second."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import linear_regression, median
from typing import Final

import msgspec

MB: Final = 1_000_000


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One sample, `at_s` wall-clock seconds after the start, when `campaigns` had been cleaned up."""

    at_s: float
    campaigns: int
    redis_dataset: int
    """Bytes Redis uses for data (`used_memory_dataset`)."""
    redis_used: int
    """Bytes Redis uses altogether."""
    keys_lasting: int
    """Keys without an expiry."""
    keys_expiring: int
    shared: int
    """Fields and members in the structures that all campaigns share."""
    shared_per_campaign: float
    """The same, per active campaign."""
    replica_rss: int
    """Bytes."""
    producer_rss: int


class Tolerance(msgspec.Struct, frozen=True):
    """How much the last quarter may exceed the second: the larger of share and absolute.

    The limits for processes are tighter than those for Redis, whose figures vary with the claim results that have not
    expired yet.
    """

    share: float
    absolute: float


TOLERANCES: Final[dict[str, Tolerance]] = {
    "redis_dataset": Tolerance(0.05, 2 * MB),
    "redis_used": Tolerance(0.05, 4 * MB),
    "keys_lasting": Tolerance(0.05, 40),
    "shared": Tolerance(0.05, 40),
    "replica_rss": Tolerance(0.03, 2.5 * MB),
    "producer_rss": Tolerance(0.03, 2.5 * MB),
}
MEASURES: Final = (
    "redis_dataset",
    "redis_used",
    "keys_lasting",
    "keys_expiring",
    "shared",
    "replica_rss",
    "producer_rss",
)


class Trend(msgspec.Struct, frozen=True, kw_only=True):
    """How one measure changed."""

    second_quarter: float
    last_quarter: float
    per_1000_campaigns: float
    """Slope of a straight line through the evaluated samples."""
    allowed: float | None
    """Highest allowed growth from the second to the last quarter; None: no limit."""

    @property
    def growth(self) -> float:
        return self.last_quarter - self.second_quarter

    @property
    def is_flat(self) -> bool:
        return self.allowed is None or self.growth <= self.allowed


def trend_of(samples: Sequence[Sample], name: str) -> Trend:
    """The trend of one measure; needs at least eight samples."""
    values = [float(getattr(sample, name)) for sample in samples]
    quarter = len(values) // 4
    second, last = median(values[quarter : 2 * quarter]), median(values[-quarter:])
    done = [float(sample.campaigns) for sample in samples]
    slope = linear_regression(done, values).slope if len(set(done)) > 1 else 0.0
    tolerance = TOLERANCES.get(name)
    allowed = None if tolerance is None else max(tolerance.share * second, tolerance.absolute)
    return Trend(second_quarter=second, last_quarter=last, per_1000_campaigns=1000 * slope, allowed=allowed)


def evaluated_samples(samples: Sequence[Sample], warm_up_s: float) -> list[Sample]:
    """The samples after the warm-up, or after the first third of a short run."""
    if not samples:
        return []
    begin = min(warm_up_s, samples[-1].at_s / 3)
    return [sample for sample in samples if sample.at_s >= begin]
