"""Typed stubs of the scripts of a queue: its agents, and the campaigns that share them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Argument, Script, Scripts
from streamdialer.ledger.agent_queues import AgentQueues
from streamdialer.model import Agent, AgentState, ObservationKind, normalise_id

_PACKAGE: Final = "streamdialer.ledger"
(
    QUEUE_SNAPSHOT,
    QUEUE_GROUP,
    BEGIN_AGENT_POLL,
    REPLACE_AGENTS,
    NOTE_QUEUE_LIST,
    APPLY_AGENT_EVENT,
    SAVE_LEARNING,
) = (
    Script(_PACKAGE, name)
    for name in (
        "queue_snapshot",
        "queue_group",
        "begin_agent_poll",
        "replace_agents",
        "note_queue_list",
        "apply_agent_event",
        "save_learning",
    )
)

LIST_PART: Final = 250
"""Agents taken over at once: Redis does nothing else meanwhile."""
MAX_QUEUE_SOURCES: Final = 20
"""Most telephone systems that list the agents of one queue."""
QUEUE_LISTS_TTL_MS: Final = 86_400_000

QueueListStatus = Literal["applied", "freed", "older", "no_campaign", "too_many"]
"""What a list of the telephone system did; `freed`: an agent has become free."""
AgentEventStatus = Literal["freed", "applied", "unchanged", "unknown"]


class AgentEventResult(msgspec.Struct, frozen=True):
    """What an agent event did."""

    status: AgentEventStatus
    """`unknown`: no list has named the agent."""
    queues: list[str]
    """Those the agent stands in."""


class CampaignState(msgspec.Struct, frozen=True):
    """One campaign of a queue as the ledger sees it."""

    id: str
    status: str
    ready: int
    """Without callbacks that are set aside until their agent is free."""
    placed: int
    """Reserved, sent and ringing calls."""
    connected: int
    served: int
    """When it last got calls, ledger ms."""
    pacing: str
    """JSON stored by `CampaignLedger.register`."""
    is_rate_limited: bool
    """The Dialer API asked this campaign to wait."""
    ringing: list[int] = []
    """When each reserved, sent or ringing call was placed, ledger ms; only for adaptive pacing."""
    answered_by_person: int = 0
    """Calls answered by a person within the window of the abandon rate; only for adaptive pacing."""
    abandoned: int = 0
    """Those of them that no agent took in time."""


class AgentPoll(msgspec.Struct, frozen=True):
    """The time before an agent list is requested, ledger ms."""

    ledger_ms: int
    polled: int
    """When the list held here was requested; 0 when it must be read again."""


class QueueState(msgspec.Struct, frozen=True):
    """A queue at one moment, ledger ms."""

    ledger_ms: int
    free: int
    usable: int
    """Free agents that calls of this queue may use (`ClaimResult.usable`)."""
    busy: int
    polled: int
    campaigns: list[CampaignState]
    talking: list[int] = []
    """Since when each agent has been talking; this and the rest only for adaptive pacing."""
    wrapping: list[int] = []
    waiting: int = 0
    """People who have answered and have no agent yet."""
    learning: str | None = None
    """What `save_learning` stored."""
    version: int = 0
    read: str = "0-0"
    """Id of the newest of `observations`."""
    observations: list[tuple[ObservationKind, int, int, str]] = []
    """Those since `learning` was stored: kind, when (ms), how long it took (ms), campaign."""


class QueueLedger:
    """A queue's agents and campaigns."""

    def __init__(
        self, scripts: Scripts, keys: Keys, agent_queues: AgentQueues | None = None, distrust_ms: int = 10_000
    ) -> None:
        """`distrust_ms` is how long a list must contradict what events and calls say to be believed."""
        self._scripts = scripts
        self._keys = keys
        self._agent_queues = agent_queues or AgentQueues(scripts, keys)
        self._distrust_ms = distrust_ms

    async def snapshot(
        self,
        queue: str,
        campaigns: Sequence[str],
        *,
        sharing: Mapping[str, Sequence[str]] | None = None,
        counts_listed: bool = True,
        windows_h: Mapping[str, int] | None = None,
        deadline_ms: int = 0,
    ) -> QueueState | None:
        """The queue as it is now; None when campaigns belong to it that are not in `campaigns`.

        `sharing` has the campaigns of the queues that share agents with it; None as well when it is out of date.
        Without `counts_listed`, only agents whom an event has freed are usable.

        For adaptive pacing pass `windows_h`, the hours of each campaign's abandon rate (a day for campaigns not named),
        and `deadline_ms`, from sending to the deadline of a silent attempt of a campaign whose pacing names none.
        """
        keys = self._keys
        names = [
            keys.queue_free(queue),
            keys.queue_busy(queue),
            keys.queue_state(queue),
            keys.queue_campaigns(queue),
            keys.queue_pacing(queue),
            keys.api,
            keys.server,
            keys.queue_agent_activity(queue),
            keys.queue_answer_queue(queue),
            keys.queue_observations(queue),
            keys.queue_learning(queue),
        ]
        sharing = sharing or {}
        args: list[Argument] = ["0" if windows_h is None else "1", deadline_ms, queue]
        args += [msgspec.json.encode(list(sharing.items())).decode(), "1" if counts_listed else "0"]
        for campaign in campaigns:
            names += [
                keys.campaign(campaign),
                keys.ready(campaign),
                keys.reserved(campaign),
                keys.dialing(campaign),
                keys.connected(campaign),
                keys.totals(campaign),
                keys.agent_callbacks(campaign),
            ]
            args += [campaign, (windows_h or {}).get(campaign, 24)]
        names += keys.of_sharing(queue, sharing)
        answer = await self._scripts.run(QUEUE_SNAPSHOT, names, args)
        return None if answer == "queue_changed" else msgspec.json.decode(answer, type=QueueState)

    async def campaigns(self, queue: str) -> dict[str, float]:
        """The campaigns that share the queue -> when they last got calls, ledger ms; the longest ago first."""
        members: Any = await self._scripts.client.zrange(
            self._keys.queue_campaigns(queue), 0, -1, withscores=True
        )
        return {str(campaign): float(served) for campaign, served in members}

    async def sharing(self, queue: str) -> dict[str, list[str]]:
        """The queues that share agents with the queue, directly or over further queues, and their campaigns."""
        names: list[str] = await self._scripts.run(QUEUE_GROUP, [self._keys.shared_agents], [queue])
        return {name: list(await self.campaigns(name)) for name in names}

    async def queue_of(self, campaign: str) -> str:
        """The campaign's queue, '' when the ledger does not know the campaign."""
        return str(await self._scripts.client.hget(self._keys.directory, campaign) or "")

    async def pacing_of(self, queue: str, campaign: str) -> str:
        """The pacing JSON that `CampaignLedger.register` stored, '' when there is none."""
        return str(await self._scripts.client.hget(self._keys.queue_pacing(queue), campaign) or "")

    async def known_campaigns(self) -> list[str]:
        """All campaigns the ledger knows."""
        return [str(campaign) for campaign in await self._scripts.client.hkeys(self._keys.directory)]

    async def begin_agent_poll(self, queue: str) -> AgentPoll:
        """The time before an agent list is requested, and the age of the list held here."""
        keys = self._keys
        answer = await self._scripts.run(BEGIN_AGENT_POLL, [keys.queue_state(queue), keys.server])
        return msgspec.json.decode(answer, type=AgentPoll)

    async def invalidate_agents(self, queue: str) -> None:
        """Makes the next decision read the agent list again."""
        await self._scripts.client.hset(self._keys.queue_state(queue), "polled", "0")

    async def replace_agents(
        self, queue: str, agents: Sequence[Agent], asked_ms: int, *, is_whole: bool = True
    ) -> None:
        """Takes over a list of agents that was requested at `asked_ms` (ledger ms).

        Of a list that is not whole, the agents who are missing count as listed offline: they keep their calls.
        """
        states: dict[str, AgentState] = {normalise_id(agent.id): agent.state for agent in agents}
        if not is_whole:
            keys, client = self._keys, self._scripts.client
            for key in (keys.queue_free(queue), keys.queue_busy(queue)):
                known: list[Any] = await client.zrange(key, 0, -1)
                states = {**dict.fromkeys(map(str, known), "offline"), **states}
        await self._take_over(queue, states, list(states), asked_ms)

    async def replace_queue_agents(
        self, queue: str, source: str, entry: str, agents: Mapping[str, AgentState]
    ) -> QueueListStatus:
        """Takes over a list of the telephone system, which its entry `entry` has brought.

        Agents that another telephone system has listed lately stay; being offline here says nothing of them.
        """
        keys = self._keys
        status, *rest = await self._scripts.run(
            NOTE_QUEUE_LIST,
            [keys.server, keys.queue_state(queue), keys.queue_campaigns(queue), keys.queue_lists(queue)],
            [source, entry, _json(list(agents)), MAX_QUEUE_SOURCES, QUEUE_LISTS_TTL_MS],
        )
        if status != "ok":
            refused: QueueListStatus = status
            return refused
        written_ms, *lists = rest
        elsewhere = {agent for each in lists for agent in msgspec.json.decode(each, type=list[str])}
        states = {
            agent: state for agent, state in agents.items() if state != "offline" or agent not in elsewhere
        }
        freed = await self._take_over(queue, states, [*agents, *elsewhere], int(written_ms), source)
        return "freed" if freed else "applied"

    async def _take_over(
        self,
        queue: str,
        states: Mapping[str, AgentState],
        all_ids: Sequence[str],
        asked_ms: int,
        source: str = "",
    ) -> int:
        """How many agents became free."""
        ids, at, answer, freed = list(states), 0, "ok", 0
        while answer == "more" or (answer == "ok" and at < max(1, len(ids))):
            part = {agent: states[agent] for agent in ids[at : at + LIST_PART]}
            at += LIST_PART
            args: list[Argument] = [queue, asked_ms, self._distrust_ms, _json(part)]
            args += [_json(all_ids) if at >= len(ids) else "", source]
            answer, *rest = await self._agent_queues.run(
                REPLACE_AGENTS, [self._keys.queue_lists(queue)], args, queue, queue
            )
            freed += int(rest[0]) if answer in ("ok", "more") else 0
        return freed

    async def save_learning(self, queue: str, state: QueueState, learning: bytes) -> bool:
        """Stores what was learnt from `state`; False when another replica has stored something newer."""
        answer = await self._scripts.run(
            SAVE_LEARNING, [self._keys.queue_learning(queue)], [state.version, learning.decode(), state.read]
        )
        return str(answer) == "ok"

    async def apply_agent_event(
        self, queue: str, agent: str, *, state: AgentState, entry: str
    ) -> AgentEventResult:
        """Notes the agent's state from the event with the id `entry`; an older event changes nothing.

        `queue` is the queue that the event names, '' for none. The state counts in all queues of the agent.
        """
        status, *queues = await self._agent_queues.run(
            APPLY_AGENT_EVENT, [self._keys.server], [agent, state, entry, queue], agent, queue
        )
        return msgspec.convert({"status": status, "queues": queues}, AgentEventResult)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
