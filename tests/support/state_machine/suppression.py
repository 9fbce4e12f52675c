"""The rules that put contacts on the do-not-call list, or take them from it."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.support.model_driver.suppression import number_of
from tests.support.state_machine import CAMPAIGNS, LedgerStateMachine, which

some_contacts = st.sampled_from(("3", "9", "10", "11", "12", "13"))
"""Not all of them: some contacts must be left to call."""


class SuppressionRules(LedgerStateMachine):
    """Requests, by contact or by number, and the list by hand."""

    @rule(campaign=st.sampled_from(CAMPAIGNS), contact=some_contacts)
    def a_contact_asks(self, campaign: str, contact: str) -> None:
        self.do(lambda: self.trial.contact_asks(campaign, contact))

    @precondition(lambda self: self._sent())
    @rule(at=which, by_number=st.booleans())
    def a_person_who_is_or_was_on_the_phone_asks(self, at: int, by_number: bool) -> None:
        sent = self._sent()
        attempt = sent[at % len(sent)]
        if by_number:
            self.do(lambda: self.trial.number_is_suppressed(number_of(attempt.contact)))
        else:
            self.do(lambda: self.trial.contact_asks(attempt.campaign, attempt.contact))

    @rule(contact=some_contacts)
    def a_number_is_listed(self, contact: str) -> None:
        self.do(lambda: self.trial.number_is_listed(number_of(contact)))

    @precondition(lambda self: self._unsent())
    @rule(at=which)
    def the_number_of_a_reserved_call_is_listed(self, at: int) -> None:
        unsent = self._unsent()
        self.do(lambda: self.trial.number_is_listed(number_of(unsent[at % len(unsent)])))

    def _unsent(self) -> list[str]:
        return [one.contact for _, one in self.trial.model.attempts() if one.run is None]

    @precondition(lambda self: self.trial.model.listed)
    @rule()
    def the_list_is_emptied(self) -> None:
        for number in sorted(self.trial.model.listed):
            self.bench.run(self.trial.number_is_removed(number))
