"""What other programs' words say: how a call ended, and who answered it.

Words of Asterisk (DIALSTATUS, AMDSTATUS), FreeSWITCH, Twilio (CallStatus, AnsweredBy) and the programs around them,
beside the contract's own. Causes have tables of their own: `hangup_causes.py`, `cause_words.py`.
"""

from __future__ import annotations

from typing import Final, Literal

from streamdialer.rules.cause_words import word_of
from streamdialer.rules.hangup_causes import KIND_OF, cause_of

AnsweredBy = Literal["human", "machine", "unknown"]
_WORDS: Final[dict[str, str]] = {
    "abandoned": "abandoned",
    "busy": "busy",
    "callback": "callback",
    **dict.fromkeys(("canceled", "cancelled"), "cancelled"),
    **dict.fromkeys(("completed", "complete", "answer", "answered", "success", "ok"), "completed"),
    **dict.fromkeys(("congestion", "congested"), "congestion"),
    **dict.fromkeys(("do_not_call", "dnc"), "do_not_call"),
    **dict.fromkeys(("failed", "failure", "error", "chanunavail", "invalidargs", "rejected"), "failed"),
    **dict.fromkeys(("invalid", "invalid_number", "unallocated"), "invalid"),
    **dict.fromkeys(("no_answer", "noanswer", "cancel", "timeout"), "no_answer"),
}
_ANSWERED_BY: Final[dict[str, AnsweredBy]] = {
    **dict.fromkeys(("human", "person", "human_residence", "human_business"), "human"),
    **dict.fromkeys(
        (
            "machine",
            "machine_start",
            "machine_end_beep",
            "machine_end_silence",
            "machine_end_other",
            "answering_machine",
            "voicemail",
            "amd",
            "beep",
            "fax",
            "fax_detected",
        ),
        "machine",
    ),
    **dict.fromkeys(("unknown", "notsure", "not_sure", "hangup", "toolong", "silence"), "unknown"),
}


def disposition_of(raw: str, default: str) -> str:
    """The ledger's word for a disposition, or for a cause in its place; any other text counts as `default`."""
    word = word_of(raw)
    if word in _WORDS:
        return _WORDS[word]
    if _ANSWERED_BY.get(word) == "machine":
        return "machine"
    return KIND_OF.get(cause_of(raw), default)


def is_known_end(raw: str) -> bool:
    """Whether the text says how a call ended, as a disposition or as a cause."""
    return disposition_of(raw, "") != "" or cause_of(raw) != ""


def who_answered(raw: str) -> AnsweredBy | None:
    """None for a word that is not known."""
    return _ANSWERED_BY.get(word_of(raw))
