"""Whether an update of a contact is overtaken by what the backend shows of it. Pure."""

from __future__ import annotations

from typing import Final

from streamdialer.consumers.dialing.contact_rows import last_attempt_ms
from streamdialer.ledger.records import Doubt, Update
from streamdialer.model import Contact

SAME_MS: Final = 1000
"""Backends may keep whole seconds."""
IN_CALL: Final = ("dialing", "answered")
PROGRESS: Final = {
    **dict.fromkeys(("pending", "callback"), 0),
    "dialing": 1,
    "answered": 2,
    **dict.fromkeys(("no_answer", "busy", "failed", "machine", "abandoned"), 3),
    **dict.fromkeys(("completed", "invalid", "do_not_call"), 4),
}
"""How far one attempt has come by its status; an unknown status has come as far as it can."""


def is_over(update: Update, shown: Contact) -> bool:
    """Whether the backend has finished the contact itself since it showed the state that the ledger knows.

    `pending` puts a contact back in the line: the backend must show what the ledger knows, or the contact's last call.
    Any other update is news of a call or of a wish, which only a finished contact does not get.
    """
    is_called_again = PROGRESS.get(update.status) == 0
    if shown.status == "do_not_call" or (is_called_again and shown.is_suppressed):
        return True
    if update.status != "pending":
        return (
            _is_finished(shown)
            and shown.status not in (update.status, update.shown_status)
            and update.status != "callback"
        )
    known, attempts, shown_attempts = update.shown_status, update.attempts, shown.attempts or 0
    is_called_since = attempts is not None and shown_attempts > attempts
    if shown.status == "pending" or (shown.status == "callback" and not is_called_since):
        return False  # it waits; `callback` may be ours, and its confirmation lost
    # The backend does not have the end yet. It was shown as one attempt more when it does not count, or was taken back.
    if shown.status in IN_CALL:
        if update.disposition is None or attempts is None:
            return False
        return shown_attempts > attempts + (shown.status == "dialing" or update.is_uncounted)
    if known == "callback" and is_called_since and shown.status in ("no_answer", "busy", "failed"):
        return False  # another campaign called, and reached no one
    # a newer state may have been there before the backend had answered to the end: only an older end is known as taken
    is_own_end = shown.status == update.disposition and PROGRESS.get(shown.status) == 3
    is_known = (
        shown.status == known
        or is_own_end
        or (known in (None, *IN_CALL) and shown.status == update.disposition)
    )
    return not is_known or is_called_since


def _is_finished(shown: Contact) -> bool:
    return PROGRESS.get(shown.status, 4) == 4


def is_newer(update: Update, doubt: Doubt, shown: Contact) -> bool:
    """Whether an update is newer than the contact that the backend shows: by last attempt, attempts and progress."""
    is_called_again = PROGRESS[update.status] == 0
    if shown.status == "do_not_call" or (is_called_again and shown.is_suppressed):
        return False
    if is_called_again and shown.status == update.disposition and update.attempts == (shown.attempts or 0):
        return True  # after the end that the backend shows, which may have reached it after the loss
    if _is_finished(shown) and update.status not in (shown.status, "callback"):
        return False  # a later call follows only what the backend shows as waiting: it has finished the contact itself
    is_end = shown.status in IN_CALL and update.status not in IN_CALL
    if is_end and update.attempts is not None and update.attempts >= (shown.attempts or 0):
        return True  # the backend waits for the end of this attempt: no list of its brings the contact back
    at_ms, shown_ms = doubt.last_attempt_ms, last_attempt_ms(shown)
    if at_ms is not None and (shown_ms is None or abs(at_ms - shown_ms) >= SAME_MS):
        return shown_ms is None or at_ms > shown_ms
    if update.attempts is not None and update.attempts != (shown.attempts or 0):
        return update.attempts > (shown.attempts or 0)
    if update.status == shown.status:
        return True
    if is_called_again:  # after the end that the backend shows, or what it is known to show: a callback
        return shown.status in (update.disposition, update.shown_status)
    return PROGRESS[update.status] > PROGRESS.get(shown.status, 4)
