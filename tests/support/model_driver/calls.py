"""Claims, begins and replies, on the real scripts and on the model: every answer must be one the model allows."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import msgspec

from streamdialer.ledger.types import ClaimRequest, ClaimResult
from streamdialer.model import Attempt
from tests.support.caps_model import CappedModel, capped
from tests.support.ledger_model import (
    ANSWER_KEPT_S,
    CHECK_AFTER_S,
    DEADLINE_S,
    IN_CALL_PAUSE_S,
    RATE_LIMIT_S,
    REST_S,
    CampaignModel,
    ContactModel,
)
from tests.support.model_driver.campaigns import CampaignDriver
from tests.support.retry_model import PlanModel


class CallDriver(CampaignDriver):
    """Which contacts may be called, and which requests may leave."""

    async def claim(
        self,
        campaign: str,
        queue: str,
        wanted: ClaimRequest,
        plan: PlanModel,
        caps: str,
        open_for_s: float | None,
    ) -> None:
        model, one = self.model, self.model.campaigns[campaign]
        await self.verify(campaign)
        kept, kept_until = self.answers.get((campaign, wanted.token), (None, 0.0))
        wanted = msgspec.structs.replace(wanted, sharing=await self.queue_ledger.sharing(queue))
        usable = await self._usable(queue)
        got = await self.ledger.reserve_contacts(campaign, queue, wanted)
        new = await self._new_calls()
        self.seen[f"claim: {got.reason or got.limit if not got.dialed else 'dialed'}"] += 1
        if kept is not None and kept_until > model.now:
            assert got == kept, "the same claim gave another answer"
            assert not new, "the same claim took more"
            self.seen["claim: the same again"] += 1
            return
        forbidding = model.forbids_claim(one, open_for_s, set(wanted.others))
        if queue != one.queue:
            forbidding.add("queue_changed")
        unclear = {"no_call_events"} if model.events_required and model.overdue(one) else set()
        assert len(new) == got.dialed, "what was reserved is what is to be called"
        if forbidding:
            assert got.reason in forbidding | unclear, (got.reason, forbidding)
        if got.reason is not None:
            assert got.reason in forbidding | unclear, (got.reason, forbidding)
            assert got.dialed == 0
            return
        one.plan = plan
        one.has_recheck_pending |= one.caps not in ("none", caps)
        one.caps = caps
        assert got.recheck is one.has_recheck_pending
        before = {name: (each.placed, each.live) for name, each in model.campaigns.items()}
        ready = sorted(one.within("ready"), key=lambda contact: contact.order)
        taken = [one.contacts[attempt.contact] for attempt in new]
        assert all(contact in ready for contact in taken), "a contact that was not ready has been claimed"
        await self._use_up(one, ready, taken, wanted, got)
        left = [
            contact
            for contact in ready
            if contact.state == "ready" and contact not in taken and model.is_fresh(contact)
        ]
        for stale in got.stale:
            assert not model.is_fresh(one.contacts[stale]), "a contact the backend has just shown"
            assert (campaign, stale) not in model.documents, "its update is on its way"
        assert max((c.order for c in taken), default=(-99, 0.0)) <= min(
            (c.order for c in left), default=(99, 0.0)
        )
        for attempt, contact in zip(new, taken, strict=True):
            assert contact.used < plan.max_attempts
            assert not model.is_listed(contact), "a contact that must not be called has been reserved"
            assert model.is_fresh(contact), (
                "a contact that the backend has not shown lately has been reserved"
            )
            ended_at = self.ended_there.get((campaign, contact.id), model.now)
            assert model.now - ended_at <= CHECK_AFTER_S, "a contact that the backend has ended is reserved"
            assert self._capped(one, contact) is None, "a contact over a cap has been reserved"
            assert not model.is_called_elsewhere(contact), "a number that may be in a call has been reserved"
            made = model.reserve(campaign, contact, attempt.token, attempt.id)
            assert attempt.id.rpartition(":")[0] == f"{campaign}:{contact.id}:{made.number}"
            self.calls.append((attempt, "" if open_for_s is None else str(wanted.open_until_ms)))
        assert got.usable == usable
        room = self._room(one, wanted, usable, before)
        skipped = Counter(got.skipped or {})
        skipped.pop("needs_verification", None)
        if skipped.total() < wanted.batch:
            assert got.dialed == min(room, got.dialed + len(left)), (got, room, left)
        if got.dialed:
            assert one.placed <= wanted.level
            assert one.live <= wanted.max_concurrent
            self.answers[campaign, wanted.token] = (got, model.now + ANSWER_KEPT_S)
            if model.rest_until is not None:
                model.probed = model.now
        assert (got.dialing, got.live) == (one.placed, one.live - len(one.within("orphaned")))

    async def _new_calls(self) -> list[Attempt]:
        """Entries of `calls` that were not there before."""
        entries: Any = await self.client.xrange(self.keys.stream("calls"), f"({self.last_call}")
        if entries:
            self.last_call = entries[-1][0]
        return [
            Attempt(fields["attempt"], fields["campaign"], fields["contact"], fields["token"])
            for _, fields in entries
        ]

    def _capped(self, one: CampaignModel, contact: ContactModel) -> CappedModel | None:
        return capped(one.caps, self.model.calls, one.id, contact.id, contact.number, self.model.now)

    async def _use_up(
        self,
        one: CampaignModel,
        ready: list[ContactModel],
        taken: list[ContactModel],
        wanted: ClaimRequest,
        got: ClaimResult,
    ) -> None:
        """Contacts that the claim met and must not call are final; those over a cap or in another call wait."""
        if not got.skipped:
            return
        finished = await self.client.zrange(self.keys.final(one.id), 0, -1)
        waiting = await self.client.zrange(self.keys.deferred(one.id), 0, -1)
        met = [contact for contact in ready if contact.id in finished]
        listed = [contact for contact in met if self.model.is_listed(contact)]
        tally = Counter({"do_not_call": len(listed), "max_attempts": len(met) - len(listed)})
        for contact in [contact for contact in ready if contact.id in waiting]:
            assert not self.model.is_listed(contact)
            assert contact.used < wanted.retry.max_attempts
            if found := self._capped(one, contact):
                tally[found.reason] += 1
                self.model.defer_by_rule(contact, found.due)
                continue
            is_taken = contact.number in [other.number for other in taken]
            assert is_taken or self.model.is_called_elsewhere(contact), "nothing keeps it from being called"
            tally["in_call"] += 1
            self.model.defer_by_rule(contact, self.model.now + IN_CALL_PAUSE_S)
        skipped = dict(got.skipped)
        unverified = skipped.pop("needs_verification", 0)
        assert unverified <= len([contact for contact in ready if not self.model.is_fresh(contact)])
        self.seen["claim: skipped needs_verification"] += unverified
        assert skipped == {reason: number for reason, number in tally.items() if number}
        self.seen.update({f"claim: skipped {reason}": number for reason, number in tally.items()})
        for contact in met:
            if contact in listed:
                self.model.suppress(one.id, contact)
            else:
                assert contact.used >= wanted.retry.max_attempts
                self.model.use_up(one.id, contact)

    async def recheck_deferred(self, campaign: str) -> None:
        """The ticks stage does so after caps have changed."""
        one, is_more, ready = self.model.campaigns[campaign], True, 0
        while is_more:
            brought, is_more = await self.ledger.recheck_deferred(campaign, None, 3)
            ready += brought
        self.seen[f"recheck: {'pending' if one.has_recheck_pending else 'not pending'}"] += 1
        deferred = [contact for contact in one.within("deferred") if contact.is_deferred_by_rule]
        for contact in deferred if one.has_recheck_pending else []:
            found = self._capped(one, contact)
            if found is None:
                contact.state, contact.due, contact.is_deferred_by_rule = "ready", None, False
                ready -= 1
            else:
                self.model.defer_by_rule(contact, found.due)
        one.has_recheck_pending = False
        assert ready == 0, "those who may be called are ready, and no others"

    async def _usable(self, queue: str) -> int:
        """Agents the calls of a queue may use: for each set of other queues, those not taken by their calls."""
        free = {name: (await self._agents(name))[0] for name in self.queues}
        placed = {
            name: sum(one.placed for one in self.model.campaigns.values() if one.queue == name)
            for name in free
        }
        others = [name for name in free if name != queue]
        served = {name: min(placed[name], len(free[name])) for name in others}
        assert len(others) == 1, "with more queues, their calls share agents among each other, too"
        return min(len(free[queue]), *(len(free[queue] | free[name]) - served[name] for name in others))

    def _room(
        self, one: CampaignModel, wanted: ClaimRequest, free: int, before: dict[str, tuple[int, int]]
    ) -> int:
        """How many calls may be reserved; `before` is what each campaign had placed, and live."""
        placed, live = before[one.id]
        per_agent = wanted.calls_per_agent
        lost = max(0, math.ceil((wanted.free_agents - free) * per_agent - 1e-9))
        left = free - sum(before[other][0] / ratio for other, ratio in wanted.others.items())
        room = min(
            wanted.level - lost - placed,
            math.floor(left * per_agent + 1e-9) - placed,
            wanted.max_concurrent - live,
            wanted.batch,
            1 if self.model.rest_until is not None else 10**6,
        )
        return max(0, room)

    async def begin(self, attempt: Attempt, until: str, run: str) -> None:
        model, one = self.model, self.model.campaigns[attempt.campaign]
        answer = (await self.ledger.mark_sent(attempt, run, until)).status
        self.seen[f"begin: {answer}"] += 1
        contact = one.contacts.get(attempt.contact)
        newest = contact.newest if contact else None
        if contact is None or newest is None or newest.token != attempt.token:
            assert answer == "stale"
            return
        if newest.run is not None:
            is_unheard = newest.outcome[0] == "sent" and newest.verdict is None
            in_time = model.now < newest.sent_at + DEADLINE_S
            may_repeat = model.is_idempotent and is_unheard and in_time and not model.is_listed(contact)
            assert answer == ("ok" if newest.run == run else "again" if may_repeat else "sent")
            if answer == "again":
                model.send_again(contact, run)
            return
        refusals = set()
        if one.status != "active":
            refusals.add("not_active")
        if until == "1":
            refusals.add("window_closed")
        if model.is_held(one):
            refusals.add("api_paused")
        if model.is_called_elsewhere(contact):
            refusals.add("in_call")
        over = self._capped(one, contact)
        if over is not None and not refusals:
            refusals.add(over.reason)
        if model.is_listed(contact):
            refusals = {"do_not_call"}
        assert answer in (refusals or {"ok"}), (answer, refusals)
        if answer == "ok":
            model.send(attempt.campaign, contact, run)
            self._note_request(attempt)
        elif answer == "do_not_call":
            model.suppress(attempt.campaign, contact)
        else:
            model.unreserve(contact)

    def _note_request(self, attempt: Attempt) -> None:
        """A request may leave: no earlier one had its id, also of a contact that was forgotten meanwhile."""
        assert attempt.id not in self.requests, "an attempt id was used twice"
        self.requests.add(attempt.id)

    async def settle(self, attempt: Attempt, verdict: str, call_id: str, hold: str) -> None:
        found = [
            (contact, one)
            for contact, one in self.model.attempts()
            if one.token == attempt.token and one.id == attempt.id
        ]
        wait_s = RATE_LIMIT_S if hold == "campaign" else REST_S if hold else 0
        answer = await self.ledger.settle_originate(
            attempt, verdict=verdict, call_id=call_id, hold=hold, retry_after_s=wait_s
        )
        self.seen[f"settle: {answer}"] += 1
        if not found:
            assert answer == "stale"
            return
        ((contact, one),) = found
        assert answer == ("ok" if one.verdict is None else "settled")
        if one.verdict is None:
            self.model.settle(one, contact, verdict, call_id, hold)
