"""Words of the field as pages show them: statuses, modes, states and outcomes."""

from __future__ import annotations

from typing import Final

from streamdialer.operations.phrase import Phrase

STATUSES: Final = (
    Phrase("draft"),
    Phrase("active"),
    Phrase("paused"),
    Phrase("completed"),
    Phrase("cancelled"),
)
MODES: Final = (
    Phrase("preview"),
    Phrase("progressive"),
    Phrase("predictive"),
    Phrase("adaptive"),
    Phrase("power"),
    Phrase("agentless"),
)
"""They are shown as they are called; the catalogue has them from here."""

DISPOSITIONS: Final = {
    "completed": Phrase("completed"),
    "no_answer": Phrase("no answer"),
    "busy": Phrase("busy"),
    "failed": Phrase("failed"),
    "machine": Phrase("answering machine"),
    "abandoned": Phrase("abandoned"),
    "invalid": Phrase("wrong number"),
    "do_not_call": Phrase("do not call"),
    "callback": Phrase("callback"),
    "pending": Phrase("pending"),
    "dialing": Phrase("being called"),
    "answered": Phrase("answered"),
    "gone": Phrase("no longer pending in the backend"),
    "max_attempts": Phrase("out of attempts"),
}
CONTACT_STATES: Final = {
    "ready": Phrase("may be called now"),
    "deferred": Phrase("waits"),
    "previewing": Phrase("an agent sees it"),
    "reserved": Phrase("is about to be called"),
    "dialing": Phrase("is being called"),
    "connected": Phrase("is on the phone"),
    "orphaned": Phrase("may be on the phone"),
    "final": Phrase("is not called any more"),
}
ATTEMPT_STATES: Final = {
    "reserved": Phrase("about to be sent"),
    "sent": Phrase("sent"),
    "ringing": Phrase("ringing"),
    "answered": Phrase("answered"),
    "orphaned": Phrase("uncertain"),
    "ended": Phrase("ended"),
    "released": Phrase("not sent"),
}
