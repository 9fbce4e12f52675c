"""What a call event says about its attempt, as a fact of the ledger (pure)."""

from __future__ import annotations

from typing import Literal

import msgspec

from streamdialer.model import CallEvent
from streamdialer.rules.dispositions import disposition_of
from streamdialer.rules.hangup_causes import cause_of
from streamdialer.rules.retry import KINDS

Fact = Literal["r", "a", "c", "x", "b"]


class CallFact(msgspec.Struct, frozen=True):
    """A fact of `lua/lib/attempts.lua`, with the disposition it carries."""

    fact: Fact
    disposition: str = ""
    cause: str = ""
    """`sip:486` or `q850:17`, where the event of a failed call has it."""


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
            said = disposition_of(event.cause, "failed") if disposition == "failed" else ""
            if said in KINDS:  # the cause says more
                disposition = said
            if disposition == "cancelled":
                return CallFact("x", disposition)  # the cause of our own hang-up says nothing
            return CallFact("x", disposition, cause_of(event.cause) or cause_of(event.disposition))
