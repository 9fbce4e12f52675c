"""The state of an attempt from its facts; written from the contract, not from the scripts (pure)."""

from __future__ import annotations

from collections import Counter
from typing import Final, Literal

import msgspec

State = Literal["reserved", "sent", "ringing", "answered", "orphaned", "ended", "released"]
LIVE: Final = frozenset({"reserved", "sent", "ringing", "answered", "orphaned"})
CONTACT_STATE_OF_LIVE: Final = {
    "reserved": "reserved",
    "sent": "dialing",
    "ringing": "dialing",
    "answered": "connected",
    "orphaned": "orphaned",
}

WEAKEST_FIRST: Final = (
    "cancelled",
    "failed",
    "congestion",
    "no_answer",
    "busy",
    "machine",
    "abandoned",
    "invalid",
    "callback",
    "completed",
    "do_not_call",
)
"""Of two contradicting dispositions the later in this list wins."""
NO_PERSON_REACHED: Final = frozenset({"cancelled", "failed", "congestion", "no_answer", "busy"})
"""Dispositions that an answered call cannot have."""
HAS_CAUSE: Final = frozenset({*NO_PERSON_REACHED, "machine", "abandoned", "invalid"})
COUNTED: Final = frozenset({"no_answer", "busy", "failed", "abandoned", "machine"})


class Facts(msgspec.Struct):
    """A set of facts, without the order or number of the events that reported them."""

    rang: bool = False
    answered: bool = False
    by_machine: bool = False
    completed: str | None = None
    failed: str | None = None
    cause: str = ""
    """The cause of the failure that wins; of several causes the last in the alphabet."""
    abandoned: bool = False
    impossible: bool = False
    """The API says that the call can never be placed."""
    not_placed: bool = False
    """The API says that the call was not placed."""
    silent: bool = False
    """No event came before the deadline."""
    endless: bool = False
    """No end came within the longest possible conversation."""
    missing: bool = False
    """No event source lists it."""
    forgotten: bool = False
    shown_answered: bool = False

    @property
    def are_heard(self) -> bool:
        """At least one event of the attempt has come."""
        return self.rang or self.answered or self.abandoned or bool(self.completed or self.failed)


def stronger(old: str | None, new: str) -> str:
    """The disposition that wins."""
    return new if old is None else max(old, new, key=WEAKEST_FIRST.index)


def ending(facts: Facts) -> tuple[str | None, str]:
    """How the attempt ended (None: it has not) and by which cause: events beat replies, replies beat silence."""
    if facts.abandoned:
        return "abandoned", ""
    if facts.completed:
        return facts.completed, ""
    if facts.failed:
        if facts.answered and facts.failed in NO_PERSON_REACHED:
            return "completed", ""
        return facts.failed, facts.cause if facts.failed in HAS_CAUSE else ""
    if facts.answered:
        return "completed" if facts.endless or facts.missing else None, ""
    if facts.impossible:
        return "invalid", ""
    if facts.silent or facts.missing:
        return "completed" if facts.shown_answered else "failed", ""
    return None, ""


def outcome_of(facts: Facts) -> tuple[State, str | None]:
    """State of a sent attempt and, when it has ended, its public disposition."""
    kind, _ = ending(facts)
    if kind is not None:
        return "ended", {"congestion": "failed", "cancelled": "no_answer"}.get(kind, kind)
    if facts.answered:
        return "answered", None
    if facts.forgotten:
        return "orphaned", None
    if facts.rang:
        return "ringing", None
    return ("released" if facts.not_placed else "sent"), None


def counts(facts: Facts) -> Counter[str]:
    """What a sent attempt adds to the public totals."""
    state, disposition = outcome_of(facts)
    if state == "released":
        return Counter()
    sums = {"total_calls"}
    if facts.answered or facts.abandoned:
        sums.add("answered_calls")
    if disposition in COUNTED:
        sums.add(str(disposition))
    if state == "ended" and facts.by_machine and disposition != "abandoned":
        sums.add("machine")
    return Counter(sums)
