"""Drives the real scripts and the model side by side, and compares the whole ledger with the model.

A deed is one call of a stub with its arguments; it can be repeated later, as after a lost reply.
"""

from __future__ import annotations

import math
from collections import Counter

from tests.support.attempt_model import counts
from tests.support.ledger_invariants import TOTALS, check_ledger
from tests.support.ledger_model import ContactModel
from tests.support.model_driver.calls import CallDriver
from tests.support.model_driver.events import EventDriver
from tests.support.model_driver.suppression import SuppressionDriver

SLACK_S = 400
"""How long one example may take: what the model calls one instant."""


class ModelDriver(CallDriver, EventDriver, SuppressionDriver):
    """Every deed, and the check after each."""

    async def check(self) -> None:
        """Every invariant, and nothing in the ledger differs from the model."""
        model = self.model
        past = {name: one.past for name, one in model.campaigns.items()}
        view = self.view = await check_ledger(self.client, self.keys, model.campaigns, self.queues, past=past)
        for name, one in model.campaigns.items():
            found = view.campaigns[name]
            assert set(found.records) == set(one.contacts)
            sums = Counter(one.past)
            for contact_id, contact in one.contacts.items():
                record = found.records[contact_id]
                assert record.state == contact.state, (name, contact_id)
                assert record.attempts == contact.used, (name, contact_id)
                assert record.is_suppressed is contact.is_suppressed, (name, contact_id)
                seen = [
                    (a.number, a.token, a.state, a.disposition, a.retry_rule, a.run, a.verdict)
                    for a in record.history
                ]
                assert seen == [
                    (a.number, a.token, *a.outcome, a.after and a.after.key, a.run, a.verdict)
                    for a in contact.attempts
                ], (name, contact_id)
                for attempt in contact.attempts:
                    sums += counts(attempt.facts) if attempt.run is not None else Counter()
                if contact.state != "ready":
                    score = found.states[record.state][contact_id]
                    due = math.inf if contact.due is None else contact.due - model.now
                    left = (score - view.now_ms) / 1000
                    assert due == left or abs(due - left) < SLACK_S, (name, contact_id, due, left)
                self._check_backend(name, contact)
            assert all(found.totals.get(total, 0) == sums[total] for total in TOTALS), (sums, found.totals)
            waiting = {contact for campaign, contact in model.documents if campaign == name}
            assert set(found.outbox) == waiting
            assert view.queue_of.get(name, "") == one.queue
        await self.check_suppression()
        for queue in self.queues:
            members = {one.id for one in model.campaigns.values() if one.queue == queue}
            assert view.queues[queue].campaigns == members

    def _check_backend(self, campaign: str, contact: ContactModel) -> None:
        """The backend shows the truth, or an update is under way."""
        about = (campaign, contact.id)
        is_told = contact.told is None or self.backend[about] == (contact.told, contact.used)
        if is_told or about in self.ended_there:
            return
        document = self.model.documents.get(about)
        if document is not None:
            assert document.status == contact.told
            return
        late = [one for one in self.deliveries if (one.campaign, one.contact) == about and one.has_patched]
        assert late, f"{about}: the backend shows {self.backend[about]}, nothing will tell it {contact.told}"
