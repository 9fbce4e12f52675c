"""Which is newer after a data loss: the ledger's update, or what the backend shows."""

from __future__ import annotations

import msgspec
import pytest

from streamdialer.consumers.update_rules import PROGRESS, is_newer, is_over
from streamdialer.ledger.records import Doubt, Update
from streamdialer.model import Contact

SENT_MS, ENDED_MS = 1_700_000_000_000, 1_700_000_030_000
SENT, ENDED = "2023-11-14T22:13:20Z", "2023-11-14T22:13:50.123Z"


@pytest.mark.parametrize(
    ("status", "attempts", "known_ms", "disposition", "shown", "shown_attempts", "last_attempt", "newer"),
    [
        # the end of the call that the backend shows as up
        ("completed", 1, SENT_MS, "completed", "dialing", 1, SENT, True),
        ("completed", 1, SENT_MS, "completed", "answered", 1, SENT, True),
        ("answered", 1, SENT_MS, None, "dialing", 1, SENT, True),
        ("failed", 1, SENT_MS, "failed", "pending", 0, None, True),
        # also when its deadline came before what the backend takes for its beginning, or its retry is due
        ("failed", 1, SENT_MS, "failed", "dialing", 1, ENDED, True),
        ("pending", 1, SENT_MS, "failed", "answered", 1, ENDED, True),
        ("failed", 1, SENT_MS, "failed", "dialing", 2, ENDED, False),
        # the backend had the end before
        ("failed", 1, SENT_MS, "failed", "completed", 1, ENDED, False),
        ("answered", 1, SENT_MS, None, "completed", 1, ENDED, False),
        ("dialing", 1, SENT_MS, None, "no_answer", 1, ENDED, False),
        ("dialing", 1, SENT_MS, None, "dialing", 2, "2023-11-14T23:13:20Z", False),
        # within a second the attempts decide, then how far the call has come
        ("failed", 1, SENT_MS, "failed", "busy", 1, SENT, False),
        ("answered", 1, SENT_MS, None, "completed", 1, SENT, False),
        ("completed", 1, SENT_MS, "completed", "no_answer", 1, SENT, True),
        ("dialing", 2, SENT_MS, None, "no_answer", 1, SENT, True),
        ("dialing", 1, SENT_MS, None, "pending", 2, SENT, False),
        ("busy", 1, SENT_MS, "busy", "busy", 1, SENT, True),
        # a retry or a callback follows the end that the ledger knows, and no other
        ("pending", 1, ENDED_MS, "no_answer", "no_answer", 1, ENDED, True),
        ("pending", 1, ENDED_MS, "no_answer", "completed", 1, ENDED, False),
        ("callback", 1, ENDED_MS, "completed", "completed", 1, ENDED, True),
        # … also when that end reached the backend after the loss, or not before the retry was due
        ("pending", 1, SENT_MS, "failed", "failed", 1, ENDED, True),
        ("pending", 1, SENT_MS, "failed", "failed", 2, ENDED, False),
        ("pending", 1, SENT_MS, "failed", "dialing", 1, SENT, True),
        ("pending", 1, None, "failed", "answered", 1, SENT, True),
        ("pending", 1, SENT_MS, "failed", "dialing", 2, ENDED, False),
        # of a call that the ledger had lost, it does not know when it was sent
        ("completed", None, None, "completed", "answered", 1, SENT, True),
        ("answered", None, None, None, "completed", 1, ENDED, False),
        ("completed", 2, None, "completed", "no_answer", 1, ENDED, True),
        # permanently
        ("completed", 9, ENDED_MS, "completed", "do_not_call", 1, None, False),
        ("completed", 1, SENT_MS, "completed", "of another program", 1, SENT, False),
    ],
)
def test_which_is_newer(
    status: str,
    attempts: int | None,
    known_ms: int | None,
    disposition: str | None,
    shown: str,
    shown_attempts: int,
    last_attempt: str | None,
    newer: bool,
) -> None:
    update = Update(version=1, status=status, attempts=attempts, disposition=disposition)
    doubt = Doubt(last_attempt_ms=known_ms)
    contact = Contact(id=1, status=shown, attempts=shown_attempts, last_attempt=last_attempt)
    assert is_newer(update, doubt, contact) is newer


@pytest.mark.parametrize("shown", ["completed", "invalid", "of another program"])
@pytest.mark.parametrize("attempts", [0, 1])
@pytest.mark.parametrize("last_attempt", [None, SENT, ENDED])
@pytest.mark.parametrize("status", sorted(PROGRESS.keys() - {"callback", "do_not_call"}))
def test_after_a_loss_too_nothing_of_a_call_replaces_what_the_backend_has_finished_itself(
    status: str, last_attempt: str | None, attempts: int, shown: str
) -> None:
    contact = Contact(id=1, status=shown, attempts=attempts, last_attempt=last_attempt)
    update = Update(version=1, status=status, attempts=attempts + 1)
    assert is_newer(update, Doubt(last_attempt_ms=ENDED_MS + 60_000), contact) is (status == shown)


@pytest.mark.parametrize(("attempts", "is_ended"), [(0, False), (1, True)])
def test_a_callback_that_the_backend_took_unconfirmed_is_not_its_own_word(
    attempts: int, is_ended: bool
) -> None:
    update = Update(status="pending", attempts=0, version=2)
    assert is_over(update, Contact(id=1, status="callback", attempts=attempts)) is is_ended


@pytest.mark.parametrize(
    ("shown", "attempts", "is_ended"),
    [
        ("no_answer", 1, False),
        ("busy", 2, False),  # its end was taken when the retry was due before the reply came
        ("busy", 3, True),
        ("failed", 2, True),
        ("completed", 2, True),
    ],
)
def test_a_retry_follows_the_end_of_its_call_also_where_only_an_older_end_was_confirmed(
    shown: str, attempts: int, is_ended: bool
) -> None:
    update = Update(status="pending", attempts=2, version=9, shown_status="no_answer", disposition="busy")
    assert is_over(update, Contact(id=1, status=shown, attempts=attempts)) is is_ended


@pytest.mark.parametrize(
    ("shown", "more", "is_uncounted", "is_ended"),
    [
        ("answered", 0, False, False),
        ("answered", 1, True, False),
        ("answered", 1, False, True),  # somebody else has called
        ("answered", 2, True, True),
        ("dialing", 1, False, False),  # a call that was taken back was shown so
        ("dialing", 2, False, True),
    ],
)
def test_a_retry_leaves_a_call_alone_that_is_not_its_own(
    shown: str, more: int, is_uncounted: bool, is_ended: bool
) -> None:
    update = Update(
        status="pending",
        attempts=1,
        version=3,
        shown_status="no_answer",
        disposition="no_answer",
        is_uncounted=is_uncounted,
    )
    assert is_over(update, Contact(id=1, status=shown, attempts=1 + more)) is is_ended


@pytest.mark.parametrize("status", ["pending", "callback"])
@pytest.mark.parametrize("shown", ["completed", "no_answer", "pending"])
def test_who_is_not_to_be_called_is_put_in_no_line(status: str, shown: str) -> None:
    update = Update(status=status, attempts=1, version=3, shown_status=shown, disposition=shown)
    marked = Contact(id=1, status=shown, attempts=1, do_not_call=True)
    assert is_over(update, marked)
    assert not is_over(update, msgspec.structs.replace(marked, do_not_call=False))


@pytest.mark.parametrize(
    ("known", "shown", "more", "newer"),
    [
        ("callback", "callback", 0, True),
        ("callback", "callback", 1, False),  # somebody has called
        ("callback", "no_answer", 0, False),
        ("no_answer", "callback", 0, False),  # of a request that Redis has lost
        (None, "callback", 0, False),
    ],
)
def test_after_a_loss_a_callback_that_is_due_follows_the_one_that_the_backend_shows(
    known: str | None, shown: str, more: int, newer: bool
) -> None:
    update = Update(status="pending", attempts=1, version=3, shown_status=known, disposition="completed")
    contact = Contact(id=1, status=shown, attempts=1 + more, last_attempt=SENT)
    assert is_newer(update, Doubt(last_attempt_ms=SENT_MS), contact) is newer
