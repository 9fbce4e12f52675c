"""What a soak run came to: one document for programs, a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from bench.soak.campaign_cycle import CampaignCycle
from bench.soak.measure import MB, SHOWN, Sample, Trend, course_of, judged_samples
from bench.soak.options import SoakOptions
from streamdialer.simulation import Audit

LEAST_SAMPLES: Final = 8
NEVER: Final = ("double_dials", "dialed_after_final", "over_max_retries", "drifted", "dead_letters")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`_s` are seconds of the wall clock, `_life_s` of the simulated world."""

    options: SoakOptions
    campaigns: int
    """Created, dialed to their end, completed and cleaned up."""
    calls: int
    duration_s: float
    duration_life_s: float
    judged_from_s: float
    samples: int
    """Judged samples."""
    courses: dict[str, Trend]
    """Per measure; empty when there were too few samples to judge."""
    double_dials: int
    dialed_after_final: int
    over_max_retries: int
    drifted: int
    """Campaigns whose public counters were not those of the telephone network."""
    dead_letters: int
    shared: dict[str, int]
    """Fields and members left in shared structures when all campaigns had gone."""
    left: list[str]
    """What is left in Redis and should not be."""
    left_kinds: dict[str, int]
    """All that is left, by kind."""
    findings: list[str]
    problems: list[str]
    history: list[Sample]

    @property
    def growing(self) -> list[str]:
        """The measures that are not flat."""
        return [name for name, course in self.courses.items() if not course.is_flat]

    @property
    def wrong(self) -> list[str]:
        """Everything that must not be, in words."""
        found = [f"{name} grows" for name in self.growing]
        found += [f"{name.replace('_', ' ')}: {getattr(self, name)}" for name in NEVER if getattr(self, name)]
        return [*found, *self.left, *self.findings, *self.problems]


def reported(
    options: SoakOptions,
    turnover: CampaignCycle,
    audit: Audit,
    samples: Sequence[Sample],
    *,
    duration_s: float,
    life_s: float,
    shared: dict[str, int],
    left: list[str],
    left_kinds: dict[str, int],
    dead_letters: int,
    problems: list[str],
) -> Report:
    """Puts a run's figures together."""
    judged = judged_samples(samples, options.warm_up_s)
    enough = len(judged) >= LEAST_SAMPLES
    return Report(
        options=options,
        campaigns=turnover.cleaned,
        calls=audit.total.originates,
        duration_s=round(duration_s, 1),
        duration_life_s=round(life_s, 1),
        judged_from_s=judged[0].at_s if judged else 0.0,
        samples=len(judged),
        courses={name: course_of(judged, name) for name in SHOWN} if enough else {},
        double_dials=audit.double_dials,
        dialed_after_final=audit.dialed_after_final,
        over_max_retries=audit.over_max_retries,
        drifted=turnover.drifted,
        dead_letters=dead_letters,
        shared=shared,
        left=left,
        left_kinds=left_kinds,
        findings=turnover.findings,
        problems=problems,
        history=list(samples),
    )


def describe(report: Report) -> list[str]:
    """The report as lines of plain text."""
    options, hours = report.options, report.duration_life_s / 3600
    lines = [
        f"Covered: {report.campaigns:,} campaigns of {options.contacts} contacts created, dialed to their end, "
        f"completed and cleaned up, {options.at_once} alive at once; "
        f"{report.calls:,} calls by {options.agents} agents; "
        f"{hours / 24:.1f} days of life in {report.duration_s:.0f} s "
        f"(life at speed {options.speed:g}, ticks and expiries in real time).",
        f"Judged: {report.samples} samples from {report.judged_from_s:.0f} s on: the median of the last quarter "
        "against that of the second.",
        "",
        f"{'measure':<16}{'2nd quarter':>14}{'4th quarter':>14}{'growth':>12}{'allowed':>12}"
        f"{'per 1,000 campaigns':>22}",
    ]
    for name, course in report.courses.items():
        allowed = "not judged" if course.allowed is None else _number(name, course.allowed)
        lines.append(
            f"{name:<16}{_number(name, course.second_quarter):>14}{_number(name, course.last_quarter):>14}"
            f"{_number(name, course.growth):>12}{allowed:>12}{_number(name, course.per_1000_campaigns):>22}"
            f"  {'' if course.allowed is None else 'flat' if course.is_flat else 'GROWS'}"
        )
    if not report.courses:
        lines.append("too few samples to judge")
    lines += ["", "Left in Redis, by kind:"]
    lines += [f"  {number:>6}  {kind}" for kind, number in report.left_kinds.items()]
    lines += ["", "Left in structures that all campaigns share (fields or members):"]
    lines += [f"  {number:>6}  {key}" for key, number in report.shared.items() if number]
    lines += ["", *(f"WRONG: {what}" for what in report.wrong)]
    if not report.wrong:
        lines.append("Nothing grows, nothing is left, nobody was called twice, no counter drifted.")
    return lines


def _number(name: str, value: float) -> str:
    if name.startswith("keys") or name == "shared":
        return f"{value:,.1f}"
    return f"{value / MB:,.2f} MB"


def line_of(sample: Sample) -> str:
    """A sample while the run goes on."""
    return (
        f"{sample.at_s:6.0f} s  {sample.campaigns:6,} campaigns  Redis {sample.redis_dataset / MB:6.2f} MB data  "
        f"{sample.keys_lasting:5,} lasting + {sample.keys_expiring:6,} expiring keys  "
        f"replica {sample.replica_rss / MB:6.2f} MB  producer {sample.producer_rss / MB:6.2f} MB"
    )
