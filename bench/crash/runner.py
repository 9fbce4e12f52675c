"""The whole attack: record the plays, check that they cover the code, then one death per point, several at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from random import Random
from typing import Final

import anyio
import msgspec

from bench.crash.coverage import uncovered
from bench.crash.run import Ending, play_once, recording
from bench.crash.scenario import PLAYS, ScenarioName
from streamdialer.simulation.embedded_redis import EmbeddedServer

HELD_UP_S: Final = 1.0
"""A harness held up for longer by the machine is no telephone network: calls may begin after their deadline, which is
more than the dialer allows for. What such a run finds is found again by another, or was not there."""
TRIES: Final = 3
"""Runs until somebody comes to a point, how often being a matter of timing; after the first run any passage will do."""


class Plan(msgspec.Struct, frozen=True):
    """A point and which of its passages is the last."""

    play: ScenarioName
    point: str
    occurrence: int


class Recorded(msgspec.Struct, frozen=True):
    """What the recording runs gave."""

    plans: list[Plan]
    uncovered: list[str]
    """Effects of the code that no point stands for, in words."""


class Row(msgspec.Struct, kw_only=True):
    """A line of the result: one death and what was true afterwards."""

    point: str
    play: ScenarioName
    occurrence: int
    hit: bool
    """Whether somebody died there; a point nobody reached says nothing."""
    calls: int
    double_calls: int
    lost_contacts: int
    attempts_burned: int
    uncertain: int
    """Attempts that were never placed and were ended as failed by their deadline, as the contract has it."""
    open_calls: int
    """At the death: what `uncertain` may be at most."""
    findings: list[str]
    logs: str
    runs: int = 1
    """More than one: nobody came to the point at first, or the machine held the harness up and something was wrong."""

    @property
    def is_clean(self) -> bool:
        return not (self.double_calls or self.lost_contacts or self.attempts_burned or self.findings)


class Result(msgspec.Struct, kw_only=True):
    """Everything, as `--json` prints it."""

    seed: int
    points: int
    """That the recording runs passed; more than there are rows when only some were asked for."""
    uncovered: list[str]
    without: list[str]
    rows: list[Row]
    is_good: bool


async def record(seed: int, *, at: Random | None = None) -> Recorded:
    """All points, each to be reached the median time; `at` draws another passage. Raises CannotBeDone."""
    plans: dict[str, Plan] = {}
    codes: set[str] = set()
    with EmbeddedServer() as server:
        for play in PLAYS:
            passages = await recording(server, play, seed)
            codes |= passages.codes
            for point, times in passages.points.items():
                occurrence = at.randint(1, times) if at else (times + 1) // 2
                plans.setdefault(point, Plan(play, point, occurrence))
    return Recorded(list(plans.values()), uncovered(codes))


def choose(
    plans: Sequence[Plan], *, only: Sequence[str] = (), sample: int | None = None, seed: int = 0
) -> list[Plan]:
    """Those that match one of the patterns (a part of the name, or with * and ?), then a seeded sample of them."""
    chosen = [plan for plan in plans if not only or any(_matches(plan.point, pattern) for pattern in only)]
    if sample is None or sample >= len(chosen):
        return chosen
    return Random(f"{seed}:points").sample(sorted(chosen, key=lambda plan: plan.point), sample)


def _matches(point: str, pattern: str) -> bool:
    return pattern in point or fnmatchcase(point, pattern)


async def attack(
    plans: Sequence[Plan],
    seed: int,
    *,
    jobs: int = 2,
    without: tuple[str, ...] = (),
    done: Callable[[Row], None] = lambda _: None,
) -> list[Row]:
    """One row per plan, in their order; `jobs` runs go on at once."""
    waiting = deque(enumerate(plans))
    rows: dict[int, Row] = {}

    async def work() -> None:
        with EmbeddedServer() as server:
            while waiting:
                number, plan = waiting.popleft()
                rows[number] = await _try(server, plan, seed, without)
                done(rows[number])

    async with anyio.create_task_group() as tasks:
        for _ in range(min(jobs, len(plans))):
            tasks.start_soon(work)
    return [rows[number] for number in range(len(plans))]


async def _try(server: EmbeddedServer, plan: Plan, seed: int, without: tuple[str, ...]) -> Row:
    row, occurrence = None, plan.occurrence
    for runs in range(1, TRIES + 1):
        ending = await play_once(
            server, plan.play, seed, point=plan.point, occurrence=occurrence, without=without
        )
        row = _row(plan, occurrence, ending)
        row.runs = runs
        if row.hit if row.is_clean else ending.held_up_s < HELD_UP_S:
            break
        if not row.is_clean:
            row.findings.append(f"the machine held the harness up for {ending.held_up_s:.1f} s")
        if not row.hit:
            occurrence = 1
    assert row is not None
    return row


def _row(plan: Plan, occurrence: int, ending: Ending) -> Row:
    verdict, death = ending.verdict, ending.death
    return Row(
        point=plan.point,
        play=plan.play,
        occurrence=occurrence,
        hit=death is not None,
        calls=verdict.calls,
        double_calls=verdict.double_calls,
        lost_contacts=verdict.lost_contacts,
        attempts_burned=verdict.attempts_burned,
        uncertain=verdict.uncertain,
        open_calls=death.open_calls if death else 0,
        findings=verdict.findings,
        logs=ending.logs,
    )
