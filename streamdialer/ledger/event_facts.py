"""What a call event says about its attempt, as a fact of the ledger (pure)."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from streamdialer.model import CallEvent
from streamdialer.rules.hangup_causes import KIND_OF, cause_of

Fact = Literal["r", "a", "c", "x", "b"]

# Words of Asterisk's DIALSTATUS and of the programs around it, beside the contract's own.
_DISPOSITIONS: Final = {
    "abandoned": "abandoned",
    "amd": "machine",
    "answer": "completed",
    "answered": "completed",
    "busy": "busy",
    "callback": "callback",
    "cancel": "no_answer",
    "completed": "completed",
    "congestion": "congestion",
    "do_not_call": "do_not_call",
    "dnc": "do_not_call",
    "failed": "failed",
    "invalid": "invalid",
    "invalid_number": "invalid",
    "machine": "machine",
    "no_answer": "no_answer",
    "noanswer": "no_answer",
    "voicemail": "machine",
}


class CallFact(msgspec.Struct, frozen=True):
    """A fact of `lua/lib/attempts.lua`, with the disposition it carries."""

    fact: Fact
    disposition: str = ""
    cause: str = ""
    """`sip:486` or `q850:17`, where the event of a failed call has it."""


def disposition_of(raw: str, default: str) -> str:
    """The ledger's word for a disposition; an unknown word counts as `default`."""
    return _DISPOSITIONS.get(raw.strip().lower().replace("-", "_").replace(" ", "_"), default)


def fact_of(event: CallEvent) -> CallFact:
    """The fact of a call event, by the contract's table."""
    match event.type:
        case "call_ringing":
            return CallFact("r")
        case "call_answered":
            return CallFact("a")
        case "call_abandoned":
            return CallFact("b")
        case "call_completed":
            disposition = disposition_of(event.disposition, "completed")
            return CallFact("b") if disposition == "abandoned" else CallFact("c", disposition)
        case "call_failed":
            disposition = disposition_of(event.disposition, "failed")
            if disposition == "abandoned":
                return CallFact("b")
            cause = cause_of(event.cause)
            if disposition == "failed":  # the cause may say more
                disposition = KIND_OF.get(cause, "failed")
            return CallFact("x", disposition, cause)
