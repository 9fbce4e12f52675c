"""Whether a change of a contact that the dialer sends is older than what is stored (pure).

A request that the dialer gave up on can arrive after a newer one. A change says its order by the time of its last
attempt, by the number of attempts, and by how far its status has come within one attempt.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

PROGRESS: Final = {
    **dict.fromkeys(("pending", "callback"), 0),
    "dialing": 1,
    "answered": 2,
    **dict.fromkeys(("no_answer", "busy", "failed"), 3),
    **dict.fromkeys(("machine", "abandoned", "completed", "invalid", "do_not_call"), 4),
}
"""How far one attempt has come by its status."""


class State(msgspec.Struct, frozen=True):
    """Of a contact; None for what a change does not say."""

    status: str | None
    attempts: int | None
    last_attempt: datetime | None


def why_outdated(change: State, stored: State) -> str:
    """Why the change is older than the stored state; '' when it is not, or does not say."""
    attempts, stored_attempts = change.attempts, stored.attempts or 0
    if change.last_attempt and stored.last_attempt and change.last_attempt != stored.last_attempt:
        is_older = change.last_attempt < stored.last_attempt
        return f"the contact's last attempt was at {stored.last_attempt.isoformat()}" if is_older else ""
    if attempts is None:
        return ""
    if attempts < stored_attempts:
        is_not_placed = stored.status == "dialing" and attempts == stored_attempts - 1
        return (
            "" if is_not_placed and _progress(change) == 0 else f"the contact has {stored_attempts} attempts"
        )
    if attempts > stored_attempts or not _progress(change):
        return ""
    # an attempt that only a deadline has ended can still turn out to be answered
    is_back = _progress(change) < _progress(stored) and (change.status, _progress(stored)) != ("answered", 3)
    return f"this attempt has come to {stored.status}" if is_back else ""


def _progress(state: State) -> int:
    return PROGRESS.get(state.status or "", 4)
