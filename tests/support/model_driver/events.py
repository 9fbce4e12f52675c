"""Events, the passing of time, and updates of the backend, on the real scripts and on the model."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from streamdialer.consumers.update_rules import is_over
from streamdialer.ledger.event_facts import fact_of
from streamdialer.ledger.outbox import Delivery as Verdict
from streamdialer.ledger.records import Update
from streamdialer.model import CallEvent, Contact
from tests.support.ledger_model import (
    DEADLINE_S,
    DELIVERY_RESERVATION_LEASE_S,
    FINAL_TTL_S,
    MAX_CALL_DURATION_S,
    ContactModel,
)
from tests.support.ledger_reader import move_clock
from tests.support.model_driver.base import Delivery, DriverBase, Written

SWEPT = ("released", "no_event", "too_long", "promoted", "forgotten", "stalled")


class EventDriver(DriverBase):
    """Events of calls, in time or late, and the updates that follow."""

    async def write(self, campaign: str, contact: str, kind: str, said: dict[str, str]) -> Written:
        """An event that is not read yet."""
        entry = str(await self.client.xadd(self.keys.stream("events"), {"type": kind}))
        self.model.written.append(self.model.now)
        position = len(self.model.written)
        self.model.unread.add(position)
        return Written(position, entry, campaign, contact, kind, said)

    async def read(self, event: Written, queue: str) -> None:
        """The events stage handles the entry; again, when it has been read before."""
        said = msgspec.convert(
            {"type": event.kind, "campaign_id": event.campaign, "contact_id": event.contact, **event.said},
            CallEvent,
        )
        answer = (await self.ledger.apply_call_event(said, fact_of(said), queue, event.entry)).outcome
        self.seen[f"event: {answer}"] += 1
        found = self.model.subject(
            event.campaign,
            event.contact,
            event.said.get("call_id", ""),
            event.position,
            event.said.get("attempt_id", ""),
        )
        if isinstance(found, str):
            assert answer == found
        else:
            contact = self.model.campaigns[event.campaign].contacts[event.contact]
            assert answer == self.model.event(event.kind, found, contact, event.position, event.said)
        if event.position in self.model.unread:
            await self.client.xdel(self.keys.stream("events"), event.entry)
            self.model.unread.discard(event.position)

    async def list_calls(self, source: str, ids: frozenset[str]) -> None:
        """An event source lists calls, by the ids of their attempts."""
        entry = str(await self.client.xadd(self.keys.stream("events"), {"type": "source_live"}))
        await self.client.xdel(self.keys.stream("events"), entry)
        model = self.model
        model.written.append(model.now)
        model.list_calls(source, ids, len(model.written))
        lists = await self.event_sources.note(source, entry, ids, 0)
        assert not isinstance(lists, str)
        assert set(lists.sources) == set(model.lists)
        for one in model.campaigns.values():
            found = await self.event_sources.end_missing(one.id, entry, lists, judges_nameless=True)
            ended = set(found.ended)
            self.seen["list: ended"] += len(ended)
            for contact in one.within("dialing", "connected"):
                attempt = contact.attempts[-1]
                if attempt.id in ended:
                    assert not model.is_listed_as_up(attempt), "a call that is listed was ended"
                    assert not model.may_not_have_begun(attempt), "a call that may still begin was ended"
                    assert max(attempt.sent_at, attempt.sent_again_at, attempt.last_sign_at) <= min(
                        at for at, _ in model.lists.values()
                    )
                    is_heard = attempt.facts.are_heard
                    assert is_heard or attempt.replied_at <= min(at for at, _ in model.lists.values())
                    ended.discard(attempt.id)
                    before, attempt.facts.missing = attempt.outcome, True
                    model.follow(contact, attempt, before)
                    continue
                assert not model.must_be_over(attempt), "a call that no source lists is still up"
                if contact.state != "dialing" or contact.due is None:
                    continue
                if model.is_listed_as_up(attempt):
                    if contact.due < model.now + DEADLINE_S / 2:
                        contact.due = model.now + DEADLINE_S
                elif model.is_older_than_lists(attempt):
                    contact.due = max(contact.due, model.begins_until(attempt))
            assert not ended, "a call was ended that was not up"

    # --- time -------------------------------------------------------------------------------------------------

    async def pass_time(self, seconds: int) -> None:
        model = self.model
        await move_clock(self.client, self.keys, seconds)
        model.now += seconds
        for about, (_, until) in list(self.answers.items()):
            if until <= model.now:
                del self.answers[about]
                await self.client.delete(self.keys.answer(*about))

    async def sweep(self, campaign: str) -> None:
        model, one = self.model, self.model.campaigns[campaign]
        late = [c for c in one.contacts.values() if c.due is not None and c.due <= model.now]
        swept = await self.ledger.sweep(campaign, 500)
        self.seen += Counter({f"sweep: {name}": getattr(swept, name) for name in SWEPT})
        for contact in [c for c in late if c.state == "final" and (campaign, c.id) in model.documents]:
            late.remove(contact)
            contact.due = None  # until the backend knows
        for contact in [c for c in late if c.state == "dialing"]:
            until = model.waits_until(contact.attempts[-1])
            if model.now < min(until, contact.attempts[-1].sent_at + MAX_CALL_DURATION_S):
                late.remove(contact)
                contact.due = until
        late += await self._looked_at_again(campaign, late)
        places = {contact: contact.state for contact in late}
        tally = Counter(places.values())
        assert (swept.released, swept.promoted, swept.forgotten) == (
            tally["reserved"],
            tally["deferred"],
            tally["final"],
        )
        ended = await self._ended_by_deadline(
            campaign, [c for c in late if c.state in ("dialing", "connected")]
        )
        assert swept.no_event == len([c for c in ended if c.state == "dialing"])
        assert swept.too_long == len([c for c in ended if c.state == "connected"])
        for contact in late:
            attempt = contact.newest
            match places[contact]:
                case "reserved":
                    model.unreserve(contact)
                case "deferred" if contact.is_deferred_by_rule:
                    contact.state, contact.due, contact.is_deferred_by_rule = "ready", None, False
                case "deferred":
                    contact.age = contact.due or 0.0
                    contact.state, contact.due = "ready", None
                    model.tell(campaign, contact, "pending", contact.used)
                case "final":
                    model.forget(one, contact)
                case _:
                    assert attempt is not None
                    if contact in ended:
                        assert model.may_end_by_deadline(contact, attempt), "silence proved nothing"
                        before = attempt.outcome
                        if contact.state == "dialing":
                            attempt.facts.silent = True
                        else:
                            attempt.facts.endless = True
                        model.follow(contact, attempt, before)
                    else:
                        assert not model.must_end_by_deadline(contact, attempt), "a deadline was forgotten"

    async def _looked_at_again(self, campaign: str, late: list[ContactModel]) -> list[ContactModel]:
        """Contacts that waited for another call to end, and whose seconds have passed while the test ran."""
        ready: Any = set(await self.client.zrange(self.keys.ready(campaign), 0, -1))
        waiting = self.model.campaigns[campaign].within("deferred")
        return [c for c in waiting if c.is_deferred_by_rule and c.id in ready and c not in late]

    async def _ended_by_deadline(self, campaign: str, late: list[ContactModel]) -> list[ContactModel]:
        """Which of the contacts the ledger has chosen to end."""
        if not late:
            return []
        still = {
            place: set(await self.client.zrange(getattr(self.keys, place)(campaign), 0, -1))
            for place in ("dialing", "connected")
        }
        return [contact for contact in late if contact.id not in still[contact.state]]

    # --- the backend ------------------------------------------------------------------------------------------

    async def take(self, delivery: Delivery) -> None:
        about = (delivery.campaign, delivery.contact)
        document = self.model.documents.get(about)
        answer = await self.outbox.lease(*about, delivery.token)
        self.seen[f"take: {answer if isinstance(answer, str) else 'update'}"] += 1
        if document is None:
            assert answer == "none"
            await self._finish(delivery)
        elif document.token not in ("", delivery.token) and document.lease_until > self.model.now:
            assert answer == "busy"
        else:
            assert isinstance(answer, Update)
            assert answer.status == document.status
            assert answer.attempts == document.attempts
            document.token, document.lease_until = (
                delivery.token,
                self.model.now + DELIVERY_RESERVATION_LEASE_S,
            )
            delivery.update, delivery.document, delivery.has_patched = answer, document, False
            delivery.leased_at = self.model.now

    def end_there(self, campaign: str, contact: str, status: str) -> None:
        """The backend ends a contact by itself."""
        self.backend[campaign, contact] = (status, self.backend[campaign, contact][1])
        self.ended_there[campaign, contact] = self.model.now

    def patch(self, delivery: Delivery) -> None:
        """The deliverer asks the backend for the contact, and sends the update if it may."""
        assert delivery.update is not None
        about = (delivery.campaign, delivery.contact)
        delivery.has_patched = True
        status, known = self.backend.get(about, ("pending", 0))
        is_wish = delivery.update.status == "do_not_call"
        if not is_wish and is_over(delivery.update, Contact(id=1, status=status, attempts=known)):
            document = self.model.documents.get(about)
            is_overtaken = document is None or document.token != delivery.token  # another has told the end
            is_ours = status == "do_not_call"  # of a request, and the contact is loaded anew since
            assert is_overtaken or is_ours or about in self.ended_there, (delivery.update, status, known)
            self.seen[f"over: {delivery.update.status}"] += 1
            delivery.verdict = "over"
            return
        delivery.verdict = "taken"
        self.ended_there.pop(about, None)
        attempts = delivery.update.attempts
        self.backend[about] = (delivery.update.status, known if attempts is None else attempts)

    async def confirm(self, delivery: Delivery, verdict: Verdict = "taken") -> None:
        """`done` ends the delivery; after any other answer the deliverer takes the update again."""
        assert delivery.update is not None
        about = (delivery.campaign, delivery.contact)
        if delivery.verdict == "over":
            verdict = "over"
        document, status = self.model.documents.get(about), delivery.update.status
        contact = self.model.campaigns[delivery.campaign].contacts.get(delivery.contact)
        answer = await self.outbox.acknowledge(*about, delivery.token, delivery.update.version, verdict)
        self.seen[f"confirm: {answer}"] += 1
        if document is not None and document.token == delivery.token:
            assert answer == ("done" if document is delivery.document else "newer")
        else:
            assert answer == "lost"
            if contact is not None:
                self.model.tell(delivery.campaign, contact, _told_again(contact), contact.used)
        delivery.update, delivery.has_patched = None, False
        if answer == "done":
            del self.model.documents[about]
            if contact is not None:
                contact.is_refused = verdict == "refused"
                if verdict == "over":
                    self._give_up(contact)
                elif status == "pending" and contact.state == "ready":
                    contact.seen_at = max(contact.seen_at, delivery.leased_at)
            if contact is not None and contact.state == "final" and contact.told is not None:
                contact.due = self.model.now + FINAL_TTL_S
            await self._finish(delivery)

    def _give_up(self, contact: ContactModel) -> None:
        """The backend has ended a contact: one that waits leaves the ledger at once."""
        if contact.state in ("ready", "deferred"):
            contact.state, contact.due, contact.is_deferred_by_rule = "final", self.model.now, False
            contact.told = None

    async def deliver_all(self, campaign: str, verdict: Verdict = "taken") -> None:
        """An undisturbed deliverer takes every update of the campaign that no other holds."""
        entries: Any = await self.client.xrange(self.keys.stream("updates"))
        for entry, fields in entries:
            if fields["campaign"] == campaign:
                delivery = Delivery(str(entry), campaign, fields["contact"], f"undisturbed {entry}")
                await self.take(delivery)
                if delivery.update is not None:
                    self.patch(delivery)
                    await self.confirm(delivery, verdict)

    async def _finish(self, delivery: Delivery) -> None:
        await self.client.xdel(self.keys.stream("updates"), delivery.entry)
        if delivery in self.deliveries:
            self.deliveries.remove(delivery)


def _told_again(contact: ContactModel) -> str:
    """The update of a contact when an older one may have arrived after it."""
    return contact.told or "failed"
