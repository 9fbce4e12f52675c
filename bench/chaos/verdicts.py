"""What a run came to, and whether every promise held: a pure function of the figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal

import msgspec

from bench.chaos.faults import Forgets

Ending = Literal["time over", "all contacts final"]
TOTALS: Final = (
    "total_calls",
    "answered_calls",
    "abandoned",
    "machine",
    "busy",
    "no_answer",
    "failed",
    "active_calls",
    "connected_calls",
)
LEVELS: Final = ("active_calls", "connected_calls")


class Counter(msgspec.Struct, frozen=True):
    """One field of `campaign:{id}` at the end."""

    campaign: str
    field: str
    public: int
    auditor: int
    unplaced: int
    """Attempts that were marked as sent and whose request never arrived: nobody can know, so they count."""
    unheard: int = 0
    """Attempts whose events Redis was made to forget: silence ended them as failed, whatever they came to."""

    @property
    def drift(self) -> int:
        return self.public - self.auditor - self.unplaced - self.unheard


class Injected(msgspec.Struct, frozen=True):
    """One fault that was injected."""

    at_s: float
    kind: str
    particulars: str


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
    timeline: list[Injected]
    forgot: Forgets
    """The most that Redis was made to forget by any of them."""
    calls_placed: int
    calls_after_healing: int
    longest_pause_s: float
    """Wall clock, the longest time without any call before the end of the faults."""
    double_calls: int
    """Calls to a phone that rang or talked because of an earlier one."""
    keys_repeated: int
    """Idempotency keys that placed more than one call, one after the other: Redis has forgotten the first."""
    dialed_after_final: int
    over_max_retries: int
    contacts_lost: list[str]
    """In words."""
    retries_forgotten: int
    """Contacts the backend shows as failed with attempts left, and whom nobody will call again."""
    counters: list[Counter]
    dead_letters: dict[str, int]
    """By reason."""
    dead_letters_unexplained: list[str]
    """Those the chaos run did not provoke by malformed entries, in words."""
    malformed_injected: dict[str, int]
    uncertain_left: int
    """Contacts whose attempt nobody will ever hear of: held, not dialed again, not lost."""
    unresolved: list[str]
    """Contacts still held although their call was placed, and ended."""
    not_drained: list[str]
    stood_still: int
    """How often all requests that were out had been lost and dialing stood still, as it must, until an event came."""
    started_again: int
    """Processes that met no Redis at their start and ended."""
    problems: list[str]
    """What processes did that they should not."""
    findings: list[str]
    """The first wrongdoings the simulated telephone network saw, in words."""
    logs: str | None = None


class Verdict(msgspec.Struct, frozen=True):
    """One promise."""

    promise: str
    holds: bool
    why: str
    """The figures it rests on."""


def evaluate(figures: Figures) -> list[Verdict]:
    """All promises that can be made of such a run."""
    return list(_verdicts(figures))


def _verdicts(figures: Figures) -> Iterator[Verdict]:
    forgot_all = figures.forgot == "everything"
    excuse = " (Redis was made to forget everything: reported, not judged)" if forgot_all else ""
    yield _none("double calls", figures.double_calls)
    forgot = " (Redis was made to forget: reported, not judged)" if figures.forgot != "nothing" else ""
    yield Verdict(
        "no key used twice", bool(forgot) or not figures.keys_repeated, f"{figures.keys_repeated}{forgot}"
    )
    for promise, number in (
        ("dialed after final", figures.dialed_after_final),
        ("over max retries", figures.over_max_retries),
    ):
        yield Verdict(promise, forgot_all or number == 0, f"{number}{excuse}")
    yield _nothing("contacts lost", figures.contacts_lost)
    yield _none("retries forgotten", figures.retries_forgotten)
    drifting = [counter for counter in figures.counters if _is_wrong(counter, figures.forgot)]
    yield _nothing(
        "counters without drift",
        [
            f"campaign {one.campaign} {one.field} is {one.public}, the auditor counts {one.auditor}"
            + (f" and {one.unplaced} never arrived" if one.unplaced else "")
            + (f" and the events of {one.unheard} were forgotten" if one.unheard else "")
            for one in drifting
        ],
    )
    yield _nothing("dead letters explained", figures.dead_letters_unexplained)
    yield _nothing("held calls resolved", figures.unresolved)
    yield _nothing("drained", figures.not_drained)
    yield _nothing("processes well", figures.problems)
    resumed = figures.calls_after_healing > 0 or figures.ended == "all contacts final"
    yield Verdict("dialing went on", resumed, f"{figures.calls_after_healing} calls after the last fault")


def _is_wrong(counter: Counter, forgot: Forgets) -> bool:
    """A server that has forgotten may count too little, never too much; what goes up and down is right again."""
    if forgot == "nothing" or counter.field in LEVELS:
        return counter.drift != 0
    return counter.drift > 0


def _none(promise: str, number: int) -> Verdict:
    return Verdict(promise, number == 0, str(number))


def _nothing(promise: str, found: list[str]) -> Verdict:
    return Verdict(promise, not found, f"{len(found)}: {'; '.join(found[:3])}" if found else "0")


def document(figures: Figures) -> Mapping[str, object]:
    """What `--json` prints."""
    verdicts = evaluate(figures)
    content: dict[str, object] = msgspec.to_builtins(figures)
    content["drift"] = {
        f"{one.campaign}:{one.field}": one.drift for one in figures.counters if one.drift != 0
    }
    content["verdicts"] = {one.promise: {"holds": one.holds, "why": one.why} for one in verdicts}
    content["holds"] = all(one.holds for one in verdicts)
    return content
