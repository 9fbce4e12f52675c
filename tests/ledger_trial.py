"""Drives the real scripts and the model side by side: every answer must be one the model allows.

A deed is one call of a stub with its arguments, so it can be done again later, as a client does whose reply was lost.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import msgspec
from redis.asyncio import Redis

from streamdialer.keys import Keys
from streamdialer.ledger import (
    CampaignLedger,
    Claimed,
    LoadRow,
    Outbox,
    QueueLedger,
    Reservation,
    TickLedger,
    Update,
    fact_of,
)
from streamdialer.ledger.campaigns import Limits
from streamdialer.model import Agent, Attempt, CallEvent, TickKind, TickResult
from streamdialer.scripts import Scripts
from tests.attempt_model import counts
from tests.ledger_allowances import is_allowed
from tests.ledger_invariants import TOTALS, check_ledger, uncounted
from tests.ledger_model import (
    ANSWER_KEPT_S,
    DEADLINE_S,
    DELIVERY_LEASE_S,
    LEASE_S,
    MAX_ATTEMPTS,
    MAX_CALL_S,
    RATE_LIMIT_S,
    REST_S,
    TOMBSTONE_S,
    CampaignModel,
    ContactModel,
    LedgerModel,
)
from tests.ledger_view import LedgerView, move_clock

SWEPT = ("released", "expired", "closed", "promoted", "forgotten", "stalled")
SLACK_S = 400
"""How long one example may take: what the model calls one instant."""


@dataclass(eq=False)
class Written:
    """An event in the stream."""

    position: int
    entry: str
    campaign: str
    contact: str
    kind: str
    said: dict[str, str]


@dataclass(eq=False)
class Delivery:
    """Somebody who has taken an entry of `updates`."""

    entry: str
    campaign: str
    contact: str
    token: str
    update: Update | None = None
    document: object = None
    """The model's document that was taken."""
    has_patched: bool = False


def limits(*, events_required: bool, is_idempotent: bool) -> Limits:
    """The model's durations as the scripts take them; the breaker opens on what the API says, not by counting."""
    return Limits(
        lease_ms=LEASE_S * 1000,
        deadline_ms=DEADLINE_S * 1000,
        max_call_ms=MAX_CALL_S * 1000,
        tombstone_ms=TOMBSTONE_S * 1000,
        events_required=events_required,
        breaker_failures=10**6,
        breaker_max_ms=REST_S * 1000,
        is_idempotent=is_idempotent,
    )


class Trial:
    """The ledger on an emptied server, its model, and a backend that remembers what it was told."""

    def __init__(
        self,
        client: Redis,
        scripts: Scripts,
        campaigns: tuple[str, ...],
        queues: tuple[str, ...],
        *,
        events_required: bool,
        is_idempotent: bool,
    ) -> None:
        self.client, self.scripts, self.keys = client, scripts, Keys()
        self.queues = queues
        self.ledger = CampaignLedger(
            scripts, self.keys, limits(events_required=events_required, is_idempotent=is_idempotent)
        )
        self.tick_ledger = TickLedger(scripts, self.keys)
        self.ticks: list[tuple[TickKind, str, str]] = []
        self.queue_ledger = QueueLedger(scripts, self.keys)
        self.outbox = Outbox(scripts, self.keys, TOMBSTONE_S * 1000, DELIVERY_LEASE_S * 1000)
        self.model = LedgerModel(campaigns, events_required=events_required, is_idempotent=is_idempotent)
        self.backend: dict[tuple[str, str], tuple[str, int]] = {}
        self.calls: list[tuple[Attempt, str]] = []
        """Every entry `calls` ever had, with its `until`."""
        self.requests: dict[str, list[str]] = {}
        """Attempt id -> reservations under which a request has left."""
        self.refused: set[str] = set()
        """Reservations whose request the API has not placed."""
        self.answers: dict[tuple[str, str], tuple[Claimed, float]] = {}
        self.last_call = "0-0"
        self.deliveries: list[Delivery] = []
        self.view: LedgerView | None = None
        self.seen: Counter[str] = Counter()
        """How often each script gave which answer."""

    # --- campaigns and contacts -------------------------------------------------------------------------------

    async def register(self, campaign: str, queue: str, before: str) -> None:
        is_right = self.model.campaigns[campaign].queue == before
        assert await self.ledger.register(campaign, queue, "", before) is is_right
        if is_right:
            self.model.campaigns[campaign].queue = queue

    async def set_status(self, campaign: str, status: str) -> None:
        await self.client.hset(self.keys.campaign(campaign), "status", status)
        self.model.campaigns[campaign].status = status

    async def load(self, campaign: str, rows: tuple[LoadRow, ...]) -> None:
        loaded = await self.ledger.load(campaign, rows, MAX_ATTEMPTS)
        expected: Counter[str] = Counter()
        for row in rows:
            before = self.model.campaigns[campaign].contacts.get(row.contact)
            became = self.model.load(
                campaign, row.contact, row.priority, row.attempts, row.problem, row.reset
            )
            expected[became] += 1
            if before is None and became != "ignored":
                shown = "no_answer" if row.reset else "pending"
                self.backend[campaign, row.contact] = (shown, row.attempts)
        assert msgspec.structs.asdict(loaded) == {
            name: expected[name] for name in ("added", "known", "invalid", "used_up")
        }

    async def cleanup(self, campaign: str, queue: str) -> None:
        model, one = self.model, self.model.campaigns[campaign]
        answer = await self.ledger.cleanup(campaign, queue)
        self.seen[f"cleanup: {answer}"] += 1
        refusals = set()
        if not one.queue and one.status is None:
            refusals.add("unknown")
        if one.status not in (None, "completed", "cancelled"):
            refusals.add("not_finished")
        if one.live:
            refusals.add("calls_live")
        if any(about[0] == campaign for about in model.documents):
            refusals.add("updates_waiting")
        assert answer in refusals if refusals else answer == "ok", (answer, refusals)
        if answer == "ok":
            model.campaigns[campaign] = CampaignModel(campaign)
            self._forget_requests(campaign)
            left = [key async for key in self.client.scan_iter(f"sd:c:{campaign}:*", count=1000)]
            assert all(":answer:" in str(key) for key in left), left
            assert not await self.client.exists(self.keys.campaign(campaign))

    # --- ticks ------------------------------------------------------------------------------------------------

    async def want_ticks(self, kind: TickKind, campaigns: tuple[str, ...], interval_s: int) -> None:
        """A producer adds a tick per campaign, of an endless slot or at once."""
        added = await self.tick_ledger.enqueue(kind, campaigns, interval_s)
        expected = [name for name in campaigns if self.model.wants_tick(kind, name, interval_s > 0)]
        assert len(added) == len(expected), (added, expected)
        for name, tick in zip(expected, added, strict=True):
            self.ticks.append((kind, name, tick))
            if kind == "dial":
                self.model.campaigns[name].waiting_tick = tick

    async def run_tick(self, at: int) -> None:
        """A consumer takes a tick and keeps its result; the entry goes when it is done, if it does not die before."""
        kind, name, tick = self.ticks[at % len(self.ticks)]
        await self.tick_ledger.take(name, tick)
        if self.model.campaigns[name].waiting_tick == tick:
            self.model.campaigns[name].waiting_tick = ""
        kept = await self.client.get(self.keys.tick(tick))
        result = TickResult(status="ok", kind=kind, campaign_id=name, dialed=at)
        await self.tick_ledger.record(tick, result, keep_s=10_000, decisions=10)
        got = await self.client.get(self.keys.tick(tick))
        assert got == (kept or msgspec.json.encode(result).decode()), "a result was overwritten"
        if at % 2:
            await self.client.xdel(self.keys.stream("ticks"), tick)

    # --- calls ------------------------------------------------------------------------------------------------

    async def claim(self, campaign: str, queue: str, wanted: Reservation, open_for_s: float | None) -> None:
        model, one = self.model, self.model.campaigns[campaign]
        if queue != one.queue and is_allowed("a claim believes what it is told of its campaign's queue"):
            return
        kept, kept_until = self.answers.get((campaign, wanted.token), (None, 0.0))
        got = await self.ledger.claim(campaign, queue, wanted)
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
        before = {name: (each.placed, each.live) for name, each in model.campaigns.items()}
        ready = sorted(one.within("ready"), key=lambda contact: contact.order)
        taken = [one.contacts[attempt.contact] for attempt in new]
        assert all(contact in ready for contact in taken), "a contact that was not ready has been claimed"
        await self._use_up(one, ready, wanted, got)
        left = [contact for contact in ready if contact.place == "ready" and contact not in taken]
        assert max((c.order for c in taken), default=(-99, 0.0)) <= min(
            (c.order for c in left), default=(99, 0.0)
        )
        for attempt, contact in zip(new, taken, strict=True):
            assert contact.used < wanted.max_attempts
            made = model.reserve(campaign, contact, attempt.token, wanted.max_attempts)
            assert made.id == attempt.id
            self.calls.append((attempt, "" if open_for_s is None else str(wanted.open_until_ms)))
        room = self._room(one, wanted, got.free, before)
        assert got.dialed == min(room, got.dialed + len(left)), (got, room, left)
        if got.dialed:
            assert one.placed <= wanted.level
            assert one.live <= wanted.max_concurrent
            self.answers[campaign, wanted.token] = (got, model.now + ANSWER_KEPT_S)
            if model.rest_until is not None:
                model.probed = model.now
        assert (got.unanswered, got.live) == (one.placed, one.live - len(one.within("in_doubt")))

    async def _new_calls(self) -> list[Attempt]:
        """Entries of `calls` that were not there before."""
        entries: Any = await self.client.xrange(self.keys.stream("calls"), f"({self.last_call}")
        if entries:
            self.last_call = entries[-1][0]
        return [
            Attempt(fields["campaign"], fields["contact"], int(fields["number"]), fields["token"])
            for _, fields in entries
        ]

    async def _use_up(
        self, one: CampaignModel, ready: list[ContactModel], wanted: Reservation, got: Claimed
    ) -> None:
        """Contacts out of attempts that the claim came across are finished."""
        skipped = (got.skipped or {}).get("attempts_used_up", 0)
        if not skipped:
            return
        finished = await self.client.zrange(self.keys.finished(one.id), 0, -1)
        met = [contact for contact in ready if contact.id in finished]
        assert len(met) == skipped
        assert all(contact.used >= wanted.max_attempts for contact in met)
        for contact in met:
            self.model.use_up(one.id, contact)

    def _room(
        self, one: CampaignModel, wanted: Reservation, free: int, before: dict[str, tuple[int, int]]
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
        answer = await self.ledger.begin(attempt, run, until)
        self.seen[f"begin: {answer}"] += 1
        contact = one.contacts.get(attempt.contact)
        newest = contact.newest if contact else None
        if contact is None or newest is None or newest.token != attempt.token:
            assert answer == "stale"
            return
        if newest.run is not None:
            is_unheard = newest.standing[0] == "sent" and newest.verdict is None
            in_time = contact.due is not None and contact.due > model.now
            may_repeat = model.is_idempotent and is_unheard and in_time
            assert answer == ("ok" if newest.run == run else "again" if may_repeat else "sent")
            if answer == "again":
                newest.run = run
            return
        refusals = set()
        if one.status != "active":
            refusals.add("not_active")
        if until == "1":
            refusals.add("window_closed")
        if model.is_held(one):
            refusals.add("held")
        assert answer in (refusals or {"ok"}), (answer, refusals)
        if answer == "ok":
            model.send(attempt.campaign, contact, run)
            self._note_request(attempt)
        else:
            model.unreserve(contact)

    def _note_request(self, attempt: Attempt) -> None:
        """A request may leave: the first of its attempt, unless those before are known not to have been placed."""
        earlier = self.requests.setdefault(attempt.id, [])
        assert attempt.token not in earlier, "two runs were allowed to send one reservation"
        assert self.refused.issuperset(earlier), "a second request left for one attempt"
        earlier.append(attempt.token)

    def _forget_requests(self, campaign: str, contact: str | None = None) -> None:
        """Whoever is loaded anew is counted anew."""
        prefix = f"{campaign}:" if contact is None else f"{campaign}:{contact}:"
        self.requests = {name: sent for name, sent in self.requests.items() if not name.startswith(prefix)}

    async def settle(self, attempt: Attempt, verdict: str, call_id: str, hold: str) -> None:
        found = [
            (contact, one)
            for contact, one in self.model.attempts()
            if one.token == attempt.token and one.id == attempt.id
        ]
        wait_s = RATE_LIMIT_S if hold == "campaign" else REST_S if hold else 0
        answer = await self.ledger.settle(
            attempt, verdict=verdict, call_id=call_id, hold=hold, retry_after_s=wait_s
        )
        self.seen[f"settle: {answer}"] += 1
        if not found:
            assert answer == "stale"
            return
        ((contact, one),) = found
        assert answer == ("ok" if one.verdict is None else "settled")
        if one.verdict is None:
            if verdict == "not_placed":
                self.refused.add(attempt.token)
            self.model.settle(one, contact, verdict, call_id, hold)

    # --- events -----------------------------------------------------------------------------------------------

    async def write(self, campaign: str, contact: str, kind: str, said: dict[str, str]) -> Written:
        """An event that nobody has read yet."""
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
        answer = await self.ledger.apply_event(said, fact_of(said), queue, event.entry)
        self.seen[f"event: {answer}"] += 1
        found = self.model.subject(
            event.campaign, event.contact, event.said.get("call_id", ""), event.position
        )
        if isinstance(found, str):
            assert answer == found
        else:
            contact = self.model.campaigns[event.campaign].contacts[event.contact]
            assert answer == self.model.event(event.kind, found, contact, event.position, event.said)
        if event.position in self.model.unread:
            await self.client.xdel(self.keys.stream("events"), event.entry)
            self.model.unread.discard(event.position)

    # --- agents -----------------------------------------------------------------------------------------------

    async def store_agents(self, queue: str, agents: dict[str, bool], asked_ago_s: int) -> None:
        """A list of a queue's agents, asked for a while ago."""
        rows = [Agent(agent, "available" if is_free else "busy") for agent, is_free in agents.items()]
        asked = await self.queue_ledger.ask_agents(queue)
        await self.queue_ledger.store_agents(queue, rows, asked.now - asked_ago_s * 1000)
        free, busy = await self._agents(queue)
        if asked_ago_s == 0:
            assert free == {agent for agent, is_free in agents.items() if is_free}
            assert busy == set(agents) - free

    async def note_agent(self, queue: str, agent: str, is_free: bool, ago_s: int) -> None:
        """News of one agent, written a while ago."""
        before = await self._agents(queue)
        seconds, micros = await self.client.time()
        entry = f"{seconds * 1000 + micros // 1000 - ago_s * 1000}-0"
        answer = await self.queue_ledger.note_agent(queue, agent, is_free=is_free, entry=entry)
        free, busy = await self._agents(queue)
        if answer == "unchanged":
            assert (free, busy) == before
        else:
            assert (agent in free) is is_free
            assert (free | busy) - {agent} == (before[0] | before[1]) - {agent}
            assert answer == ("freed" if is_free else "applied")
        if ago_s == 0:
            assert agent in (free if is_free else busy), "the newest news wins"

    async def _agents(self, queue: str) -> tuple[set[str], set[str]]:
        free = await self.client.zrange(self.keys.queue_free(queue), 0, -1)
        busy = await self.client.zrange(self.keys.queue_busy(queue), 0, -1)
        return set(map(str, free)), set(map(str, busy))

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
        places = {contact: contact.place for contact in late}
        tally = Counter(places.values())
        assert (swept.released, swept.promoted, swept.forgotten) == (
            tally["reserved"],
            tally["waiting"],
            tally["finished"],
        )
        ended = await self._ended_by_deadline(
            campaign, [c for c in late if c.place in ("unanswered", "connected")]
        )
        assert swept.expired == len([c for c in ended if c.place == "unanswered"])
        assert swept.closed == len([c for c in ended if c.place == "connected"])
        for contact in late:
            attempt = contact.newest
            match places[contact]:
                case "reserved":
                    model.unreserve(contact)
                case "waiting":
                    contact.age = contact.due or 0.0
                    contact.place, contact.due = "ready", None
                    model.tell(campaign, contact, "pending", contact.used)
                case "finished":
                    model.forget(one, contact)
                    self._forget_requests(campaign, contact.id)
                case _:
                    assert attempt is not None
                    if contact in ended:
                        assert model.may_end_by_deadline(contact, attempt), "silence proved nothing"
                        before = attempt.standing
                        if contact.place == "unanswered":
                            attempt.facts.silent = True
                        else:
                            attempt.facts.endless = True
                        model.follow(contact, attempt, before)
                    else:
                        assert not model.must_end_by_deadline(attempt), "a deadline was forgotten"

    async def _ended_by_deadline(self, campaign: str, late: list[ContactModel]) -> list[ContactModel]:
        """Which of the contacts the ledger chose to end."""
        if not late:
            return []
        still = {
            place: set(await self.client.zrange(getattr(self.keys, place)(campaign), 0, -1))
            for place in ("unanswered", "connected")
        }
        return [contact for contact in late if contact.id not in still[contact.place]]

    # --- the backend ------------------------------------------------------------------------------------------

    async def take(self, delivery: Delivery) -> None:
        about = (delivery.campaign, delivery.contact)
        document = self.model.documents.get(about)
        answer = await self.outbox.take(*about, delivery.token)
        self.seen[f"take: {answer if isinstance(answer, str) else 'update'}"] += 1
        if document is None:
            assert answer == "none"
            await self._finish(delivery)
        elif document.token not in ("", delivery.token) and document.lease_until > self.model.now:
            assert answer == "busy"
        else:
            assert isinstance(answer, Update)
            assert (answer.status, answer.attempts) == (document.status, document.attempts)
            document.token, document.lease_until = delivery.token, self.model.now + DELIVERY_LEASE_S
            delivery.update, delivery.document, delivery.has_patched = answer, document, False

    def patch(self, delivery: Delivery) -> None:
        assert delivery.update is not None
        attempts = delivery.update.attempts
        known = self.backend.get((delivery.campaign, delivery.contact), ("", 0))[1]
        self.backend[delivery.campaign, delivery.contact] = (
            delivery.update.status,
            known if attempts is None else attempts,
        )
        delivery.has_patched = True

    async def confirm(self, delivery: Delivery) -> None:
        """Done ends the delivery; whatever else comes back, the deliverer looks again."""
        assert delivery.update is not None
        about = (delivery.campaign, delivery.contact)
        document = self.model.documents.get(about)
        contact = self.model.campaigns[delivery.campaign].contacts.get(delivery.contact)
        answer = await self.outbox.confirm(*about, delivery.token, delivery.update.version)
        self.seen[f"confirm: {answer}"] += 1
        if document is not None and document.token == delivery.token:
            assert answer == ("done" if document is delivery.document else "newer")
        else:
            assert answer == "lost"
            if contact is not None:
                self.model.tell(delivery.campaign, contact, contact.told or "failed", contact.used)
        delivery.update, delivery.has_patched = None, False
        if answer == "done":
            del self.model.documents[about]
            if contact is not None and contact.place == "finished":
                contact.due = self.model.now + TOMBSTONE_S
            await self._finish(delivery)

    async def deliver_all(self, campaign: str) -> None:
        """A deliverer nobody disturbs takes every update of a campaign that no other holds."""
        entries: Any = await self.client.xrange(self.keys.stream("updates"))
        for entry, fields in entries:
            if fields["campaign"] == campaign:
                delivery = Delivery(str(entry), campaign, fields["contact"], f"undisturbed {entry}")
                await self.take(delivery)
                if delivery.update is not None:
                    self.patch(delivery)
                    await self.confirm(delivery)

    async def _finish(self, delivery: Delivery) -> None:
        await self.client.xdel(self.keys.stream("updates"), delivery.entry)
        if delivery in self.deliveries:
            self.deliveries.remove(delivery)

    # --- the look after every step ----------------------------------------------------------------------------

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
                assert record.place == contact.place, (name, contact_id)
                assert record.attempts + uncounted(record) == contact.used, (name, contact_id)
                seen = [(a.number, a.token, a.state, a.disposition, a.run, a.verdict) for a in record.history]
                assert seen == [
                    (a.number, a.token, *a.standing, a.run, a.verdict) for a in contact.attempts
                ], (name, contact_id)
                for attempt in contact.attempts:
                    sums += counts(attempt.facts) if attempt.run is not None else Counter()
                if contact.place != "ready":
                    score = found.places[record.place][contact_id]
                    due = math.inf if contact.due is None else contact.due - model.now
                    left = (score - view.now_ms) / 1000
                    assert due == left or abs(due - left) < SLACK_S, (name, contact_id, due, left)
                self._check_backend(name, contact)
            assert all(found.totals.get(total, 0) == sums[total] for total in TOTALS), (sums, found.totals)
            waiting = {contact for campaign, contact in model.documents if campaign == name}
            assert set(found.outbox) == waiting
            assert view.queue_of.get(name, "") == one.queue
        for queue in self.queues:
            members = {one.id for one in model.campaigns.values() if one.queue == queue}
            assert view.queues[queue].campaigns == members

    def _check_backend(self, campaign: str, contact: ContactModel) -> None:
        """The backend shows what is true, or will be told."""
        about = (campaign, contact.id)
        if contact.told is None or self.backend[about] == (contact.told, contact.used):
            return
        document = self.model.documents.get(about)
        if document is not None:
            assert document.status == contact.told
            return
        late = [one for one in self.deliveries if (one.campaign, one.contact) == about and one.has_patched]
        assert late, f"{about}: the backend shows {self.backend[about]}, nothing will tell it {contact.told}"
