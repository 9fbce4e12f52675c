"""One run over one seed: start, inject, heal, let it drain, reckon up."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

import anyio
from redis.exceptions import RedisError

from bench.chaos.environment import Environment, opened
from bench.chaos.faults import CATALOGUE, KINDS, Forgets
from bench.chaos.final_counts import counters, dead_letters, read_end, whereabouts
from bench.chaos.options import MAX_CALL_DURATION_S, ChaosOptions
from bench.chaos.schedule import Planned, plan
from bench.chaos.verdicts import Ending, Figures, Injected
from streamdialer.errors import Unreachable
from streamdialer.simulation.demo.snapshot import Snapshot, take_snapshot

LOOK_EVERY_S: Final = 0.25
GOES_ON_CALLS: Final = 10
GOES_ON_WITHIN_S: Final = 45.0
DRAIN_S: Final = MAX_CALL_DURATION_S + 45.0
STUCK_S: Final = 4.0
"""All calls that are left are past their deadline, and none of them will be heard of."""
IDLE_S: Final = 20.0
"""Longer than the delay of a retry and the interval of retry ticks together."""
STILL_S: Final = 8.0
"""Longer than ring time-out and margin: whoever nobody has heard of by then will stay uncertain."""
Say = Callable[[str], None]
"""Shows one line of progress."""
SEVERITY: Final[tuple[Forgets, ...]] = ("nothing", "a second", "everything")


async def run_chaos(options: ChaosOptions, directory: Path, say: Say) -> Figures:
    """The figures of one run; logs of all processes are left in `directory`.

    Raises CannotBeDone when the dialer does not start.
    """
    async with opened(options, directory) as scene:
        return await _Run(options, scene, say).complete()
    raise AssertionError("unreachable: no context swallows an error")


class _Run:
    def __init__(self, options: ChaosOptions, scene: Environment, say: Say) -> None:
        self._options = options
        self._scene = scene
        self._say = say
        self._started_at = 0.0
        self._timeline: list[Injected] = []
        self._victims: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)
        self._longest_pause_s = 0.0
        self._ended: Ending = "time over"
        self._stuck_since: float | None = None
        self._idle_since: float | None = None
        self._stood_still = 0
        self._forgot_at = -math.inf

    @property
    def _seconds(self) -> float:
        return anyio.current_time() - self._started_at

    async def complete(self) -> Figures:
        scene = self._scene
        self._started_at = anyio.current_time()
        await scene.start_campaigns()
        async with anyio.create_task_group() as attack:
            attack.start_soon(self._watch, attack.cancel_scope)
            await self._inject_all(plan(self._options.seed, self._options.seconds, self._kinds))
            attack.cancel_scope.cancel()
        await scene.heal()
        placed = self._placed
        self._say(f"{self._seconds:6.1f} s  no more faults ({self._ended}), everything heals")
        if self._ended == "time over":
            await self._see_it_go_on(placed)
            await self._see_all_known()
        after_healing = self._placed - placed
        not_drained = await self._drain()
        await scene.crew.end()
        return await self._reckon(after_healing, not_drained)

    @property
    def _kinds(self) -> tuple[str, ...]:
        return self._options.only or KINDS

    @property
    def _placed(self) -> int:
        return self._scene.centre.summary().total.originates

    async def _inject_all(self, planned: list[Planned]) -> None:
        """Returns when all faults are healed and the time is over."""
        async with anyio.create_task_group() as injecting:
            for one in planned:
                await anyio.sleep(max(0.0, one.at_s - self._seconds))
                injecting.start_soon(self._inject, one)
            await anyio.sleep(max(0.0, self._options.seconds - self._seconds))

    async def _inject(self, planned: Planned) -> None:
        fault = CATALOGUE[planned.kind]
        async with self._victims[fault.victim]:
            at_s = self._seconds
            self._say(f"{at_s:6.1f} s  {planned.kind} …")
            if fault.forgets != "nothing":
                self._forgot_at = at_s
            particulars = await fault.inject(self._scene, Random(planned.seed))
            self._timeline.append(Injected(round(at_s, 1), planned.kind, particulars))
            self._say(f"{self._seconds:6.1f} s  {planned.kind}: {particulars}; {self._placed} calls so far")

    async def _watch(self, attack: anyio.CancelScope) -> None:
        """Ends the attack when nothing is left to call; notes how long nobody was called."""
        placed, since = self._placed, self._seconds
        while True:
            await anyio.sleep(LOOK_EVERY_S)
            self._scene.crew.replace_ended()
            now = self._seconds
            if self._placed != placed:
                placed, since = self._placed, now
            self._longest_pause_s = max(self._longest_pause_s, now - since)
            if await self._is_over():
                self._ended = "all contacts final"
                attack.cancel()

    async def _is_over(self) -> bool:
        """Whether nothing is left to call. A dialer that waits for a sign of life from the event producer gets one."""
        look = await self._look()
        if look is None:
            return False
        now = self._seconds
        if not look.is_stuck or any(lock.locked() for lock in self._victims.values()):
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now
        elif now - self._stuck_since > STUCK_S and now - self._forgot_at > MAX_CALL_DURATION_S:
            self._stuck_since = None
            if self._scene.distortion.repeat_last_end():
                self._stood_still += 1
                self._say(f"{now:6.1f} s  no call events: an old one is repeated")
        if not _has_nothing_to_do(look):
            self._idle_since = None
            return False
        if look.total("final") >= self._options.people:
            return True
        # A ledger that has forgotten its finished contacts: those the backend's lists bring back take their time.
        self._idle_since = now if self._idle_since is None else self._idle_since
        return now - self._idle_since > IDLE_S

    async def _look(self) -> Snapshot | None:
        """None while Redis is away."""
        try:
            with anyio.fail_after(2):
                return await take_snapshot(self._scene.client, self._scene.centre.keys, self._scene.centre)
        except (RedisError, OSError, Unreachable):
            return None

    async def _see_it_go_on(self, placed: int) -> None:
        """Until some calls have been placed after the last fault, or nothing is left to call."""
        with anyio.move_on_after(GOES_ON_WITHIN_S):
            while self._placed < placed + GOES_ON_CALLS:
                if await self._is_over():
                    self._ended = "all contacts final"
                    return
                await anyio.sleep(LOOK_EVERY_S)

    async def _see_all_known(self) -> None:
        """Until the ledger knows everybody: after a rebuilding, retry ticks bring back those the backend has as due."""
        with anyio.move_on_after(IDLE_S):
            while whereabouts(self._scene, await read_end(self._scene), "nothing").lost:  # noqa: ASYNC110
                await anyio.sleep(1)

    async def _drain(self) -> list[str]:
        """No new calls; waits until no phone is up and everybody has been told. What is left, in words."""
        scene, left = self._scene, ["Redis does not answer"]
        await scene.pause_campaigns()
        still_since: float | None = None
        with anyio.move_on_after(DRAIN_S):
            while True:
                look = await self._look()
                if look is not None:
                    left = _work_left(look, scene.distortion.held)
                    if not left and not look.total("ringing") + look.total("orphaned"):
                        return []
                    # Attempts nobody has heard of may stay for ever: silence is no evidence.
                    still_since = (still_since or self._seconds) if not left else None
                    patience_s = STILL_S + (MAX_CALL_DURATION_S if look.total("orphaned") else 0)
                    if still_since is not None and self._seconds - still_since > patience_s:
                        return []
                await anyio.sleep(LOOK_EVERY_S)
        return left

    async def _reckon(self, after_healing: int, not_drained: list[str]) -> Figures:
        scene = self._scene
        forgets = [CATALOGUE[one.kind].forgets for one in self._timeline]
        forgot: Forgets = max(forgets, key=SEVERITY.index, default="nothing")
        ends = await read_end(scene)
        found = whereabouts(scene, ends, forgot)
        letters, unexplained = await dead_letters(scene)
        audit = scene.centre.summary()
        return Figures(
            seed=self._options.seed,
            without=self._options.without,
            ended=self._ended,
            seconds=round(self._seconds, 1),
            contacts=self._options.people,
            contacts_final=found.final,
            faults=dict(sorted(Counter(one.kind for one in self._timeline).items())),
            timeline=self._timeline,
            forgot=forgot,
            calls_placed=audit.total.originates,
            calls_after_healing=after_healing,
            longest_pause_s=round(self._longest_pause_s, 1),
            double_calls=audit.calls_to_live_phones,
            keys_repeated=len(audit.repeated_keys),
            dialed_after_final=audit.dialed_after_final,
            over_max_retries=audit.over_max_retries,
            contacts_lost=found.lost,
            retries_forgotten=found.retries_forgotten,
            counters=counters(scene, ends, forgot),
            dead_letters=letters,
            dead_letters_unexplained=unexplained,
            malformed_injected=dict(sorted(scene.injected.items())),
            uncertain_left=found.uncertain,
            unresolved=found.unresolved,
            not_drained=not_drained,
            stood_still=self._stood_still,
            started_again=scene.crew.started_again,
            problems=scene.crew.problems,
            findings=audit.findings,
        )


def _has_nothing_to_do(look: Snapshot) -> bool:
    """Neither ledger nor backend has anybody who is to be called or is being called."""
    shown = look.audit.contacts
    unfinished = sum(shown.get(status, 0) for status in ("pending", "dialing", "answered"))
    return not look.unfinished and not unfinished and not look.audit.live_calls


def _work_left(look: Snapshot, events_held: int) -> list[str]:
    """What must come to nothing in a drained run, in words."""
    amounts = {
        "live calls": look.audit.live_calls,
        "events not written": look.audit.events_waiting + events_held,
        "contacts reserved": look.total("reserved"),
        "contacts connected": look.total("connected"),
        "contacts the backend has not been told of": look.total("unconfirmed"),
        **{f"entries in {stream.stream}": stream.length for stream in look.overview.streams},
    }
    return [f"{amount} {what}" for what, amount in amounts.items() if amount]
