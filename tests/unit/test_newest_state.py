"""A change that arrives late never takes a contact back; a change that is newer always counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from streamdialer.backend.newest_state import State, why_outdated

SENT = datetime(2026, 3, 1, 10, tzinfo=UTC)
ENDED = SENT + timedelta(seconds=30)


@pytest.mark.parametrize(
    ("change", "stored"),
    [
        (State("dialing", 1, SENT), State("no_answer", 1, ENDED)),
        (State("dialing", 1, SENT), State("dialing", 2, ENDED)),
        (State("answered", 1, None), State("completed", 1, ENDED)),
        (State("answered", 1, None), State("machine", 1, ENDED)),
        (State("no_answer", 1, None), State("completed", 1, ENDED)),
        (State("completed", 1, None), State("dialing", 2, ENDED)),
        (State("pending", 1, None), State("no_answer", 3, ENDED)),
    ],
)
def test_an_older_state_is_outdated(change: State, stored: State) -> None:
    assert why_outdated(change, stored)


@pytest.mark.parametrize(
    ("change", "stored"),
    [
        (State("dialing", 1, SENT), State("pending", 0, None)),
        (State("no_answer", 1, ENDED), State("dialing", 1, SENT)),
        (State("pending", 1, None), State("no_answer", 1, ENDED)),  # due for its retry
        (State("pending", 0, None), State("dialing", 1, SENT)),  # not placed: the attempt does not count
        (State("pending", 0, ENDED), State("dialing", 1, SENT)),  # ended by a rule that does not count it
        (State("answered", 1, None), State("failed", 1, ENDED)),  # only a deadline had ended it
        (State("completed", 1, ENDED), State("completed", 1, ENDED)),
        (State("do_not_call", None, None), State("completed", 3, ENDED)),
        (State("pending", None, None), State("completed", 3, ENDED)),
        (State(None, 4, None), State("pending", 3, ENDED)),
    ],
)
def test_a_newer_state_counts(change: State, stored: State) -> None:
    assert why_outdated(change, stored) == ""
