"""What an attempt is, given all that is known of it: written from the contract and not from the scripts (pure)."""

from __future__ import annotations

from collections import Counter
from typing import Final, Literal

import msgspec

State = Literal["reserved", "sent", "ringing", "answered", "in_doubt", "ended", "released"]
LIVE: Final = frozenset({"reserved", "sent", "ringing", "answered", "in_doubt"})
PLACE_OF_LIVE: Final = {
    "reserved": "reserved",
    "sent": "unanswered",
    "ringing": "unanswered",
    "answered": "connected",
    "in_doubt": "in_doubt",
}

WEAKEST_FIRST: Final = (
    "failed",
    "no_answer",
    "busy",
    "machine",
    "abandoned",
    "invalid",
    "callback",
    "completed",
    "do_not_call",
)
"""Of two dispositions that contradict each other the later in this list stands."""
NOBODY_REACHED: Final = frozenset({"failed", "no_answer", "busy"})
"""Dispositions that are tried again, and that an answered call cannot have."""
COUNTED: Final = frozenset({"no_answer", "busy", "failed", "abandoned", "machine"})


class Facts(msgspec.Struct):
    """A set of facts: it does not know in what order, or how often, they were heard."""

    rang: bool = False
    answered: bool = False
    by_machine: bool = False
    completed: str | None = None
    failed: str | None = None
    abandoned: bool = False
    impossible: bool = False
    """The API says that it will never be placed."""
    not_placed: bool = False
    """The API says that it was not."""
    silent: bool = False
    """Nothing was heard until the deadline."""
    endless: bool = False
    """No end was heard until the longest conversation was over."""
    forgotten: bool = False
    shown_answered: bool = False

    @property
    def are_heard(self) -> bool:
        """An event has spoken of it."""
        return self.rang or self.answered or self.abandoned or bool(self.completed or self.failed)


def stronger(old: str | None, new: str) -> str:
    """The disposition that stands of two."""
    return new if old is None else max(old, new, key=WEAKEST_FIRST.index)


def standing(facts: Facts) -> tuple[State, str | None]:
    """State of a sent attempt and, when it is over, its disposition: events beat replies, replies beat silence."""
    ending: str | None = None
    if facts.abandoned:
        ending = "abandoned"
    elif facts.completed:
        ending = facts.completed
    elif facts.failed:
        ending = "completed" if facts.answered and facts.failed in NOBODY_REACHED else facts.failed
    elif facts.answered:
        ending = "completed" if facts.endless else None
    elif facts.impossible:
        ending = "invalid"
    elif facts.silent:
        ending = "completed" if facts.shown_answered else "failed"
    if ending is not None:
        return "ended", ending
    if facts.answered:
        return "answered", None
    if facts.forgotten:
        return "in_doubt", None
    if facts.rang:
        return "ringing", None
    return ("released" if facts.not_placed else "sent"), None


def counts(facts: Facts) -> Counter[str]:
    """What a sent attempt adds to the public totals."""
    state, disposition = standing(facts)
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
