"""How calls ended while no producer watched: the dialplan leaves a trace of each answered call in Asterisk's database.

The key of a trace is three hexadecimal digits of its attempt, so that there are never more than 4,096 of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import anyio

from streamdialer.errors import RefusedByServer, Unreachable
from streamdialer.gateways.ami.client import AmiClient
from streamdialer.gateways.ami.messages import channel_id
from streamdialer.ledger.open_attempts import OpenAttempt
from streamdialer.producers.asterisk.call_events import Event

FAMILY: Final = "streamdialer"
MAX_AT_ONCE: Final = 200
"""Traces that are asked for before the first answer is there. All are asked for: `source_live` ends the other calls."""
_ENDS: Final[dict[str, Event]] = {
    "completed": {"type": "call_completed"},
    "machine": {"type": "call_completed", "disposition": "machine"},
    "abandoned": {"type": "call_abandoned"},
}


async def traced_ends(client: AmiClient, attempts: Sequence[OpenAttempt]) -> list[Event]:
    """The events of those attempts that have a trace; raises Unreachable and RefusedByServer."""
    keys = sorted({trace_key(each.id) for each in attempts})
    values: dict[str, str] = {}
    errors: list[Unreachable | RefusedByServer] = []

    async def read(key: str) -> None:
        try:
            for answer in await client.list_answer("DBGet", {"Family": FAMILY, "Key": key}):
                values[key] = answer.get("Val")
        except Unreachable as error:
            errors.append(error)
        except RefusedByServer as error:
            if "not found" not in str(error).lower():
                errors.append(error)

    for at in range(0, len(keys), MAX_AT_ONCE):
        async with anyio.create_task_group() as tasks:
            for key in keys[at : at + MAX_AT_ONCE]:
                tasks.start_soon(read, key)
        if errors:
            raise errors[0]
    found: list[Event] = []
    for attempt in attempts:
        word, _, named = values.get(trace_key(attempt.id), "").partition(" ")
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
