"""One run with one seed: start, inject faults, heal, drain, count."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

import anyio
from redis.exceptions import RedisError

from bench.chaos.environment import Environment, open_environment
from bench.chaos.faults import CATALOGUE, KINDS, Forgets
from bench.chaos.final_counts import compare_counters, count_contacts, count_dead_letters, read_ends
from bench.chaos.options import MAX_CALL_DURATION_S, ChaosOptions
from bench.chaos.schedule import PlannedFault, plan
from bench.chaos.verdicts import Ending, Figures, InjectedFault
from streamdialer.errors import Unreachable
from streamdialer.simulation.demo.snapshot import Snapshot, take_snapshot
from streamdialer.simulation.world.entities import Id

POLL_INTERVAL_S: Final = 0.25
RESUME_CALLS: Final = 10
RESUME_TIMEOUT_S: Final = 45.0
DRAIN_TIMEOUT_S: Final = MAX_CALL_DURATION_S + 45.0
STUCK_S: Final = 4.0
"""After this time all remaining calls are past their deadline without an event."""
IDLE_S: Final = 20.0
"""Longer than the retry delay plus the interval of retry ticks."""
STILL_S: Final = 8.0
"""Longer than ring time-out plus margin: contacts without an event by then stay uncertain."""
Print = Callable[[str], None]
"""Prints one line of progress."""
SEVERITY: Final[tuple[Forgets, ...]] = ("nothing", "a second", "everything")


async def run_chaos(options: ChaosOptions, directory: Path, print_line: Print) -> Figures:
    """The figures of one run; the logs of all processes are in `directory`.

    Raises CannotBeDone when the dialer does not start.
    """
    async with open_environment(options, directory) as environment:
        return await _Run(options, environment, print_line).complete()
    raise AssertionError("unreachable: no context swallows an error")


class _Run:
    def __init__(self, options: ChaosOptions, environment: Environment, print_line: Print) -> None:
        self._options = options
        self._environment = environment
        self._print = print_line
        self._started_at = 0.0
        self._started_life = 0.0
        self._timeline: list[InjectedFault] = []
        self._victim_locks: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)
        self._longest_pause_s = 0.0
        self._ended: Ending = "time over"
        self._stuck_since: float | None = None
        self._idle_since: float | None = None
        self._stalls = 0
        self._forgot_at = -math.inf

    @property
    def _seconds(self) -> float:
        return anyio.current_time() - self._started_at

    def _wall_s(self, life_s: float) -> float:
        """Seconds since the start of the campaigns."""
        return round((life_s - self._started_life) / self._options.speed, 1)

    async def complete(self) -> Figures:
        environment = self._environment
        self._started_at, self._started_life = anyio.current_time(), environment.centre.now
        await environment.start_campaigns()
        async with anyio.create_task_group() as attack:
            attack.start_soon(self._watch, attack.cancel_scope)
            await self._inject_all(plan(self._options.seed, self._options.seconds, self._kinds))
            attack.cancel_scope.cancel()
        await environment.heal()
        placed = self._placed
        self._print(f"{self._seconds:6.1f} s  no more faults ({self._ended}), everything is healed")
        if self._ended == "time over":
            await self._wait_until_resumed(placed)
            await self._wait_until_rebuilt()
        after_healing = self._placed - placed
        not_drained = await self._drain()
        await environment.pool.stop()
        return await self._figures(after_healing, not_drained)

    @property
    def _kinds(self) -> tuple[str, ...]:
        return self._options.only or KINDS

    @property
    def _placed(self) -> int:
        return self._environment.centre.summary().total.originates

    async def _inject_all(self, planned: list[PlannedFault]) -> None:
        """Returns when all faults are healed and the time is over."""
        async with anyio.create_task_group() as injecting:
            for fault in planned:
                await anyio.sleep(max(0.0, fault.at_s - self._seconds))
                injecting.start_soon(self._inject, fault)
            await anyio.sleep(max(0.0, self._options.seconds - self._seconds))

    async def _inject(self, planned: PlannedFault) -> None:
        fault = CATALOGUE[planned.kind]
        async with self._victim_locks[fault.victim]:
            at_s = self._seconds
            self._print(f"{at_s:6.1f} s  {planned.kind} …")
            if fault.forgets != "nothing":
                self._forgot_at = at_s
            details = await fault.inject(self._environment, Random(planned.seed))
            self._timeline.append(
                InjectedFault(round(at_s, 1), round(self._seconds, 1), planned.kind, details)
            )
            self._print(f"{self._seconds:6.1f} s  {planned.kind}: {details}; {self._placed} calls so far")

    async def _watch(self, attack: anyio.CancelScope) -> None:
        """Ends the attack when no contact is left to call; records the longest time without a new call."""
        placed, since = self._placed, self._seconds
        while True:
            await anyio.sleep(POLL_INTERVAL_S)
            self._environment.pool.replace_ended()
            now = self._seconds
            if self._placed != placed:
                placed, since = self._placed, now
            self._longest_pause_s = max(self._longest_pause_s, now - since)
            if await self._is_over():
                self._ended = "all contacts final"
                attack.cancel()

    async def _is_over(self) -> bool:
        """Whether no contact is left to call. When the dialer waits for any call event, its source starts again."""
        snapshot = await self._snapshot()
        if snapshot is None:
            return False
        now = self._seconds
        if not snapshot.is_stuck or any(lock.locked() for lock in self._victim_locks.values()):
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now
        elif now - self._stuck_since > STUCK_S and now - self._forgot_at > MAX_CALL_DURATION_S:
            self._stuck_since = None
            self._environment.centre.restart_event_source()
            self._stalls += 1
            self._print(f"{now:6.1f} s  no call events: the event source starts again")
        if not self._has_nothing_to_do(snapshot):
            self._idle_since = None
            return False
        if snapshot.total("final") >= self._options.contact_count:
            return True
        # After a data loss the ledger lacks final contacts; contacts from the backend's lists need time to come back.
        self._idle_since = now if self._idle_since is None else self._idle_since
        return now - self._idle_since > IDLE_S

    def _has_nothing_to_do(self, snapshot: Snapshot) -> bool:
        """No contact is to be called or being called, neither in the ledger nor in the backend."""
        refused = self._environment.centre.backend.newest_update_refused
        is_unfinished = any(
            contact.status in ("pending", "dialing", "answered") and contact.id not in refused
            for contact in self._environment.centre.world.contacts.values()
        )
        return not snapshot.unfinished and not is_unfinished and not snapshot.audit.live_calls

    async def _snapshot(self) -> Snapshot | None:
        """None while Redis is down."""
        try:
            with anyio.fail_after(2):
                await self._environment.remember_ended_contacts()
                return await take_snapshot(self._environment.client, self._environment.centre)
        except (RedisError, OSError, Unreachable):
            return None

    async def _wait_until_resumed(self, placed: int) -> None:
        """Returns when some calls have been placed after the last fault, or no contact is left to call."""
        with anyio.move_on_after(RESUME_TIMEOUT_S):
            while self._placed < placed + RESUME_CALLS:
                if await self._is_over():
                    self._ended = "all contacts final"
                    return
                await anyio.sleep(POLL_INTERVAL_S)

    async def _wait_until_rebuilt(self) -> None:
        """Returns when the ledger knows every contact: after a rebuild, retry ticks load those that are due."""
        with anyio.move_on_after(IDLE_S):
            while count_contacts(self._environment, await read_ends(self._environment), "nothing").lost:  # noqa: ASYNC110
                await anyio.sleep(1)

    async def _drain(self) -> list[str]:
        """Pauses the campaigns and waits until all calls and events are handled; returns what is left, in words."""
        environment, left = self._environment, ["Redis does not answer"]
        await environment.pause_campaigns()
        still_since: float | None = None
        with anyio.move_on_after(DRAIN_TIMEOUT_S):
            while True:
                snapshot = await self._snapshot()
                if snapshot is not None:
                    left = _work_left(snapshot, environment.event_faults.held)
                    if not left and not snapshot.total("ringing") + snapshot.total("orphaned"):
                        return []
                    # Attempts without an event may stay for ever: no event proves nothing.
                    still_since = (still_since or self._seconds) if not left else None
                    patience_s = STILL_S + (MAX_CALL_DURATION_S if snapshot.total("orphaned") else 0)
                    if still_since is not None and self._seconds - still_since > patience_s:
                        return []
                await anyio.sleep(POLL_INTERVAL_S)
        return left

    async def _figures(self, after_healing: int, not_drained: list[str]) -> Figures:
        environment = self._environment
        forgets = [CATALOGUE[fault.kind].forgets for fault in self._timeline]
        forgot: Forgets = max(forgets, key=SEVERITY.index, default="nothing")
        ends = await read_ends(environment)
        contacts = count_contacts(environment, ends, forgot)
        letters, unexplained = await count_dead_letters(environment)
        audit, auditor = environment.centre.summary(), environment.centre.world.auditor
        refused = environment.centre.backend.updates_refused
        after_final: defaultdict[bool, set[Id]] = defaultdict(set)
        for contact, is_another_list in auditor.dialed_after_final:
            after_final[is_another_list].add(contact)
        campaigns = environment.centre.world.campaigns.values()
        progressive = [campaign.id for campaign in campaigns if campaign.dial_mode == "progressive"]
        return Figures(
            seed=self._options.seed,
            without=self._options.without,
            ended=self._ended,
            seconds=round(self._seconds, 1),
            contacts=self._options.contact_count,
            contacts_final=contacts.final,
            faults=dict(sorted(Counter(fault.kind for fault in self._timeline).items())),
            timeline=self._timeline,
            forgot=forgot,
            calls_placed=audit.total.originates,
            calls_after_healing=after_healing,
            longest_pause_s=round(self._longest_pause_s, 1),
            double_calls=audit.calls_to_live_phones,
            keys_repeated=len(audit.repeated_keys),
            dialed_after_final=sum(
                times for (contact, _), times in auditor.dialed_after_final.items() if contact not in refused
            ),
            over_max_retries=len(auditor.over_max_retries - refused.keys()),
            refused_called_again=len(refused.keys() & (auditor.over_max_retries | after_final[False])),
            refused_called_by_another_list=len(refused.keys() & after_final[True]),
            updates_refused=refused.total(),
            ended_by_backend=len(auditor.ended_by_backend),
            calls_to_ended=len(auditor.calls_to_ended),
            ends_overwritten_s=[self._wall_s(at) for at in auditor.ends_overwritten],
            set_back_s=[self._wall_s(at) for at in auditor.set_back.values()],
            set_back_for_a_moment_s=[self._wall_s(at) for at in auditor.set_back_for_a_moment],
            progressive_calls=sum(auditor.campaigns[campaign].originates for campaign in progressive),
            without_agent_s=[self._wall_s(at) for at in auditor.calls_without_agent],
            abandoned_s=[self._wall_s(at) for at, campaign in auditor.abandoned if campaign in progressive],
            contacts_lost=contacts.lost,
            retries_forgotten=contacts.retries_forgotten,
            counters=compare_counters(environment, ends, forgot),
            dead_letters=letters,
            dead_letters_unexplained=unexplained,
            malformed_injected=dict(sorted(environment.malformed_injected.items())),
            uncertain_left=contacts.uncertain,
            unresolved=contacts.unresolved,
            not_drained=not_drained,
            stalls=self._stalls,
            restarts=environment.pool.restarts,
            problems=environment.pool.problems,
            findings=audit.findings,
        )


def _work_left(snapshot: Snapshot, events_held: int) -> list[str]:
    """What must be 0 in a drained run, in words."""
    amounts = {
        "live calls": snapshot.audit.live_calls,
        "events not written": snapshot.audit.events_waiting + events_held,
        "contacts reserved": snapshot.total("reserved"),
        "contacts connected": snapshot.total("connected"),
        "contacts whose result the backend does not have": snapshot.total("unconfirmed"),
        **{f"entries in {stream.stream}": stream.length for stream in snapshot.overview.streams},
    }
    return [f"{amount} {name}" for name, amount in amounts.items() if amount]
