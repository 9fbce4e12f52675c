"""What spans are told of: attributes and the cause of a wake-up."""

from __future__ import annotations

import msgspec

Attribute = str | int | float | bool | None


class SpanLink(msgspec.Struct, frozen=True):
    """What a wake-up came of: the span that asked for it."""

    trace: str
    at_ns: int
    is_of_call: bool
    """Of a call that is over: the next call has a trace of its own, else no trace would ever end."""
