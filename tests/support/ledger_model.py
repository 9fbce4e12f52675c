"""What must be true of contacts, attempts, levels and holds: a model in plain Python, time in seconds (pure).

It is written from the contract and the invariants, not from the scripts. Where these leave the ledger a choice (which
of two contacts of one age, whether a deadline waits a little longer) the model says what is allowed and takes over
what was chosen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.support.attempt_model import WEAKEST_FIRST, Facts, State, counts, ending, outcome_of, stronger
from tests.support.retry_model import CAUSES, MAX_ATTEMPTS, After, History, PlanModel, after

# The tests' clock moves by thousands of seconds and no duration is a multiple of them: whether something is due does
# not hang on how long the test itself takes.
RESERVATION_LEASE_S, DEADLINE_S, MAX_CALL_DURATION_S, FINAL_TTL_S = 6500, 4500, 720_500, 60_500
IN_CALL_PAUSE_S = 5
CHECK_AFTER_S = 25_500
"""How long a contact may be called after the backend has shown it as pending, or has taken that it is."""
REST_S, RATE_LIMIT_S, DELIVERY_RESERVATION_LEASE_S, ANSWER_KEPT_S = 2500, 1500, 3500, 30_000


@dataclass(eq=False)
class AttemptModel:
    """One attempt; it was sent when `run` is known."""

    id: str
    campaign: str
    contact: str
    number: int
    token: str
    past: History = field(default_factory=lambda: History(0))
    after: After | None = None
    """What follows it, when it is over."""
    facts: Facts = field(default_factory=Facts)
    run: str | None = None
    sent_after: int = 0
    """Number of events written when it was sent."""
    sent_at: float = 0.0
    sent_again_at: float = 0.0
    ended_at: float = 0.0
    verdict: str | None = None
    replied_at: float = 0.0
    """When the reply came."""
    call_id: str = ""
    other_ids: list[str] = field(default_factory=list)
    """Of other legs of the call."""
    reply_id: str = ""
    last_sign_at: float = 0.0
    """When an event of its beginning or answer was read."""
    first_end: int = 0
    """Position of the event of its end that was written first."""

    @property
    def outcome(self) -> tuple[State, str | None]:
        return ("reserved", None) if self.run is None else outcome_of(self.facts)


@dataclass(eq=False)
class ContactModel:
    """One contact: where it is, until when, and what was tried."""

    id: str
    priority: int
    age: float
    used: int
    state: str = "ready"
    due: float | None = None
    is_deferred_by_rule: bool = False
    """It waits for nothing but a cap: it was ready."""
    attempts: list[AttemptModel] = field(default_factory=list)
    told: str | None = "pending"
    """What the backend has to show; None when it has never had an update."""
    number: str | None = None
    said: tuple[str | None, bool] = (None, False)
    """Its number, and whether it must not be called, as the backend said last."""
    is_suppressed: bool = False
    """Never to be called again."""
    is_refused: bool = False
    """The backend refused its newest state."""
    has_problem: bool = False
    """Its number cannot be called."""
    seen_at: float = 0.0
    """When the backend last showed it as pending, or took that it is."""

    @property
    def order(self) -> tuple[int, float]:
        """The order of calls: higher priority first, then the older contact."""
        return (-self.priority, self.age)

    @property
    def newest(self) -> AttemptModel | None:
        return self.attempts[-1] if self.attempts else None


@dataclass(eq=False)
class DocumentModel:
    """What the backend does not know yet; a new object for every state."""

    status: str
    attempts: int | None
    token: str = ""
    lease_until: float = 0.0


@dataclass(eq=False)
class CampaignModel:
    """One campaign; without a queue the ledger does not know it."""

    id: str
    queue: str = ""
    status: str | None = None
    contacts: dict[str, ContactModel] = field(default_factory=dict)
    plan: PlanModel | None = None
    """As passed with the last claim that the ledger received."""
    caps: str = "none"
    """The same, of `caps_model.KINDS`."""
    has_recheck_pending: bool = False
    """Its caps have changed since the contacts that wait for them were last checked."""
    past: Counter[str] = field(default_factory=Counter)
    """What attempts that are no longer remembered have added to the totals."""
    refused: set[str] = field(default_factory=set)
    """Contacts that are forgotten, and whose end the backend refused: they are finished permanently."""
    held_until: float | None = None
    queued_tick: str = ""
    tick_slots: set[str] = field(default_factory=set)
    """Kinds of ticks whose slot, which never ends here, has been written."""

    def within(self, *states: str) -> list[ContactModel]:
        return [contact for contact in self.contacts.values() if contact.state in states]

    @property
    def placed(self) -> int:
        return len(self.within("reserved", "dialing"))

    @property
    def live(self) -> int:
        return len(self.within("reserved", "dialing", "connected", "orphaned"))


class LedgerModel:
    """All campaigns, the breaker, the news that has been read and that has not."""

    def __init__(self, campaigns: tuple[str, ...], *, events_required: bool, is_idempotent: bool) -> None:
        self.events_required = events_required
        self.is_idempotent = is_idempotent
        self.now = 0.0
        self.campaigns = {name: CampaignModel(name) for name in campaigns}
        self.documents: dict[tuple[str, str], DocumentModel] = {}
        self.written: list[float] = []
        """When each event was written; its position is its number."""
        self.unread: set[int] = set()
        self.heard: list[tuple[int, str]] = []
        """Position and attempt of the events that found one."""
        self.begun: list[tuple[int, str]] = []
        """Those of them that showed a call ringing or answered."""
        self.lists: dict[str, tuple[float, frozenset[str]]] = {}
        """Event source -> when it listed its calls, and which."""
        self.first_seen: list[tuple[float, float]] = []
        """Of each attempt with an event: when it was sent, and when its first event was read."""
        self.counters = {"begun": (0, 0), "replies": (0, 0)}
        """Calls that rang, and of them those long after they were sent; replies, and of them unclear ones."""
        self.is_serial = False
        """The Dialer API seems to place calls one after the other."""
        self.rest_until: float | None = None
        self.probed: float | None = None
        self.listed: set[str] = set()
        """Numbers not to be called."""
        self.calls: list[tuple[str | None, AttemptModel]] = []
        """Every call that was sent, and to which number; also of contacts that are forgotten."""
        self.requests: set[tuple[str, str]] = set()
        """Campaign and contact of do-not-call requests whose number was not known."""

    # --- moves ------------------------------------------------------------------------------------------------

    def tell(self, campaign: str, contact: ContactModel, status: str, attempts: int | None) -> None:
        if contact.is_suppressed:
            status = "do_not_call"
        contact.told = status
        self.tell_of(campaign, contact.id, status, attempts)

    def tell_of(self, campaign: str, contact: str, status: str, attempts: int | None) -> None:
        old = self.documents.get((campaign, contact))
        document = DocumentModel(status, attempts)
        if old is not None:
            document.token, document.lease_until = old.token, old.lease_until
            document.attempts = old.attempts if attempts is None else attempts
        self.documents[campaign, contact] = document

    def _put(self, contact: ContactModel, place: str, after_s: float | None = None) -> None:
        if contact.is_suppressed and place == "ready":
            place = "final"
        contact.state, contact.due = place, None if after_s is None else self.now + after_s
        contact.is_deferred_by_rule = False

    def load(
        self,
        campaign: str,
        contact: str,
        priority: int,
        attempts: int,
        problem: str,
        reset: bool,
        number: str | None = None,
        is_marked: bool = False,
    ) -> str:
        """What `load` does with one row."""
        if not self.campaigns[campaign].queue:
            return "ignored"  # it would never be removed
        contacts = self.campaigns[campaign].contacts
        if contact in contacts:
            if contacts[contact].state != "final":
                contacts[contact].priority = priority  # it moves, and keeps its age
            if contacts[contact].state == "ready" and not reset:
                contacts[contact].seen_at = self.now
            if contacts[contact].state in ("ready", "deferred") and contacts[contact].said != (
                number,
                is_marked,
            ):
                self.correct(campaign, contacts[contact], number, is_marked, problem)
            if is_marked:
                self.suppress(campaign, contacts[contact])
            return "known"
        if contact in self.campaigns[campaign].refused:
            if (campaign, contact) not in self.requests:
                return "finished"
            self.campaigns[campaign].refused.discard(contact)
        one = contacts[contact] = ContactModel(contact, priority, self.now, attempts, number=number)
        one.said, one.seen_at = (number, is_marked), self.now
        has_asked = (campaign, contact) in self.requests
        if has_asked and number:
            self.listed.add(number)
            self.requests.discard((campaign, contact))
        if has_asked or is_marked or self.is_listed(one):
            self.suppress(campaign, one, attempts=None)
            return "do_not_call"
        if problem:
            one.has_problem = True
            self._put(one, "final")
            self.tell(campaign, one, "invalid", None)
            return "invalid"
        if attempts >= MAX_ATTEMPTS:
            self._put(one, "final", FINAL_TTL_S)
            one.told = None
            return "used_up"
        if reset:
            self.tell(campaign, one, "pending", None)
        return "added"

    def correct(
        self, campaign: str, contact: ContactModel, number: str | None, is_marked: bool, problem: str
    ) -> None:
        """The backend says something else of a contact who is not being called."""
        contact.number, contact.said = number, (number, is_marked)
        if (campaign, contact.id) in self.requests and number:
            self.listed.add(number)
            self.requests.discard((campaign, contact.id))
        if is_marked or self.is_listed(contact):
            self.suppress(campaign, contact)
        elif problem:
            self._put(contact, "final")
            contact.has_problem = True
            self.tell(campaign, contact, "invalid", None)

    def is_fresh(self, contact: ContactModel) -> bool:
        """Whether the contact may be called without asking the backend."""
        return self.now - contact.seen_at <= CHECK_AFTER_S

    def is_listed(self, contact: ContactModel) -> bool:
        return contact.is_suppressed or contact.number in self.listed

    def suppress(self, campaign: str, contact: ContactModel, attempts: int | None = -1) -> None:
        """The contact is final; `attempts` is what the backend gets (-1: all that count)."""
        if contact.is_suppressed:
            return
        contact.is_suppressed = True
        if contact.state == "reserved":
            contact.attempts.pop()
        if contact.state in ("ready", "deferred", "reserved", "final"):
            self._put(contact, "final")
        self.tell(campaign, contact, "do_not_call", contact.used if attempts == -1 else attempts)

    def defer_by_rule(self, contact: ContactModel, due: float) -> None:
        """A claim found the contact over a cap; the backend gets no update."""
        contact.state, contact.due, contact.is_deferred_by_rule = "deferred", due, True

    def use_up(self, campaign: str, contact: ContactModel) -> None:
        """A claim found that the contact has no attempt left."""
        self._put(contact, "final")
        ended = contact.newest.outcome[1] if contact.newest else None
        self.tell(campaign, contact, ended or "failed", contact.used)

    def reserve(self, campaign: str, contact: ContactModel, token: str, attempt_id: str) -> AttemptModel:
        number = max(contact.used, contact.newest.number if contact.newest else 0) + 1
        if contact.newest and contact.newest.outcome[0] == "released":
            contact.attempts.pop()
        last, past = contact.newest, History(contact.used)
        if last and last.after:
            in_a_row = 0 if last.after.is_counted else last.past.uncounted_in_a_row + 1
            past = History(contact.used, in_a_row, last.past.ended_by + Counter([last.after.key]))
        elif last:
            past = History(contact.used, 0, last.past.ended_by)
        attempt = AttemptModel(attempt_id, campaign, contact.id, number, token, past)
        contact.attempts.append(attempt)
        self._put(contact, "reserved", RESERVATION_LEASE_S)
        return attempt

    def unreserve(self, contact: ContactModel) -> None:
        contact.attempts.pop()
        self._put(contact, "ready")

    def send(self, campaign: str, contact: ContactModel, run: str) -> None:
        attempt = contact.attempts[-1]
        attempt.run, attempt.sent_after, attempt.sent_at = run, len(self.written), self.now
        self.calls.append((contact.number, attempt))
        contact.used = attempt.past.counted + 1
        self._put(contact, "dialing", DEADLINE_S)
        self.tell(campaign, contact, "dialing", contact.used)

    def send_again(self, contact: ContactModel, run: str) -> None:
        attempt = contact.attempts[-1]
        attempt.run, attempt.sent_again_at = run, self.now
        self._put(contact, "dialing", DEADLINE_S)

    def follow(self, contact: ContactModel, attempt: AttemptModel, before: tuple[State, str | None]) -> bool:
        """Draws the consequences of new facts; True when the contact's call is over by them."""
        state, disposition = attempt.outcome
        if state == "ended" and before[0] != "ended":
            attempt.ended_at = self.now
        was, attempt.after = attempt.after, None
        if state == "ended":
            kind, cause = ending(attempt.facts)
            plan = self.campaigns[attempt.campaign].plan
            assert kind is not None
            assert plan is not None
            attempt.after = after(plan, attempt.past, kind, cause)
        keys = was and was.key, attempt.after and attempt.after.key
        if (state, disposition) == before and keys[0] == keys[1]:
            return False
        unsent = contact.newest is not None and contact.newest.outcome[0] in ("reserved", "released")
        if unsent and contact.attempts[-2:-1] == [attempt]:
            contact.attempts.pop()  # the reservation is taken back: the previous call did not end as it seemed
        if attempt is not contact.newest:
            return False
        if state == "released":
            contact.used = attempt.past.counted
            self._put(contact, "ready")
            self.tell(attempt.campaign, contact, "pending", contact.used)
            return True
        contact.used = attempt.past.counted + 1
        if attempt.after is not None:
            assert disposition is not None
            contact.used -= not attempt.after.is_counted
            if attempt.after.delay_s is not None and not contact.is_suppressed:
                contact.state, contact.due = "deferred", attempt.ended_at + attempt.after.delay_s
                contact.is_deferred_by_rule = False
            else:
                self._put(contact, "final")
            self.tell(attempt.campaign, contact, disposition, contact.used)
            return True
        if state == "answered":
            self._put(contact, "connected", MAX_CALL_DURATION_S)
            self.tell(attempt.campaign, contact, "answered", contact.used)
        elif contact.state != "dialing":
            self._put(contact, "dialing", DEADLINE_S)
            self.tell(attempt.campaign, contact, "dialing", contact.used)
        return False

    # --- what is known and allowed ----------------------------------------------------------------------------

    def attempts(self) -> Iterator[tuple[ContactModel, AttemptModel]]:
        for campaign in self.campaigns.values():
            for contact in campaign.contacts.values():
                for attempt in contact.attempts:
                    yield contact, attempt

    def is_called_elsewhere(self, contact: ContactModel) -> bool:
        """Another contact has a call to its number that may be up."""
        return contact.number is not None and any(
            other is not contact and other.number == contact.number
            for campaign in self.campaigns.values()
            for other in campaign.within("reserved", "dialing", "connected", "orphaned")
        )

    def is_held(self, campaign: CampaignModel) -> bool:
        """A pause of the API or the campaign forbids to send."""
        rests = self.rest_until is not None and self.rest_until > self.now
        return rests or (campaign.held_until or 0) > self.now

    def is_probing(self) -> bool:
        """One call is finding out whether the API is well."""
        if self.rest_until is None or self.probed is None:
            return False
        return self.probed > self.rest_until and self.now < self.probed + DEADLINE_S

    def well(self) -> None:
        self.rest_until = self.probed = None

    def others_spoke(self, attempt: AttemptModel) -> bool:
        """An event of another attempt was written after this one was sent, and has been read."""
        return any(at > attempt.sent_after and whose != attempt.id for at, whose in self.heard)

    def _proofs(self, contact: ContactModel, attempt: AttemptModel) -> list[tuple[int, str]]:
        """Events of others that may end a silent attempt; ends prove nothing until the longest conversation is over."""
        may_be_on_the_phone = contact.state == "dialing" and self.now < attempt.sent_at + MAX_CALL_DURATION_S
        return self.begun if may_be_on_the_phone else self.heard

    def may_end_by_deadline(self, contact: ContactModel, attempt: AttemptModel) -> bool:
        """Silence counts only while other calls have events and every event written before the deadline is read."""
        if not self.events_required:
            return True
        due, proofs = contact.due or 0.0, self._proofs(contact, attempt)
        has_proof = any(at > attempt.sent_after and whose != attempt.id for at, whose in proofs)
        return has_proof and not any(self.written[at - 1] < due for at in self.unread)

    def must_end_by_deadline(self, contact: ContactModel, attempt: AttemptModel) -> bool:
        """The deadline must end it: the newest event is of another attempt, and all have been read."""
        if not self.events_required:
            return True
        at, whose = max(self._proofs(contact, attempt), default=(0, ""))
        return at > attempt.sent_after and whose != attempt.id and not self.unread

    def forbids_claim(self, campaign: CampaignModel, open_until: float | None, others: set[str]) -> set[str]:
        """Every reason for which nothing may be claimed."""
        reasons = set()
        if campaign.status != "active":
            reasons.add("not_active")
        members = {one.id for one in self.campaigns.values() if one.queue == campaign.queue}
        if not campaign.queue or members - others - {campaign.id}:
            reasons.add("queue_changed")
        if open_until is not None and open_until <= self.now:
            reasons.add("window_closed")
        if (self.rest_until or 0) > self.now or self.is_probing():
            reasons |= {"dialer_api_down", "dialer_api_credentials"}
        if (campaign.held_until or 0) > self.now:
            reasons.add("rate_limited")
        overdue = self.overdue(campaign)
        if self.events_required and overdue and not any(self.others_spoke(one) for one in overdue):
            reasons.add("no_call_events")
        return reasons

    def overdue(self, campaign: CampaignModel) -> list[AttemptModel]:
        """Unanswered attempts whose deadline has passed."""
        late = [one for one in campaign.within("dialing") if one.due is not None and one.due <= self.now]
        return [one.attempts[-1] for one in late]

    def wants_tick(self, kind: str, campaign: str, is_periodic: bool) -> bool:
        """Whether a tick is to be added; a periodic tick takes its slot at once."""
        one = self.campaigns[campaign]
        is_wanted = one.status == "active"
        if kind == "cleanup":
            is_wanted = bool(one.queue) and one.status in (None, "completed", "cancelled")
        if is_periodic and is_wanted:
            is_wanted = (
                kind not in one.tick_slots and kind != "cleanup"
            )  # what has just ended stays for one interval
            one.tick_slots.add(kind)
        is_wanted = is_wanted and not (kind == "dial" and one.queued_tick)
        if is_wanted and kind == "dial":
            one.tick_slots.add(kind)  # a tick added at once stands for the periodic one
        return is_wanted

    # --- replies and events -----------------------------------------------------------------------------------

    def settle(
        self, attempt: AttemptModel, contact: ContactModel, verdict: str, call_id: str, hold: str
    ) -> None:
        """The reply to a request."""
        before = attempt.outcome
        self._count("replies", verdict == "unknown")
        attempt.verdict, attempt.reply_id, attempt.replied_at = verdict, call_id, self.now
        attempt.facts.not_placed |= verdict == "not_placed"
        attempt.facts.impossible |= verdict == "never"
        self.follow(contact, attempt, before)
        if verdict in ("placed", "never") or attempt.facts.are_heard:
            self.well()
        elif hold == "campaign":
            self.campaigns[attempt.campaign].held_until = self.now + RATE_LIMIT_S
        elif hold and (self.rest_until or 0) <= self.now:
            self.rest_until, self.probed = self.now + REST_S, None

    def subject(
        self, campaign: str, contact: str, call_id: str, position: int, attempt_id: str = ""
    ) -> AttemptModel | str:
        """The attempt an event speaks of, or why there is none."""
        if not self.campaigns[campaign].queue:
            return "unknown_campaign"
        one = self.campaigns[campaign].contacts.get(contact)
        if one is None:
            return "unknown_contact"
        sent = [attempt for attempt in one.attempts if attempt.run is not None]
        if attempt_id:
            return next((each for each in sent if each.id == attempt_id), "foreign_attempt")
        for attempt in reversed(one.attempts):
            if call_id and call_id in (attempt.call_id, attempt.reply_id, *attempt.other_ids):
                return attempt
        for attempt in reversed(sent):
            if attempt.sent_after < position:
                others = [each for each in sent if each is not attempt]
                is_alone = all(each.outcome[0] in ("ended", "released") for each in others)
                may_be_other_leg = is_alone and (not attempt.first_end or position <= attempt.first_end)
                is_foreign = call_id and attempt.call_id and not may_be_other_leg
                return "foreign_call" if is_foreign else attempt
        return "no_attempt"

    def event(
        self, kind: str, attempt: AttemptModel, contact: ContactModel, position: int, said: dict[str, str]
    ) -> str:
        """Adds an event to its attempt; returns the script's answer."""
        self.heard.append((position, attempt.id))
        if kind in ("call_ringing", "call_answered"):
            self.begun.append((position, attempt.id))
            attempt.last_sign_at = self.now
        else:
            attempt.first_end = min(attempt.first_end or position, position)
        before, facts, call_id = attempt.outcome, attempt.facts, said.get("call_id", "")
        were_heard = facts.are_heard
        ids = (attempt.call_id, *attempt.other_ids)
        known = (*(getattr(facts, name) for name in Facts.__struct_fields__), *ids)
        if kind in ("call_ringing", "call_answered"):
            facts.missing = False
        if not attempt.call_id:
            attempt.call_id = call_id
        elif call_id and call_id not in (*ids, attempt.reply_id) and len(attempt.other_ids) < 4:
            attempt.other_ids.append(call_id)
        disposition = said.get("disposition", "")
        if kind == "call_abandoned" or disposition == "abandoned":
            facts.abandoned = facts.answered = True
        elif kind == "call_answered":
            facts.answered = True
        elif kind == "call_ringing":
            facts.rang = True
        elif kind == "call_completed":
            facts.completed = stronger(facts.completed, disposition or "completed")
        else:
            cause, says = CAUSES["" if disposition == "cancelled" else said.get("cause", "")]
            kind = says if says and disposition in ("", "failed") else disposition or "failed"
            heard = [(kind, cause), (facts.failed, facts.cause)]
            facts.failed, facts.cause = max(
                [(name, why) for name, why in heard if name],
                key=lambda pair: (WEAKEST_FIRST.index(pair[0]), pair[1]),
            )
        facts.by_machine |= said.get("answered_by") == "machine"
        ids = (attempt.call_id, *attempt.other_ids)
        if known == (*(getattr(facts, name) for name in Facts.__struct_fields__), *ids):
            return "unchanged"
        if not were_heard:
            self._see_first(attempt, rings=kind == "call_ringing")
        if attempt.verdict == "unknown":
            self.well()
        is_over = self.follow(contact, attempt, before)
        if attempt.outcome[0] == "ringing" and attempt is contact.newest:
            contact.state, contact.due = "dialing", attempt.last_sign_at + DEADLINE_S
        return "ended" if is_over else "applied"

    def _count(self, name: str, is_one: bool) -> tuple[int, int]:
        number, those = self.counters[name]
        number, those = number + 1, those + is_one
        self.counters[name] = (number // 2, those // 2) if number >= 20 else (number, those)
        return number, those

    def _see_first(self, attempt: AttemptModel, *, rings: bool) -> None:
        self.first_seen.append((attempt.sent_at, self.now))
        if rings:
            begun, late = self._count("begun", self.now - attempt.sent_at > DEADLINE_S / 3)
            self.is_serial = late >= 3 and late * 4 >= begun

    def moved_at(self, attempt: AttemptModel) -> float:
        """When an attempt that may stand before it in the Dialer API was seen first."""
        recent = [
            seen
            for sent, seen in self.first_seen
            if seen >= self.now - DEADLINE_S and sent <= attempt.sent_at + 5
        ]
        return max([attempt.sent_at, attempt.sent_again_at, *recent])

    def waits_until(self, attempt: AttemptModel) -> float:
        """Until then a deadline does not end it."""
        rang = attempt.outcome[0] == "ringing"
        return (attempt.last_sign_at if rang else self.moved_at(attempt)) + DEADLINE_S

    def list_calls(self, source: str, ids: frozenset[str], position: int) -> None:
        """An event source says which calls are up."""
        self.heard.append((position, "source_live"))
        self.lists[source] = (self.now, ids)
        self.lists = {
            name: kept for name, kept in self.lists.items() if self.now - kept[0] < MAX_CALL_DURATION_S
        }

    def is_listed_as_up(self, attempt: AttemptModel) -> bool:
        names = {attempt.id, attempt.call_id, attempt.reply_id, *attempt.other_ids}
        return any(names & ids for _, ids in self.lists.values())

    def must_be_over(self, attempt: AttemptModel) -> bool:
        """Every source has listed its calls since its last sign of life, and none lists it."""
        is_listed = self.is_listed_as_up(attempt) or self.may_not_have_begun(attempt)
        return not is_listed and self.is_older_than_lists(attempt)

    def is_older_than_lists(self, attempt: AttemptModel) -> bool:
        """Every source has listed its calls since its last sign of life."""
        if not attempt.facts.are_heard and any(at <= attempt.replied_at for at, _ in self.lists.values()):
            return False  # a reply is such a sign where there is no other
        oldest = min(at for at, _ in self.lists.values())
        return max(attempt.sent_at, attempt.sent_again_at, attempt.last_sign_at) < oldest

    def may_not_have_begun(self, attempt: AttemptModel) -> bool:
        """Nothing was seen of it, and the Dialer API may not have got to it yet."""
        return self.now < self.begins_until(attempt)

    def begins_until(self, attempt: AttemptModel) -> float:
        """Until then the Dialer API may yet place it; 0: it has placed it."""
        replies, unclear = self.counters["replies"]
        is_believed = not self.is_serial and unclear * 2 <= replies
        if attempt.outcome[0] != "sent" or (attempt.verdict not in (None, "unknown") and is_believed):
            return 0
        return min(self.moved_at(attempt) + DEADLINE_S, attempt.sent_at + MAX_CALL_DURATION_S)

    def forget(self, campaign: CampaignModel, contact: ContactModel) -> None:
        """The end of a tombstone."""
        for attempt in contact.attempts:
            campaign.past += counts(attempt.facts)
        if contact.is_refused and not contact.has_problem:
            campaign.refused.add(contact.id)
        del campaign.contacts[contact.id]
