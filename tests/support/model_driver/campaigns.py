"""Campaigns, contacts, ticks and agents, on the real scripts and on the model."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import msgspec

from streamdialer.ledger.records import AgentRecord
from streamdialer.ledger.types import LoadRow
from streamdialer.model import Agent, AgentState, TickKind, TickResult
from tests.support.ledger_model import CampaignModel
from tests.support.model_driver.base import DriverBase
from tests.support.model_driver.suppression import said_of
from tests.support.retry_model import MAX_ATTEMPTS

DISTRUST_MS: Final = 10_000
TELEPHONES_OUTRANK_MS: Final = 60_000


class CampaignDriver(DriverBase):
    """The contacts, the agents, and the ticks."""

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
                campaign, row.contact, row.priority, row.attempts, row.problem, row.reset, *said_of(row)
            )
            expected["known" if became == "finished" else became] += 1
            self.seen[f"load: {became}"] += 1
            about = (campaign, row.contact)
            if about in self.ended_there and before is not None:
                self.backend[about] = ("pending", self.backend[about][1])  # the list says so
            if before is None or before.told in (None, "pending"):
                # else it was not told of a call that is up: the end will tell it
                self.ended_there.pop(about, None)
            if before is None and became not in ("ignored", "finished"):
                shown = "no_answer" if row.reset else "pending"
                self.backend[campaign, row.contact] = (shown, row.attempts)
        counts = msgspec.structs.asdict(loaded)
        assert sum(counts.pop("final").values()) <= expected["known"]
        assert sum(block.count for block in counts.pop("blocked")) == expected["do_not_call"]
        assert counts == {
            name: expected[name] for name in ("added", "known", "invalid", "used_up", "waiting")
        } | {"refused": {"do_not_call": refused} if (refused := expected["do_not_call"]) else {}}

    async def verify(self, campaign: str) -> None:
        """The backend shows those ready contacts as pending that it has not shown lately, and that are pending."""
        rows = []
        for contact in self.model.campaigns[campaign].within("ready"):
            about = (campaign, contact.id)
            is_listed = self.backend[about][0] == "pending" and about not in self.ended_there
            if is_listed and not self.model.is_fresh(contact):
                call = str(await self.client.hget(self.keys.contacts(campaign), contact.id))
                rows.append(LoadRow(contact.id, contact.priority, contact.used, call))
        if rows:
            await self.load(campaign, tuple(rows))

    async def cleanup(self, campaign: str, queue: str) -> None:
        model, one = self.model, self.model.campaigns[campaign]
        answer = await self.ledger.delete(campaign, queue)
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
            model.requests = {about for about in model.requests if about[0] != campaign}
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
                self.model.campaigns[name].queued_tick = tick

    async def run_tick(self, at: int) -> None:
        """A consumer takes a tick and keeps its result; the entry goes when it is done, if it does not die before."""
        kind, name, tick = self.ticks[at % len(self.ticks)]
        await self.tick_ledger.start(name, tick)
        if self.model.campaigns[name].queued_tick == tick:
            self.model.campaigns[name].queued_tick = ""
        kept = await self.client.get(self.keys.tick(tick))
        result = TickResult(status="ok", kind=kind, campaign_id=name, dialed=at)
        await self.tick_ledger.save_result(tick, result, keep_s=3600, decisions=10)
        got = await self.client.get(self.keys.tick(tick))
        assert got == (kept or msgspec.json.encode(result).decode()), "a result was overwritten"
        if at % 2:
            await self.client.xdel(self.keys.stream("ticks"), tick)

    # --- agents -----------------------------------------------------------------------------------------------

    async def replace_agents(self, queue: str, agents: dict[str, bool], asked_ago_s: int) -> None:
        """A list of a queue's agents, asked for a while ago."""
        rows = [Agent(agent, "available" if is_free else "busy") for agent, is_free in agents.items()]
        asked = await self.queue_ledger.begin_agent_poll(queue)
        before, agents_before = await self._agent_records(), await self._agents(queue)
        await self.queue_ledger.replace_agents(queue, rows, asked.ledger_ms - asked_ago_s * 1000)
        free, busy = await self._agents(queue)
        if any(
            asked.ledger_ms - at_ms < TELEPHONES_OUTRANK_MS for at_ms, _ in self.queue_lists[queue].values()
        ):
            assert (free, busy) == agents_before, "the telephone system's list outranks the backend's"
            self.seen["list: outranked"] += 1
            return
        if asked_ago_s:
            return
        assert free | busy == set(agents)
        for agent, is_free in agents.items():
            record = before.get(agent)
            if record is None or not (record.by_event or record.call):
                expected = {is_free}  # nothing better is known, except which agent has a call
            elif (record.state == "available") == is_free:
                expected = {is_free}
            else:
                doubted_ms = asked.ledger_ms - (record.doubted_ms or asked.ledger_ms)
                expected = {is_free if doubted_ms >= DISTRUST_MS else not is_free}
            if any(one.is_guess for one in before.values()):
                expected.add(is_free)
            assert (agent in free) in expected, (agent, is_free, record)
            self.seen[f"list: {'believed' if (agent in free) is is_free else 'not believed'}"] += 1

    async def list_telephones(self, queue: str, source: str, agents: dict[str, AgentState]) -> None:
        """A telephone system's own list of a queue."""
        now_ms = (await self.queue_ledger.begin_agent_poll(queue)).ledger_ms
        status = await self.queue_ledger.replace_queue_agents(queue, source, await self._entry(0), agents)
        self.seen[f"telephones: {status}"] += 1
        if status == "no_campaign":
            return
        lists = self.queue_lists[queue]
        lists[source] = (now_ms, set(agents))
        fresh = [
            ids
            for name, (at_ms, ids) in lists.items()
            if name != source and now_ms - at_ms < TELEPHONES_OUTRANK_MS
        ]
        elsewhere = set[str]().union(*fresh)
        free, busy = await self._agents(queue)
        assert free | busy == set(agents) | elsewhere
        for agent, state in agents.items():
            if state != "offline" or agent not in elsewhere:
                assert (agent in free) is (state == "available")

    async def _entry(self, ago_s: int) -> str:
        """The id of an entry that was written a while ago."""
        seconds, micros = await self.client.time()
        return f"{seconds * 1000 + micros // 1000 - ago_s * 1000}-0"

    async def apply_agent_event(self, queue: str, agent: str, is_free: bool, ago_s: int) -> None:
        """News of one agent, written a while ago: it counts in each queue whose list names the agent."""
        before = {name: await self._agents(name) for name in self.queues}
        guessed = {name for name, record in (await self._agent_records()).items() if record.is_guess}
        answer = await self.queue_ledger.apply_agent_event(
            queue, agent, state="available" if is_free else "busy", entry=await self._entry(ago_s)
        )
        after = {name: await self._agents(name) for name in self.queues}
        stands_in = {name for name, (free, busy) in before.items() if agent in free | busy}
        self.seen[f"agent event: {answer.status}"] += 1
        assert set(answer.queues) == stands_in
        if answer.status == "unknown" or not stands_in:
            assert (answer.status, after, stands_in) == ("unknown", before, set())
            return
        for name, (free, busy) in after.items():
            assert free | busy == before[name][0] | before[name][1]
            others = {agent, *guessed}
            assert free - others == before[name][0] - others
            if answer.status == "unchanged":
                assert (agent in free) is (agent in before[name][0])
            elif name in stands_in:
                assert (agent in free) is is_free
                assert answer.status == ("freed" if is_free else "applied")
            if ago_s == 0 and name in stands_in:
                assert agent in (free if is_free else busy), "the newest news wins"

    async def _agent_records(self) -> dict[str, AgentRecord]:
        stored: Any = await self.client.hgetall(self.keys.agents)
        return {str(agent): msgspec.json.decode(raw, type=AgentRecord) for agent, raw in stored.items()}
