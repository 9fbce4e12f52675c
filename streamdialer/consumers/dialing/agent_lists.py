"""The backend's lists of agents: read when they are too old, one reader per queue at a time."""

from __future__ import annotations

import logging
from functools import partial
from typing import ClassVar, Final

from streamdialer.consumers.dialing.background_reads import BackgroundReads
from streamdialer.consumers.dialing.reasons import NOTICES
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.services import Services
from streamdialer.consumers.shared_reads import SharedReads
from streamdialer.consumers.ttl_cache import TTLCache
from streamdialer.gateways.agent_rows import AgentList
from streamdialer.gateways.originate_reply import one_line
from streamdialer.model import has_agents

log = logging.getLogger(__name__)
NAMED: Final = 3
"""Most words or rows that a notice names."""


def agent_notices(listed: AgentList) -> dict[str, str]:
    """What cannot be understood of a list, by code, in words."""
    notices: dict[str, str] = {}
    if listed.unknown_statuses:
        words = sorted(listed.unknown_statuses.items(), key=lambda word: -word[1])
        notices["agent_status_unknown"] = _named(
            [f"{count} with {one_line(word)!r}" for word, count in words]
        )
    if listed.unreadable:
        notices["agents_unreadable"] = _named([one_line(line) for line in listed.unreadable])
    if listed.trouble:
        notices["agents_incomplete"] = listed.trouble
    return notices


def _named(lines: list[str]) -> str:
    more = len(lines) - NAMED
    return ", ".join(lines[:NAMED]) + (f" and {more} more" if more > 0 else "")


class AgentLists(BackgroundReads):
    """Reads lists: some ticks wait for them; for ticks that need not wait, they are read in the background."""

    name: ClassVar[str] = "agent lists"

    def __init__(self, services: Services, wakeups: WakeupScheduler) -> None:
        super().__init__()
        self._services = services
        self._wakeups = wakeups
        self._reads: SharedReads[None] = SharedReads()
        self._notices: TTLCache[dict[str, str]] = TTLCache()

    def is_fresh(self, age_ms: float) -> bool:
        return age_ms <= self._services.settings.agents_cache_ttl_s * 1000

    async def read(self, queue: str) -> None:
        """The queue's list is new enough; raises Unreachable, RefusedByServer, redis.RedisError."""
        if not has_agents(queue):
            return
        queues = self._services.queues
        seen = await queues.begin_agent_poll(queue)
        if self.is_fresh(seen.ledger_ms - seen.polled):
            return
        await self._reads.get(queue, partial(self._read_after, queue, seen.polled))

    async def _read_after(self, queue: str, polled: float) -> None:
        queues = self._services.queues
        poll = await queues.begin_agent_poll(queue)
        if poll.polled > polled:
            return  # another reader was faster, however long the backend took
        listed = await self._services.backend.agents(queue)
        await queues.replace_agents(queue, listed.agents, poll.ledger_ms, is_whole=not listed.trouble)
        self._note(queue, agent_notices(listed))

    def notices_of(self, queue: str) -> dict[str, str]:
        """What was wrong with the list when it was last read here, by code."""
        return self._notices.get(queue) or {}

    def _note(self, queue: str, notices: dict[str, str]) -> None:
        before = self.notices_of(queue)
        for code in notices.keys() - before.keys():
            log.warning(NOTICES[code].text, extra={"queue": queue, "detail": notices[code]})
        self._notices.put(queue, notices)

    async def read_requested(self, name: str) -> None:
        """Reads the list; then the queue's campaigns get a tick."""
        await self.read(name)
        self._wakeups.queue(name)
