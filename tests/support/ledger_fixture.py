"""A campaign in the ledger as tests need it: load, agents, claim, age, and a check of every invariant."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from streamdialer.broker.entries import BadEntry
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.handlers.event_sources import SourceLive
from streamdialer.consumers.services import Services
from streamdialer.ledger.event_facts import fact_of
from streamdialer.ledger.queues import AgentEventStatus, QueueListStatus
from streamdialer.ledger.rate_limits import NO_RATE_LIMITS, RateLimits
from streamdialer.ledger.records import Update
from streamdialer.ledger.types import (
    ApplyStatus,
    ClaimRequest,
    ClaimResult,
    LoadRow,
    LostCall,
    ledger_limits,
)
from streamdialer.model import (
    Agent,
    AgentState,
    Attempt,
    CallEvent,
    CampaignSettings,
    SourceEvent,
    plain_id,
)
from streamdialer.rules.caps import NO_CAPS, Caps
from streamdialer.rules.retry import RetryPlan, retry_plan
from tests.support.attempt_model import LIVE
from tests.support.ledger_invariants import check_ledger


class LedgerWorld:
    """Campaigns on one queue, driven through the ledger's own stubs."""

    def __init__(self, services: Services, queue: str = "sales") -> None:
        self.services = services
        self.client = services.client
        self.keys = services.keys
        self.queue = queue
        self.tokens = 0
        self.max_attempts = 3
        self.retry_delay_ms = 300_000
        self.retry_rules: dict[str, Any] | None = None
        self.caps: Caps = NO_CAPS
        self.pace: RateLimits = NO_RATE_LIMITS

    @property
    def retry(self) -> RetryPlan:
        """The plan of the campaigns."""
        return retry_plan(
            CampaignSettings(
                queue_name=self.queue,
                max_retries=self.max_attempts,
                retry_delay=self.retry_delay_ms / 1000,
                retry_rules=self.retry_rules,
            )
        )

    async def open_campaign(
        self,
        campaign: str = "1",
        contacts: int = 5,
        priority: int = 5,
        *,
        first: int = 1,
        agents: int | None = None,
    ) -> None:
        """An active campaign with contacts from `first` on; `agents` is the number of free agents of the queue."""
        services = self.services
        await services.client.hset(services.keys.campaign(campaign), "status", "active")
        before = await services.queues.queue_of(campaign)
        assert await services.campaigns.register(campaign, self.queue, "", previous=before)
        rows = [self.row(str(number), priority) for number in range(first, first + contacts)]
        await services.campaigns.load(campaign, rows, self.max_attempts)
        if agents is not None:
            await self.set_agents(agents)

    @staticmethod
    def row(contact: str, priority: int = 5, attempts: int = 0) -> LoadRow:
        call = msgspec.json.encode({"id": int(contact), "phone_number": f"+15550{contact}"}).decode()
        return LoadRow(contact, priority, attempts, call)

    async def set_agents(self, free: int, busy: int = 0) -> None:
        """The queue's list names agents 1 and on; those of another queue than `sales` are other people."""
        prefix, states = (
            "" if self.queue == "sales" else f"{self.queue}.",
            ["available"] * free + ["busy"] * busy,
        )
        agents = [Agent(f"{prefix}{number}", state) for number, state in enumerate(states, 1)]
        asked = await self.services.queues.begin_agent_poll(self.queue)
        await self.services.queues.replace_agents(self.queue, agents, asked.ledger_ms)

    async def agent_comes_free(self, agent: str) -> None:
        """The queue's list names one more agent, whom an event frees."""
        client, keys, rows = self.client, self.keys, [Agent(plain_id(agent), "offline")]
        for key, status in ((keys.queue_free, "available"), (keys.queue_busy, "busy")):
            rows += [
                Agent(plain_id(str(name)), status) for name in await client.zrange(key(self.queue), 0, -1)
            ]
        asked = await self.services.queues.begin_agent_poll(self.queue)
        await self.services.queues.replace_agents(self.queue, rows, asked.ledger_ms)
        assert await self.agent_event(agent, "available") == "freed"

    async def agent_event(self, agent: str, state: AgentState, entry: str | None = None) -> AgentEventStatus:
        applied = await self.services.queues.apply_agent_event(
            self.queue, agent, state=state, entry=entry or await self.write_entry()
        )
        return applied.status

    async def claim(
        self, campaign: str = "1", level: int = 100, *, free_agents: int | None = None, **limits: Any
    ) -> ClaimResult:
        """Claims with the caps and the pace of the campaigns; by default as many agents are free as Redis says."""
        self.tokens += 1
        token = limits.pop("token", f"t{self.tokens}")
        if free_agents is None:
            free_agents = int(await self.client.zcard(self.keys.queue_free(self.queue)))
        limits = {"caps": self.caps, "rate_limits": self.pace, **limits}
        request = self.claim_request(token, level, free_agents, **limits)
        return await self.services.campaigns.reserve_contacts(campaign, self.queue, request)

    def claim_request(self, token: str, level: int, free_agents: int, **limits: Any) -> ClaimRequest:
        """A claim that nothing limits but its level and `limits`."""
        wide: dict[str, Any] = {
            "calls_per_agent": 1.0,
            "max_concurrent": 100,
            "batch": 500,
            "open_until_ms": None,
            "others": {},
        }
        return ClaimRequest(
            token=token, level=level, free_agents=free_agents, retry=self.retry, **wide | limits
        )

    async def reserved_calls(self) -> list[Attempt]:
        """What waits in the calls stream, oldest first."""
        entries: Any = await self.client.xrange(self.keys.stream("calls"))
        return [
            Attempt(fields["attempt"], fields["campaign"], fields["contact"], fields["token"])
            for _, fields in entries
        ]

    async def reserve(self, campaign: str = "1", **limits: Any) -> Attempt:
        """Claims one more call."""
        in_flight = await self.count(campaign, "reserved") + await self.count(campaign, "dialing")
        claimed = await self.claim(campaign, in_flight + 1, **limits)
        assert claimed.dialed == 1, claimed
        return (await self.reserved_calls())[-1]

    async def mark_sent(self, attempt: Attempt, run: str = "run") -> str:
        return (await self.services.campaigns.mark_sent(attempt, run, "")).status

    async def place_one(self, campaign: str = "1") -> Attempt:
        """Claims one more call and sends it."""
        attempt = await self.reserve(campaign)
        assert await self.mark_sent(attempt) == "ok"
        return attempt

    async def event(
        self,
        kind: str,
        attempt: Attempt,
        *,
        entry: str | None = None,
        lost: Any = None,
        **data: Any,
    ) -> ApplyStatus:
        """Applies an event of the attempt's contact; `lost` is a `LostCall`."""
        event = msgspec.convert(
            {"type": kind, "campaign_id": attempt.campaign, "contact_id": attempt.contact, **data},
            CallEvent,
            strict=False,
        )
        heard = await self.services.campaigns.apply_call_event(
            event, fact_of(event), self.queue, entry or await self.write_entry(), lost
        )
        assert heard.attempt.startswith(f"{attempt.campaign}:{attempt.contact}:") or not heard.attempt
        return heard.outcome

    def shown(self, contact: str, attempts: int = 0, *, is_in_call: bool = False) -> LostCall:
        """What the backend says of a contact that the ledger does not know."""
        return LostCall(self.row(contact, attempts=attempts), is_in_call, self.retry, self.caps)

    async def write_entry(self) -> str:
        """The id of a new entry of `events`, which is deleted before anybody can read it."""
        add = "local id = redis.call('XADD', KEYS[1], '*', 'type', 'any') redis.call('XDEL', KEYS[1], id) return id"
        client: Any = self.client
        return str(await client.eval(add, 1, self.keys.stream("events")))

    async def settle(self, attempt: Attempt, verdict: str, hold: str = "", retry_after_s: float = 0) -> str:
        return await self.services.campaigns.settle_originate(
            attempt, verdict=verdict, call_id="", hold=hold, retry_after_s=retry_after_s
        )

    async def age(self, seconds: float, campaign: str = "1") -> None:
        """Brings every deadline of the campaign nearer."""
        for place in ("deferred", "previewing", "reserved", "dialing", "connected", "orphaned", "final"):
            key = getattr(self.keys, place)(campaign)
            rows: Any = await self.client.zrange(key, 0, -1, withscores=True)
            for contact, score in rows:
                if score != float("inf"):
                    await self.client.zadd(key, {contact: score - seconds * 1000})

    async def make_stale(self, *contacts: str) -> None:
        """The backend last listed these contacts of campaign 1 a day ago."""
        for contact in contacts:
            record = await self.record(contact)
            record["sn"] -= 86_400_000
            raw = msgspec.json.encode(record).decode()
            await self.client.hset(self.keys.records("1"), contact, raw)

    async def send_earlier(self, contact: str, seconds: float) -> None:
        """The newest attempt of a contact of campaign 1 was sent, and its reply came, that long before."""
        record = await self.record(contact)
        for name in {"sm", "vm"} & record["h"][-1].keys():
            record["h"][-1][name] -= round(seconds * 1000)
        raw = msgspec.json.encode(record).decode()
        await self.client.hset(self.keys.records("1"), contact, raw)

    async def pass_deadlines(self, *contacts: str) -> None:
        """The deadlines of these calls of campaign 1 have passed; what was seen of any call is older still."""
        for contact in contacts:
            record = await self.record(contact)
            for name in {"sm", "lm", "vm"} & record["h"][-1].keys():
                record["h"][-1][name] -= ledger_limits(self.services.settings).deadline_ms + 1000
            await self.client.hset(self.keys.records("1"), contact, msgspec.json.encode(record).decode())
            await self.client.zadd(self.keys.dialing("1"), {contact: 1})
        await self.client.delete(self.keys.first_events)

    async def let_ring(self, seconds: float, *attempts: Attempt) -> None:
        """So much time passes for these calls of campaign 1, and for what was seen of any call."""
        passed_ms = round(seconds * 1000)

        def earlier(entry: str) -> str:
            ms, _, sequence = entry.partition("-")
            return f"{max(0, int(ms) - passed_ms)}-{sequence}"

        for attempt in attempts:
            record = await self.record(attempt.contact)
            newest = record["h"][-1]
            for name in {"sm", "lm", "vm"} & newest.keys():
                newest[name] -= passed_ms
            newest["ev"] = earlier(newest["ev"])
            await self.client.hset(
                self.keys.records("1"), attempt.contact, msgspec.json.encode(record).decode()
            )
            if record["p"] == "dialing":
                await self.client.zincrby(self.keys.dialing("1"), -passed_ms, attempt.contact)
        seen: Any = await self.client.zrange(self.keys.first_events, 0, -1, withscores=True)
        await self.client.delete(self.keys.first_events)
        for second, at_ms in seen:
            name = str(int(second) - round(seconds))
            await self.client.zadd(self.keys.first_events, {name: at_ms - passed_ms})
        await self.client.expire(self.keys.first_events, 60)
        newest_events: Any = await self.client.hgetall(self.keys.event_watermark)
        for name in {"last", "other", "begun", "begun_other"} & newest_events.keys():
            await self.client.hset(self.keys.event_watermark, name, earlier(newest_events[name]))

    async def age_signs(self, contact: str, seconds: float) -> None:
        """The newest event of the beginning or answer of its newest call was written that long before."""
        record = await self.record(contact)
        record["h"][-1]["lm"] -= round(seconds * 1000)
        raw = msgspec.json.encode(record).decode()
        await self.client.hset(self.keys.records("1"), contact, raw)

    async def list_calls(
        self, *ids: str, source: str = "pbx", entry: str | None = None, since_s: float = 86_400
    ) -> str:
        """An event source that has watched for so long lists its calls; the dead letter's reason, '' for none."""
        stage = SourceLive(self.services, WakeupScheduler(self.services))
        seconds, _ = await self.client.time()
        since = datetime.fromtimestamp(seconds - since_s, UTC).isoformat()
        event = SourceEvent(type="source_live", source=source, since=since, calls=list(ids))
        try:
            await stage.handle(event, entry or await self.write_entry())
        except BadEntry as error:
            return error.reason
        return ""

    async def list_queue(
        self, source: str = "pbx", *, entry: str | None = None, **agents: AgentState
    ) -> QueueListStatus:
        """A telephone system lists the queue's agents: `a7="available"`."""
        states = {name.removeprefix("a"): state for name, state in agents.items()}
        return await self.services.queues.replace_queue_agents(
            self.queue, source, entry or await self.write_entry(), states
        )

    async def sweep(self, campaign: str = "1") -> Any:
        return await self.services.campaigns.sweep(campaign, 200)

    async def count(self, campaign: str, place: str) -> int:
        return int(await self.client.zcard(getattr(self.keys, place)(campaign)))

    async def record(self, contact: str, campaign: str = "1") -> dict[str, Any]:
        raw: Any = await self.client.hget(self.keys.records(campaign), contact)
        return msgspec.json.decode(raw, type=dict[str, Any])

    async def state_of(self, contact: str, campaign: str = "1") -> str:
        return str((await self.record(contact, campaign))["p"])

    async def backend_doc(self, contact: str = "1", campaign: str = "1") -> dict[str, Any]:
        """The update that waits for the backend; empty when there is none."""
        raw: Any = await self.client.hget(self.keys.outbox(campaign), contact)
        return msgspec.json.decode(raw, type=dict[str, Any]) if raw else {}

    async def backend_status(self, contact: str = "1", campaign: str = "1") -> str | None:
        """The contact's status in the update that waits for the backend."""
        return (await self.backend_doc(contact, campaign)).get("s")

    async def lease_update(self, contact: str, holder: str) -> Update:
        update = await self.services.outbox.lease("1", contact, holder)
        assert isinstance(update, Update)
        return update

    async def public(self, campaign: str = "1") -> dict[str, str]:
        found: Any = await self.client.hgetall(self.keys.campaign(campaign))
        return dict(found)

    async def check_invariants(self, *campaigns: str) -> None:
        """Everything that holds at every moment; in these tests also one live attempt and no attempt too many."""
        view = await check_ledger(self.client, self.keys, campaigns or ("1",))
        for campaign in view.campaigns.values():
            for record in campaign.records.values():
                assert sum(each.state in LIVE for each in record.history) <= 1, f"two live attempts: {record}"
                assert record.attempts <= self.max_attempts, record
