"""What a SIP response or an ITU-T Q.850 cause says of a failed call.

A cause is written `sip:486` or `q850:17`; `cause_words.py` has the names of causes. Meanings are those of Q.850;
RFC 3398 (8.2.6.1) maps SIP responses to them. A cause that is not listed means `failed`.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from streamdialer.rules.cause_words import CAUSE_OF_WORD, word_of

Kind = Literal["no_answer", "busy", "failed", "congestion", "cancelled", "machine", "abandoned", "invalid"]
"""How an attempt can end without a conversation."""

KIND_OF: Final[dict[str, Kind]] = {
    **dict.fromkeys(
        (
            "q850:1",  # unallocated number
            "q850:22",  # number changed
            "q850:28",  # invalid number format
            "sip:404",  # 1
            "sip:410",  # 22
            "sip:484",  # 28
            "sip:485",  # 1
            "sip:604",  # 1
        ),
        "invalid",
    ),
    **dict.fromkeys(("q850:17", "sip:486", "sip:600"), "busy"),  # user busy
    **dict.fromkeys(
        (
            "q850:18",  # no user responding
            "q850:19",  # no answer from user
            "q850:20",  # subscriber absent
            "sip:480",  # 18
            "sip:487",  # cancelled before an answer
        ),
        "no_answer",
    ),
    **dict.fromkeys(
        (
            "q850:34",  # no circuit or channel available
            "q850:38",  # network out of order
            "q850:41",  # temporary failure
            "q850:42",  # switching equipment congestion
            "q850:44",  # requested circuit or channel not available
            "q850:47",  # resource unavailable
            "sip:500",  # 41
            "sip:502",  # 38
            "sip:503",  # 41
        ),
        "congestion",
    ),
}

_CAUSE: Final = re.compile(
    r"(?:(?P<family>sip|q\.?850)(?:/2\.0)?[\s:;/=]*(?:cause\s*=\s*)?)?(?P<number>\d{1,3})(?:\D.*)?",
    re.IGNORECASE | re.DOTALL,
)


def cause_of(raw: str) -> str:
    """The cause in a producer's spelling, else '': `17`, `486`, `SIP/2.0 486 Busy Here`, `Q.850;cause=17`, `USER_BUSY`.

    A bare number is a Q.850 cause up to 127 and a SIP response from 300 to 699.
    """
    match = _CAUSE.fullmatch(raw.strip())
    if match is None:
        return CAUSE_OF_WORD.get(word_of(raw), "")
    number, family = int(match["number"]), (match["family"] or "").lower()
    if 1 <= number <= 127 and family != "sip":
        return f"q850:{number}"
    if 300 <= number <= 699 and family in ("sip", ""):
        return f"sip:{number}"
    return ""
