"""Why a call was not answered, by what Asterisk says of its end (pure).

DialStatus is no help: it says NOANSWER for 404, 603 and a wrong codec, too.
"""

from __future__ import annotations

from typing import Final

import msgspec

from streamdialer.rules.hangup_causes import KIND_OF

TIMED_OUT: Final = 3
"""Reason of an OriginateResponse: the ring time-out of the Originate has passed."""
_UNKNOWN, _NORMAL_CLEARING, _NO_RESPONSE, _NO_ANSWER = 0, 16, 18, 19


class HowItEnded(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the end of a call that was not answered."""

    cause: int
    """Q.850, of the Hangup."""
    sip: int = 0
    """TechCause, since 2025; 0: not known."""
    rang: bool
    reasons: frozenset[int] = frozenset()
    """Of the OriginateResponses, 0 or 3; none when the call was not placed by an asynchronous Originate."""
    by_far_end: bool = False
    """Asterisk was asked for the end by the other side (HangupRequest)."""


def is_unclear(end: HowItEnded) -> bool:
    """Whether an OriginateResponse that may still come would change the outcome."""
    if end.reasons:
        return False
    return end.cause in (_UNKNOWN, _NORMAL_CLEARING) or (
        end.cause == _NO_ANSWER and not end.rang and not end.by_far_end
    )


def failure_of(end: HowItEnded) -> tuple[str, str]:
    """Disposition and cause of `call_failed`."""
    sip = f"sip:{end.sip}" if 300 <= end.sip <= 699 else ""
    q850 = f"q850:{end.cause}" if 1 <= end.cause <= 127 else ""
    return _disposition(end, sip, q850), sip or q850


def _disposition(end: HowItEnded, sip: str, q850: str) -> str:
    timed_out = "no_answer" if end.rang else "congestion"  # without a ring, the trunk took nothing
    if TIMED_OUT in end.reasons:
        return timed_out
    if end.cause == _NORMAL_CLEARING:
        return "cancelled"  # we ended it: the network gives other causes
    # it was hung up here, or Asterisk shuts down; without an OriginateResponse, it has timed out
    if end.cause == _UNKNOWN and not sip:
        was_taken_back = end.rang and not end.by_far_end
        return ("cancelled" if was_taken_back else "failed") if end.reasons else timed_out
    if end.cause == _NO_RESPONSE and not end.rang:
        return "congestion"
    if end.cause == _NO_ANSWER and not (end.reasons or end.by_far_end):
        return timed_out
    return KIND_OF.get(sip) or KIND_OF.get(q850) or "failed"
