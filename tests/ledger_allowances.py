"""What the scripts do and the invariants would not: each line is to go when the scripts do better.

Taking a name out of `ALLOWED` makes the properties find it within seconds.
"""

from __future__ import annotations

from typing import Final, Literal

Allowance = Literal[
    "the attempt that was sent is counted when its first news comes",
    "a claim believes what it is told of its campaign's queue",
    "a contact out of attempts is shown as its last attempt ended when it is told again",
]
ALLOWED: Final[frozenset[Allowance]] = frozenset(
    {
        "the attempt that was sent is counted when its first news comes",
        "a claim believes what it is told of its campaign's queue",
        "a contact out of attempts is shown as its last attempt ended when it is told again",
    }
)


def is_allowed(what: Allowance) -> bool:
    """Whether the invariants overlook it."""
    return what in ALLOWED
