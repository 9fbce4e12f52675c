"""The report of a soak run: a JSON document and a table."""

from __future__ import annotations

from typing import Final

import msgspec

from bench.soak.measure import MB, Sample, Trend
from bench.soak.options import SoakOptions

MUST_BE_ZERO: Final = ("double_dials", "dialed_after_final", "over_max_retries", "drifted", "dead_letters")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`_s` are wall-clock seconds, `_life_s` seconds of the simulated world."""

    options: SoakOptions
    campaigns: int
    """Created, dialed to their end, completed and cleaned up."""
    calls: int
    duration_s: float
    duration_life_s: float
    evaluated_from_s: float
    samples: int
    """Evaluated samples."""
    trends: dict[str, Trend]
    """Per measure; empty when there were too few samples to evaluate."""
    double_dials: int
    dialed_after_final: int
    over_max_retries: int
    drifted: int
    """Campaigns whose public counters differed from those of the telephone network."""
    dead_letters: int
    shared: dict[str, int]
    """Fields and members left in shared structures after the last cleanup."""
    left_keys: list[str]
    """Keys and entries left in Redis that should not be."""
    left_kinds: dict[str, int]
    """All keys left in Redis, by kind."""
    findings: list[str]
    problems: list[str]
    history: list[Sample]

    @property
    def growing(self) -> list[str]:
        """The measures that are not flat."""
        return [name for name, trend in self.trends.items() if not trend.is_flat]

    @property
    def failures(self) -> list[str]:
        """Everything that is wrong, in words."""
        failures = [f"{name} grows" for name in self.growing]
        failures += [
            f"{name.replace('_', ' ')}: {getattr(self, name)}" for name in MUST_BE_ZERO if getattr(self, name)
        ]
        return [*failures, *self.left_keys, *self.findings, *self.problems]


def describe(report: Report) -> list[str]:
    """The report as lines of text."""
    options, hours = report.options, report.duration_life_s / 3600
    lines = [
        f"Covered: {report.campaigns:,} campaigns of {options.contacts} contacts created, dialed to their end, "
        f"completed and cleaned up, {options.concurrent} at a time; {report.calls:,} calls, {options.agents} agents; "
        f"{hours / 24:.1f} days of life in {report.duration_s:.0f} s "
        f"(life at speed {options.speed:g}, ticks and expiries in real time).",
        f"Evaluated: {report.samples} samples from {report.evaluated_from_s:.0f} s on, the median of the last quarter "
        "against that of the second.",
        "",
        f"{'measure':<16}{'2nd quarter':>14}{'4th quarter':>14}{'growth':>12}{'allowed':>12}"
        f"{'per 1,000 campaigns':>22}",
    ]
    for name, trend in report.trends.items():
        allowed = "no limit" if trend.allowed is None else _number(name, trend.allowed)
        lines.append(
            f"{name:<16}{_number(name, trend.second_quarter):>14}{_number(name, trend.last_quarter):>14}"
            f"{_number(name, trend.growth):>12}{allowed:>12}{_number(name, trend.per_1000_campaigns):>22}"
            f"  {'' if trend.allowed is None else 'flat' if trend.is_flat else 'GROWS'}"
        )
    if not report.trends:
        lines.append("too few samples to evaluate")
    lines += ["", "Left in Redis, by kind:"]
    lines += [f"  {number:>6}  {kind}" for kind, number in report.left_kinds.items()]
    lines += ["", "Left in structures that all campaigns share (fields or members):"]
    lines += [f"  {number:>6}  {key}" for key, number in report.shared.items() if number]
    lines += ["", *(f"WRONG: {failure}" for failure in report.failures)]
    if not report.failures:
        lines.append("Nothing grows, nothing is left, no contact was called twice, no counter drifted.")
    return lines


def _number(name: str, value: float) -> str:
    if name.startswith("keys") or name == "shared":
        return f"{value:,.1f}"
    return f"{value / MB:,.2f} MB"


def sample_line(sample: Sample) -> str:
    """One sample, printed during the run."""
    return (
        f"{sample.at_s:6.0f} s  {sample.campaigns:6,} campaigns  Redis {sample.redis_dataset / MB:6.2f} MB data  "
        f"{sample.keys_lasting:5,} lasting + {sample.keys_expiring:6,} expiring keys  "
        f"replica {sample.replica_rss / MB:6.2f} MB  producer {sample.producer_rss / MB:6.2f} MB"
    )
