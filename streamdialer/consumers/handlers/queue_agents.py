"""Handles `queue_agents`: the telephone system lists the agents of a queue, and what they do."""

from __future__ import annotations

import logging

from streamdialer.broker.entries import BadEntry
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.services import Services
from streamdialer.ledger.queues import MAX_QUEUE_SOURCES
from streamdialer.model import AgentState, QueueAgentsEvent

log = logging.getLogger(__name__)


class QueueAgents:
    """Takes over the lists, and wakes the campaigns of queues whose agents became free."""

    def __init__(self, services: Services, wakeups: WakeupScheduler) -> None:
        self._services = services
        self._wakeups = wakeups

    async def handle(self, event: QueueAgentsEvent, entry: str) -> None:
        """Raises BadEntry; `entry` is the event's id."""
        name = f"{event.type}:{event.queue}"
        parts = await self._services.list_parts.gather(event, name, entry, event.agents)
        if not parts:
            return
        agents: dict[str, AgentState] = {agent: state for _, part in parts for agent, state in part.items()}
        status = await self._services.queues.replace_queue_agents(
            event.queue, event.source, parts[0][0], agents
        )
        if status == "too_many":
            raise BadEntry(
                "too_many_sources", f"takes {MAX_QUEUE_SOURCES} event sources at most for one queue"
            )
        if status == "freed":
            self._wakeups.queue(event.queue)
        log.debug(
            event.type,
            extra={"queue": event.queue, "source": event.source, "agents": len(agents), "applied": status},
        )
