"""What the crash run counts as an attempt."""

from __future__ import annotations

import pytest

from bench.crash.scenario import SHOWN_DIALING, build_fixture
from bench.crash.verdict import Verdict, check_attempts
from streamdialer.ledger.records import Attempt, AttemptFacts, ContactRecord, PastAttempts


def ended(number: int) -> Attempt:
    return Attempt(
        number=number,
        id=f"1:{SHOWN_DIALING}:{number}:m",
        token="remembered" if number == 1 else "t",
        state="ended",
        facts=AttemptFacts(completed_as="completed"),
        past=PastAttempts(counted=number - 1, uncounted_in_a_row=0),
        reserved_ms=0,
    )


@pytest.mark.parametrize(
    ("attempts", "on_record", "is_right"),
    [(2, [1, 2], True), (2, [2], True), (1, [1], True), (1, [2], False), (3, [1, 2], False), (3, [2], False)],
)
def test_an_attempt_remembered_from_before_a_loss_counts_once_with_or_without_a_record(
    attempts: int, on_record: list[int], is_right: bool
) -> None:
    fixture, verdict = build_fixture("data_loss", 0), Verdict()
    shown = fixture.world.contacts[SHOWN_DIALING]
    shown.attempts = attempts
    record = ContactRecord(state="final", attempts=attempts, history=[ended(number) for number in on_record])
    placed = {attempt.id for attempt in record.history if not attempt.is_remembered}
    for key in placed:
        fixture.world.auditor.per_key[key] += 1
    check_attempts(verdict, "1", {str(SHOWN_DIALING): record}, fixture, fixture.remembered, ())
    findings = [line for line in verdict.findings if line.startswith(f"contact {SHOWN_DIALING}:")]
    assert (findings == []) is is_right, findings
