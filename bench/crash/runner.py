"""The whole bench: records the scenarios, checks that they cover the code, then runs one crash per point."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from random import Random
from typing import Final

import anyio
import msgspec

from bench.crash.coverage import uncovered
from bench.crash.run import RunResult, record_scenario, run_scenario
from bench.crash.scenario import SCENARIOS, ScenarioName
from streamdialer.broker.connection import TRANSIENT
from streamdialer.simulation.embedded_redis import EmbeddedServer

MAX_STALL_S: Final = 1.0
"""After a longer stall of the harness its calls may start after their deadline, which the dialer does not allow for.
The findings of such a run count only if another run confirms them."""
MAX_RUNS: Final = 3
"""Most runs per point: whether a process reaches it depends on timing. After the first run any passage counts."""


class CrashPlan(msgspec.Struct, frozen=True):
    """A crash: at which passage of which point."""

    scenario: ScenarioName
    point: str
    occurrence: int


class Recorded(msgspec.Struct, frozen=True):
    """The result of the recording runs."""

    plans: list[CrashPlan]
    uncovered: list[str]
    """Effects of the code without a point, in words."""


class CrashResult(msgspec.Struct, kw_only=True):
    """One row of the report: a crash and what was true afterwards."""

    point: str
    scenario: ScenarioName
    occurrence: int
    hit: bool
    """Whether a process crashed there."""
    calls: int
    double_calls: int
    lost_contacts: int
    attempt_mismatches: int
    calls_without_agent: int
    uncertain: int
    """Attempts that were never placed and were ended as failed by their deadline, as the contract says."""
    open_calls: int
    """At the crash: the highest allowed value of `uncertain`."""
    findings: list[str]
    logs: str
    runs: int = 1
    """More than one when the point was not reached, or when the run was not clean and the harness had stalled."""

    @property
    def is_clean(self) -> bool:
        return not (self.double_calls or self.lost_contacts or self.attempt_mismatches or self.findings)


class CrashReport(msgspec.Struct, kw_only=True):
    """The whole report, as `--json` prints it."""

    seed: int
    points: int
    """Number of recorded points; there are fewer rows when only some were selected."""
    uncovered: list[str]
    without: list[str]
    rows: list[CrashResult]
    is_good: bool


async def record(seed: int, *, at: Random | None = None) -> Recorded:
    """A plan for every point, at its median passage, or at a passage drawn from `at`. Raises CannotBeDone."""
    plans: dict[str, CrashPlan] = {}
    codes: set[str] = set()
    with EmbeddedServer() as server:
        for scenario in SCENARIOS:
            recorded = await record_scenario(server, scenario, seed)
            codes |= recorded.effects
            for point, times in recorded.points.items():
                occurrence = at.randint(1, times) if at else (times + 1) // 2
                plans.setdefault(point, CrashPlan(scenario, point, occurrence))
    return Recorded(list(plans.values()), uncovered(codes))


def select_plans(
    plans: Sequence[CrashPlan], *, only: Sequence[str] = (), sample: int | None = None, seed: int = 0
) -> list[CrashPlan]:
    """The plans whose point contains or matches one of the patterns (with * and ?), or a seeded sample of them."""
    selected = [plan for plan in plans if not only or any(_matches(plan.point, pattern) for pattern in only)]
    if sample is None or sample >= len(selected):
        return selected
    return Random(f"{seed}:points").sample(sorted(selected, key=lambda plan: plan.point), sample)


def _matches(point: str, pattern: str) -> bool:
    return pattern in point or fnmatchcase(point, pattern)


async def run_crashes(
    plans: Sequence[CrashPlan],
    seed: int,
    *,
    jobs: int = 2,
    without: tuple[str, ...] = (),
    done: Callable[[CrashResult], None] = lambda _: None,
) -> list[CrashResult]:
    """One result per plan, in the same order, from `jobs` parallel runs."""
    waiting = deque(enumerate(plans))
    rows: dict[int, CrashResult] = {}

    async def work() -> None:
        with EmbeddedServer() as server:
            while waiting:
                number, plan = waiting.popleft()
                rows[number] = await _run_plan(server, plan, seed, without)
                done(rows[number])

    async with anyio.create_task_group() as tasks:
        for _ in range(min(jobs, len(plans))):
            tasks.start_soon(work)
    return [rows[number] for number in range(len(plans))]


async def _run_plan(
    server: EmbeddedServer, plan: CrashPlan, seed: int, without: tuple[str, ...]
) -> CrashResult:
    row, occurrence = None, plan.occurrence
    for runs in range(1, MAX_RUNS + 1):
        try:
            result = await run_scenario(
                server, plan.scenario, seed, point=plan.point, occurrence=occurrence, without=without
            )
        except TRANSIENT:  # the harness stalled, and so its Redis did not answer in time
            if runs == MAX_RUNS:
                raise
            continue
        row = _row(plan, occurrence, result)
        row.runs = runs
        if row.hit if row.is_clean else result.longest_stall_s < MAX_STALL_S:
            break
        if not row.is_clean:
            row.findings.append(f"the harness stalled for {result.longest_stall_s:.1f} s")
        if not row.hit:
            occurrence = 1
    assert row is not None
    return row


def _row(plan: CrashPlan, occurrence: int, result: RunResult) -> CrashResult:
    verdict, crash = result.verdict, result.crash
    return CrashResult(
        point=plan.point,
        scenario=plan.scenario,
        occurrence=occurrence,
        hit=crash is not None,
        calls=verdict.calls,
        double_calls=verdict.double_calls,
        lost_contacts=verdict.lost_contacts,
        attempt_mismatches=verdict.attempt_mismatches,
        calls_without_agent=verdict.calls_without_agent,
        uncertain=verdict.uncertain,
        open_calls=crash.open_calls if crash else 0,
        findings=verdict.findings,
        logs=result.logs,
    )
