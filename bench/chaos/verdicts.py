"""The figures of a run, and the verdict on every promise: a pure function of the figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal

import msgspec

from bench.chaos.faults import CATALOGUE, Forgets

Ending = Literal["time over", "all contacts final"]
MISLEADING: Final = frozenset(kind for kind, fault in CATALOGUE.items() if fault.misleads)
DELAYING: Final = frozenset(kind for kind, fault in CATALOGUE.items() if fault.delays_updates)
BETWEEN_READ_AND_WRITE: Final = DELAYING | {"backend_slow", "redis_stalled"}
"""A process reads the contact, and sends its update much later."""
EFFECT_AFTER_S: Final = 5.0
"""Longer than calls ring: until then what was placed by mistake has been answered or has ended."""
LEVELS: Final = ("active_calls", "connected_calls")


class Counter(msgspec.Struct, frozen=True):
    """One field of `campaign:{id}` at the end of the run."""

    campaign: str
    field: str
    public: int
    auditor: int
    unplaced: int
    """Attempts marked as sent whose request never arrived: the dialer cannot know, so it counts them."""
    unheard: int = 0
    """What lost events change: attempts that count as failed because their end was not heard; below 0, the most answers
    that are missing, because they were not heard before the end (they count after all when they come late)."""
    unknown: int = 0
    """The most attempts more whose end nobody saw before their contacts left the ledger."""

    @property
    def drift(self) -> int:
        difference = self.public - self.auditor - self.unplaced
        least, most = self.unheard, max(0, self.unheard) + self.unknown
        return difference - min(max(difference, least), most)


class InjectedFault(msgspec.Struct, frozen=True):
    """One fault that was injected."""

    at_s: float
    until_s: float
    kind: str
    details: str


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Everything measured in one run."""

    seed: int
    without: str | None
    ended: Ending
    seconds: float
    """Wall clock, from the start of the campaigns to the end of all processes."""
    contacts: int
    contacts_final: int
    faults: dict[str, int]
    """Injected, by kind."""
    timeline: list[InjectedFault]
    forgot: Forgets
    """The most that Redis lost by any of them."""
    calls_placed: int
    calls_after_healing: int
    longest_pause_s: float
    """Longest wall-clock time without a new call before the end of the faults."""
    double_calls: int
    """Calls to a phone that was ringing or talking because of an earlier call."""
    keys_repeated: int
    """Idempotency keys that placed more than one call, one after the other: Redis had lost the first."""
    dialed_after_final: int
    over_max_retries: int
    """Both without contacts whose updates the backend refused."""
    refused_called_again: int
    """Contacts whose updates the backend refused, and that a campaign called after its final result or too often."""
    refused_called_by_another_list: int
    """Such contacts in two lists, called after a final result of the other list's call, of which the backend knows
    nothing."""
    updates_refused: int
    set_back_s: list[float]
    """When an older update took contacts that the backend had as finished, and left them unfinished at the end."""
    set_back_for_a_moment_s: list[float]
    """When it took those that a later update has finished again."""
    ended_by_backend: int
    """Contacts that the backend itself has ended."""
    calls_to_ended: int
    """Calls placed to them later than the dialer may go by what the backend showed before."""
    ends_overwritten_s: list[float]
    """When an update gave one of them another status."""
    progressive_calls: int
    without_agent_s: list[float]
    """When a progressive call was placed although fewer agents were free than phones rang."""
    abandoned_s: list[float]
    """When a person who answered a progressive call found no agent."""
    contacts_lost: list[str]
    """In words."""
    retries_forgotten: list[str]
    """Contacts that have attempts left and will not be called again, in words."""
    counters: list[Counter]
    dead_letters: dict[str, int]
    """By reason."""
    dead_letters_unexplained: list[str]
    """Those not caused by the malformed entries of the run, in words."""
    malformed_injected: dict[str, int]
    uncertain_left: int
    """Contacts whose attempt will never get an event: held, not dialed again, not lost."""
    unresolved: list[str]
    """Contacts still held although their call was placed and has ended."""
    not_drained: list[str]
    stalls: int
    """How often all open requests were lost and dialing stood still, as it must, until an event came."""
    restarts: int
    """Processes that could not reach Redis at their start and ended."""
    problems: list[str]
    """What processes did wrong."""
    findings: list[str]
    """The first violations the simulated telephone network saw, in words."""
    logs: str | None = None


class Verdict(msgspec.Struct, frozen=True):
    """One promise."""

    promise: str
    holds: bool
    why: str
    """The figures behind it."""


def evaluate(figures: Figures) -> list[Verdict]:
    """The verdict on every promise."""
    return list(_verdicts(figures))


def _verdicts(figures: Figures) -> Iterator[Verdict]:
    forgot_all = figures.forgot == "everything"
    excuse = " (Redis lost everything: reported, no verdict)" if forgot_all else ""
    yield _require_zero("double calls", figures.double_calls)
    forgot = " (Redis lost data: reported, no verdict)" if figures.forgot != "nothing" else ""
    yield Verdict(
        "no key used twice", bool(forgot) or not figures.keys_repeated, f"{figures.keys_repeated}{forgot}"
    )
    for promise, number in (
        ("dialed after final", figures.dialed_after_final),
        ("over max retries", figures.over_max_retries),
    ):
        yield Verdict(promise, forgot_all or number == 0, f"{number}{excuse}")
    refused = figures.refused_called_again
    yield Verdict("refused updates repeat no call", bool(forgot) or not refused, f"{refused}{forgot}")
    yield Verdict(
        "no finished contact set back",
        not figures.set_back_s and not _unexplained(figures.set_back_for_a_moment_s, DELAYING, figures),
        f"{len(figures.set_back_s)}, and {len(figures.set_back_for_a_moment_s)} for a moment",
    )
    overwritten = _unexplained(figures.ends_overwritten_s, BETWEEN_READ_AND_WRITE, figures)
    counts = f"{figures.calls_to_ended} called, {len(figures.ends_overwritten_s)} overwritten"
    yield Verdict(
        "contacts that the backend ends stay ended",
        not figures.calls_to_ended and not overwritten,
        f"{counts}, of {figures.ended_by_backend}",
    )
    for promise, times in (
        ("an agent for each progressive call", figures.without_agent_s),
        ("no progressive call abandoned", figures.abandoned_s),
    ):
        yield _require_empty(promise, _unexplained(times, MISLEADING, figures))
    yield _require_empty("contacts lost", figures.contacts_lost)
    yield _require_empty("retries forgotten", figures.retries_forgotten)
    drifting = [counter for counter in figures.counters if _is_wrong(counter, figures.forgot)]
    yield _require_empty(
        "counters without drift",
        [
            f"campaign {counter.campaign} {counter.field} is {counter.public}, the auditor counts {counter.auditor}"
            + (f" and {counter.unplaced} never arrived" if counter.unplaced else "")
            + (f" and lost events change it by {counter.unheard}" if counter.unheard else "")
            for counter in drifting
        ],
    )
    yield _require_empty("dead letters explained", figures.dead_letters_unexplained)
    yield _require_empty("held calls resolved", figures.unresolved)
    yield _require_empty("drained", figures.not_drained)
    yield _require_empty("processes well", figures.problems)
    resumed = figures.calls_after_healing > 0 or figures.ended == "all contacts final"
    yield Verdict("dialing went on", resumed, f"{figures.calls_after_healing} calls after the last fault")


def _unexplained(times: list[float], kinds: frozenset[str], figures: Figures) -> list[str]:
    """In words, the times at which none of these faults had an effect."""
    faults = [fault for fault in figures.timeline if fault.kind in kinds]
    return [
        f"at {at:g} s"
        for at in times
        if not any(fault.at_s <= at <= fault.until_s + EFFECT_AFTER_S for fault in faults)
    ]


def _is_wrong(counter: Counter, forgot: Forgets) -> bool:
    """After a data loss counters may be too low, never too high; levels must be right again."""
    if forgot == "nothing" or counter.field in LEVELS:
        return counter.drift != 0
    return counter.drift > 0


def _require_zero(promise: str, number: int) -> Verdict:
    return Verdict(promise, number == 0, str(number))


def _require_empty(promise: str, problems: list[str]) -> Verdict:
    return Verdict(promise, not problems, f"{len(problems)}: {'; '.join(problems[:3])}" if problems else "0")


def to_json(figures: Figures) -> Mapping[str, object]:
    """What `--json` prints."""
    verdicts = evaluate(figures)
    content: dict[str, object] = msgspec.to_builtins(figures)
    content["drift"] = {
        f"{counter.campaign}:{counter.field}": counter.drift
        for counter in figures.counters
        if counter.drift != 0
    }
    content["verdicts"] = {
        verdict.promise: {"holds": verdict.holds, "why": verdict.why} for verdict in verdicts
    }
    content["holds"] = all(verdict.holds for verdict in verdicts)
    return content
