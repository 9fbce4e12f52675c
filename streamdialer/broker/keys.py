"""The one place that builds a Redis key, stream or channel name.

Public names are literal (`campaign:7`, `dialer:events`); ours start with `sd:`. In a namespace all of them carry its
name as a hash tag (`{acme}:campaign:7`), so that every script touches a single slot of a Redis Cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, Literal

import msgspec

from streamdialer.model import plain_id

Stream = Literal["ticks", "calls", "events", "updates", "dead", "outcomes"]
STREAMS: Final[tuple[Stream, ...]] = ("ticks", "calls", "events", "updates", "dead", "outcomes")
Stage = Literal["ticks", "calls", "events", "updates"]
STAGES: Final[tuple[Stage, ...]] = ("ticks", "calls", "events", "updates")
GROUP: Final = "streamdialer"
PausingServer = Literal["backend", "dialer_api"]
ContactIds = Literal["shared", "per-campaign"]
"""Whether contacts of different campaigns with one id are one person."""
CLUSTER_NAMESPACE: Final = "dialer"
"""Names on a Redis Cluster where no namespace is set: a script must find all its keys in one slot."""


def namespace_prefix(namespace: str) -> str:
    """What all names of the namespace begin with; '' for none."""
    return f"{{{namespace}}}:" if namespace else ""


class Keys(msgspec.Struct, frozen=True):
    """Key names under one prefix: a namespace's, or none."""

    prefix: str = ""
    has_shared_contacts: bool = True
    """A contact id means the same person in all campaigns."""

    def stream(self, stream: Stream) -> str:
        return f"{self.prefix}dialer:{stream}"

    @property
    def channel(self) -> str:
        """Pub/sub channel of campaign status messages; in Redis, channel names and stream names do not collide."""
        return f"{self.prefix}dialer:events"

    @property
    def outcomes(self) -> str:
        """The stream of ended attempts, for other services."""
        return self.stream("outcomes")

    def webhooks_lease(self, group: str) -> str:
        """The process that posts outcomes for this consumer group; it expires when the process is killed."""
        return f"{self.prefix}sd:webhooks:{group}"

    def campaign(self, campaign: str) -> str:
        """The public hash that the Dialer API, the backend and operators read and write."""
        return f"{self.prefix}campaign:{plain_id(campaign)}"

    def anew(self, stream: str) -> str:
        """A stream while it is made anew (`broker/lua/repair_stream.lua`)."""
        return f"{self.prefix}sd:anew:{stream}"

    @property
    def probe(self) -> str:
        """Never exists: shows whether the server takes writes."""
        return f"{self.prefix}sd:probe"

    @property
    def events_retained(self) -> str:
        """Number of entries of `events` that are done and stay for other consumer groups."""
        return f"{self.prefix}sd:events:retained"

    @property
    def of_dead_letters(self) -> list[str]:
        """The dead letters, their index and their sizes (`broker/lua/lib/letters.lua`)."""
        return [self.stream("dead"), f"{self.prefix}sd:dead:index", f"{self.prefix}sd:dead:sizes"]

    @property
    def previews(self) -> str:
        """Bounded stream of what agents are offered in preview mode, which their programs read."""
        return f"{self.prefix}dialer:previews"

    @property
    def hangups(self) -> str:
        """Bounded stream of calls that the telephone system is to end while they ring."""
        return f"{self.prefix}dialer:hangups"

    @property
    def campaign_pattern(self) -> str:
        return f"{self.prefix}campaign:*"

    def campaign_of(self, key: str) -> str | None:
        """The id of the campaign whose public hash is `key`, as its program writes it; None for any other key."""
        head = f"{self.prefix}campaign:"
        tail = key.removeprefix(head)
        return tail if key.startswith(head) and tail and ":" not in tail else None

    def _own(self, campaign: str, name: str) -> str:
        return f"{self.prefix}sd:c:{campaign}:{name}"

    def ready(self, campaign: str) -> str:
        """zset contact -> order (priority first, then age)."""
        return self._own(campaign, "ready")

    def deferred(self, campaign: str) -> str:
        """zset contact -> due, ms."""
        return self._own(campaign, "deferred")

    def reserved(self, campaign: str) -> str:
        """zset contact -> end of lease, ms."""
        return self._own(campaign, "reserved")

    def dialing(self, campaign: str) -> str:
        """zset contact -> deadline, ms: sent, ringing or uncertain."""
        return self._own(campaign, "dialing")

    def connected(self, campaign: str) -> str:
        """zset contact -> deadline, ms: answered and not ended."""
        return self._own(campaign, "connected")

    def final(self, campaign: str) -> str:
        """zset contact -> end of the tombstone, ms; +inf until the backend has confirmed."""
        return self._own(campaign, "final")

    def orphaned(self, campaign: str) -> str:
        """zset contact -> deadline, ms: a call may be up that Redis lost with its data."""
        return self._own(campaign, "orphaned")

    def previewing(self, campaign: str) -> str:
        """zset contact -> end of the offer, ms: shown to an agent who has not answered yet."""
        return self._own(campaign, "previewing")

    def agent_callbacks(self, campaign: str) -> str:
        """zset agent:due:contact, all with one score: callbacks in `ready` that wait for their own agent."""
        return self._own(campaign, "agent_callbacks")

    def contacts(self, campaign: str) -> str:
        """hash contact -> what a call to them needs (JSON, opaque to the scripts)."""
        return self._own(campaign, "contacts")

    def records(self, campaign: str) -> str:
        """hash contact -> state and attempts (JSON, written by the scripts only)."""
        return self._own(campaign, "records")

    def outbox(self, campaign: str) -> str:
        """hash contact -> newest state the backend has not confirmed (JSON)."""
        return self._own(campaign, "outbox")

    def refused(self, campaign: str) -> str:
        """hash contact -> mark of the backend's row (`LoadRow.shown`): finished, and the backend refused that state."""
        return self._own(campaign, "refused")

    def totals(self, campaign: str) -> str:
        """hash of totals; the public hash is written from it."""
        return self._own(campaign, "totals")

    def answer(self, campaign: str, token: str) -> str:
        """The answer to a claim, kept for a while: repeating the claim gives the same answer."""
        return self._own(campaign, f"answer:{token}")

    def decisions(self, campaign: str) -> str:
        """Bounded stream of decision records."""
        return self._own(campaign, "decisions")

    @property
    def blocks(self) -> str:
        """Bounded stream of the contacts that ticks skipped because of a rule, of all campaigns (`ledger/ticks.py`)."""
        return f"{self.prefix}sd:blocks"

    def samples(self, campaign: str) -> str:
        """list of samples of the campaign, newest first (JSON); bounded in number (`ledger/samples.py`)."""
        return self._own(campaign, "samples")

    def pending_dnc(self, campaign: str) -> str:
        """hash contact -> since when and why they must not be called, while the ledger does not know their number."""
        return self._own(campaign, "pending_dnc")

    def of_campaign(self, campaign: str) -> tuple[str, ...]:
        """KEYS 1–23 of every campaign script, in the order `lua/lib/campaign.lua` names them."""
        return _of_campaign(self, campaign)

    def of_contacts(self, campaign: str) -> list[str]:
        """KEYS of the scripts that load contacts from the backend's lists."""
        return [*self.of_campaign(campaign), self.dnc, self.pending_dnc(campaign), self.contacts_by_number]

    @property
    def directory(self) -> str:
        """hash campaign -> queue, for every campaign the ledger knows."""
        return f"{self.prefix}sd:campaigns"

    @property
    def dnc(self) -> str:
        """hash number (digits) -> since when and why it must not be called: the do-not-call list."""
        return f"{self.prefix}sd:dnc"

    @property
    def contacts_by_number(self) -> str:
        """zset `number campaign:contact`, all with one score: the contacts of each number (digits) in the ledger."""
        return f"{self.prefix}sd:contacts_by_number"

    @property
    def calls_up(self) -> str:
        """hash number (digits) -> campaign:contact whose call to it may be up; `@agent`: whose call comes to them."""
        return f"{self.prefix}sd:calls_up"

    def persons_up(self, campaign: str) -> str:
        """hash contact -> campaign that is calling them."""
        return (
            f"{self.prefix}sd:persons_up" if self.has_shared_contacts else self._own(campaign, "persons_up")
        )

    def persons_called(self, campaign: str) -> str:
        """zset contact -> when the backend knew the end of their newest call, ms; kept for a minute."""
        if self.has_shared_contacts:
            return f"{self.prefix}sd:persons_called"
        return self._own(campaign, "persons_called")

    def own_persons(self, campaign: str) -> list[str]:
        """The keys of persons that go with the campaign."""
        return [] if self.has_shared_contacts else [self.persons_up(campaign), self.persons_called(campaign)]

    @property
    def call_history(self) -> str:
        """hash number (digits) or campaign:contact -> the recent calls to them (JSON), for caps."""
        return f"{self.prefix}sd:call_history"

    @property
    def call_history_newest(self) -> str:
        """zset of the fields of `call_history` -> their newest call, ms."""
        return f"{self.prefix}sd:call_history:newest"

    @property
    def of_call_history(self) -> list[str]:
        """KEYS of the scripts that count calls for caps (`lua/lib/call_history.lua`)."""
        return [self.call_history, self.call_history_newest]

    @property
    def caller_ids(self) -> str:
        """hash `day caller id` -> calls sent on that day (`lua/lib/caller_ids.lua`)."""
        return f"{self.prefix}sd:caller_ids"

    @property
    def trunks(self) -> str:
        """hash: the trunk of each campaign, and the call rate of each trunk (`lua/lib/rate_limit.lua`)."""
        return f"{self.prefix}sd:trunks"

    @property
    def sweep_schedule(self) -> str:
        """zset campaign -> when it needs its next sweep, ms."""
        return f"{self.prefix}sd:sweep_schedule"

    @property
    def waiting_ticks(self) -> str:
        """hash campaign -> id of its dial tick that is waiting in the stream."""
        return f"{self.prefix}sd:ticks:waiting"

    @property
    def tick_slots(self) -> str:
        """hash kind:campaign -> the last time slot that got a periodic tick."""
        return f"{self.prefix}sd:tick_slots"

    @property
    def event_watermark(self) -> str:
        """hash: the newest call events, and their attempts."""
        return f"{self.prefix}sd:event_watermark"

    @property
    def sources(self) -> str:
        """hash event source -> when its newest list was written (ledger ms), and the id of the list's entry."""
        return f"{self.prefix}sd:sources"

    def source_calls(self, source: str) -> str:
        """set: ids of attempts and calls that the event source lists as up."""
        return f"{self.prefix}sd:source_calls:{source}"

    def list_parts(self, name: str) -> str:
        """hash part -> its entry and items: a list of an event source of which parts are missing."""
        return f"{self.prefix}sd:list_parts:{name}"

    @property
    def server(self) -> str:
        """hash: the ledger's clock, the server runs whose data it trusts, the calling codes of all numbers, and when
        registries were asked (`lua/lib/clock.lua`, `data_loss.lua`, `spellings.lua`, `registries.lua`)."""
        return f"{self.prefix}sd:server"

    @property
    def api(self) -> str:
        """hash: the Dialer API's breaker, and how it answers (`lua/lib/api_queue.lua`); shared by all replicas."""
        return f"{self.prefix}sd:api"

    def shared_settings(self, campaign: str) -> str:
        """The campaign's settings as a process has read them, while they are fresh."""
        return f"{self.prefix}sd:settings:{campaign}"

    def paused(self, server: PausingServer) -> str:
        """Until when the server asks for no requests, ledger ms, whichever process it told."""
        return f"{self.prefix}sd:paused:{server}"

    @property
    def first_events(self) -> str:
        """zset second of sending -> when an attempt of that second was first seen (`lua/lib/api_queue.lua`)."""
        return f"{self.prefix}sd:first_events"

    @property
    def replicas(self) -> str:
        """zset process -> its last heartbeat, ms, server's time (`broker/heartbeat.py`)."""
        return f"{self.prefix}sd:replicas"

    @property
    def replica_states(self) -> str:
        """hash process -> what it reported about itself (JSON)."""
        return f"{self.prefix}sd:replicas:state"

    def tick(self, tick_id: str) -> str:
        """The stored result of a tick."""
        return f"{self.prefix}sd:tick:{tick_id}"

    def queue_free(self, queue: str) -> str:
        """zset agent -> when last seen, ms: the free agents of the queue."""
        return f"{self.prefix}sd:q:{queue}:free"

    def queue_busy(self, queue: str) -> str:
        """zset agent -> when last seen, ms: all other agents of the queue."""
        return f"{self.prefix}sd:q:{queue}:busy"

    def queue_state(self, queue: str) -> str:
        """hash: when the agent list was last read from the backend, and last written by the telephone system."""
        return f"{self.prefix}sd:q:{queue}:state"

    def queue_lists(self, queue: str) -> str:
        """hash event source -> when it last listed the queue's agents, and their ids (`lua/lib/agent_lists.lua`)."""
        return f"{self.prefix}sd:q:{queue}:lists"

    def queue_campaigns(self, queue: str) -> str:
        """zset campaign -> when it last got calls, ms: the campaigns that share the queue."""
        return f"{self.prefix}sd:q:{queue}:campaigns"

    def queue_pacing(self, queue: str) -> str:
        """hash campaign -> what the other campaigns need to know about its pacing (JSON)."""
        return f"{self.prefix}sd:q:{queue}:pacing"

    def queue_agent_activity(self, queue: str) -> str:
        """hash agent -> what they are doing and since when, for agents who talk or wrap up."""
        return f"{self.prefix}sd:q:{queue}:agent_activity"

    def queue_answer_queue(self, queue: str) -> str:
        """zset attempt -> when it was answered, ms: people who wait for an agent."""
        return f"{self.prefix}sd:q:{queue}:answer_queue"

    def queue_observations(self, queue: str) -> str:
        """Bounded stream of what adaptive pacing learns from."""
        return f"{self.prefix}sd:q:{queue}:observations"

    def queue_learning(self, queue: str) -> str:
        """hash: what adaptive pacing has learnt (JSON), its version, and how far it has read `queue_observations`."""
        return f"{self.prefix}sd:q:{queue}:learning"

    def queue_freed(self, queue: str) -> str:
        """zset agent -> when, ms: the free agents whom an event has freed; no list is needed to know it."""
        return f"{self.prefix}sd:q:{queue}:freed"

    def queue_guessed(self, queue: str) -> str:
        """zset agent -> when, ms: agents who are thought to have a call of which no event has named the agent."""
        return f"{self.prefix}sd:q:{queue}:guessed"

    @property
    def agents(self) -> str:
        """hash agent -> queues, state and call (JSON, `AgentRecord` in `ledger/records.py`)."""
        return f"{self.prefix}sd:agent_records"

    @property
    def agent_calls(self) -> str:
        """hash attempt -> agent who has the call, while it is up."""
        return f"{self.prefix}sd:agent_calls"

    @property
    def shared_agents(self) -> str:
        """zset of the agents who stand in several queues (`lua/lib/shared_agents.lua`)."""
        return f"{self.prefix}sd:shared_agents"

    def of_agents_in(self, queues: Sequence[str]) -> list[str]:
        """KEYS of the scripts that change agents who stand in these queues, as `lua/lib/agents.lua` names them."""
        names = [self.agents, self.agent_calls, self.shared_agents]
        for queue in queues:
            names += [
                self.queue_free(queue),
                self.queue_busy(queue),
                self.queue_freed(queue),
                self.queue_guessed(queue),
                self.queue_state(queue),
                self.queue_agent_activity(queue),
                self.queue_answer_queue(queue),
                self.queue_observations(queue),
                self.queue_learning(queue),
            ]
        return names

    def of_sharing(self, queue: str, others: Mapping[str, Sequence[str]]) -> list[str]:
        """KEYS of the scripts that count the agents a queue may use, as `lua/lib/shared_agents.lua` names them.

        `others` has the campaigns of each queue that shares agents with it, directly or over further queues.
        """
        names = [self.shared_agents, self.queue_free(queue), self.queue_freed(queue)]
        for other, campaigns in others.items():
            names += [self.queue_free(other), self.queue_campaigns(other), self.queue_pacing(other)]
            for campaign in campaigns:
                names += [self.reserved(campaign), self.dialing(campaign), self.campaign(campaign)]
        return names


@lru_cache(maxsize=1024)
def _of_campaign(keys: Keys, campaign: str) -> tuple[str, ...]:
    """Kept, because most script calls need them."""
    return (
        keys.campaign(campaign),
        keys.ready(campaign),
        keys.deferred(campaign),
        keys.reserved(campaign),
        keys.dialing(campaign),
        keys.connected(campaign),
        keys.final(campaign),
        keys.contacts(campaign),
        keys.records(campaign),
        keys.outbox(campaign),
        keys.totals(campaign),
        keys.sweep_schedule,
        keys.previewing(campaign),
        keys.waiting_ticks,
        keys.stream("updates"),
        keys.event_watermark,
        keys.stream("events"),
        keys.directory,
        keys.orphaned(campaign),
        keys.server,
        keys.calls_up,
        keys.persons_up(campaign),
        keys.persons_called(campaign),
    )
