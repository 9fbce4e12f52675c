"""How calls ended while no producer watched: the dialplan leaves a trace of each answered call in Asterisk's database.

The key of a trace is three hexadecimal digits of its attempt, so that there are never more than 4,096 of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from streamdialer.errors import RefusedByServer
from streamdialer.gateways.ami.client import AmiClient
from streamdialer.gateways.ami.messages import channel_id
from streamdialer.ledger.open_attempts import OpenAttempt
from streamdialer.producers.asterisk.call_events import Event

FAMILY: Final = "streamdialer"
MAX_ASKED: Final = 500
"""Traces that are asked for at one reading; the next reading asks for the others."""
_ENDS: Final[dict[str, Event]] = {
    "completed": {"type": "call_completed"},
    "machine": {"type": "call_completed", "disposition": "machine"},
    "abandoned": {"type": "call_abandoned"},
}


async def traced_ends(client: AmiClient, attempts: Sequence[OpenAttempt]) -> list[Event]:
    """The events of those attempts that have a trace; raises Unreachable."""
    found: list[Event] = []
    for attempt in attempts[:MAX_ASKED]:
        try:
            answers = await client.list_answer("DBGet", {"Family": FAMILY, "Key": trace_key(attempt.id)})
        except RefusedByServer:  # there is none
            continue
        for answer in answers:
            word, _, named = answer.get("Val").partition(" ")
            if named == attempt.id and word in _ENDS:
                found += _events(attempt, word)
    return found


def trace_key(attempt: str) -> str:
    """As [sd-ended] in deploy/asterisk/extensions.conf names it."""
    return hashlib.md5(attempt.encode(), usedforsecurity=False).hexdigest()[:3]


def _events(attempt: OpenAttempt, word: str) -> list[Event]:
    about = {
        "campaign_id": attempt.campaign,
        "contact_id": attempt.contact,
        "attempt_id": attempt.id,
        "call_id": channel_id(attempt.id),
    }
    answered = {} if word != "machine" else {"answered_by": "machine"}
    first = [] if word == "abandoned" else [{"type": "call_answered", **answered, **about}]
    return [*first, {**_ENDS[word], **about}]
