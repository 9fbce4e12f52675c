"""The events stage applies the events of other programs, about calls, agents and contacts, to the ledger."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Final

from streamdialer.broker.entries import BadEntry, Entry
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.event_entry import read_event
from streamdialer.consumers.handlers.callbacks import Callbacks
from streamdialer.consumers.handlers.do_not_call import add_to_dnc
from streamdialer.consumers.handlers.event_sources import SourceLive
from streamdialer.consumers.handlers.lost_calls import LostCalls
from streamdialer.consumers.handlers.previews import Previews
from streamdialer.consumers.handlers.queue_agents import QueueAgents
from streamdialer.consumers.services import Services
from streamdialer.ledger.event_facts import CallFact, fact_of
from streamdialer.ledger.types import EventResult
from streamdialer.model import (
    AgentEvent,
    CallbackEvent,
    CallEvent,
    DoNotCallEvent,
    ListEvent,
    PreviewEvent,
    SourceEvent,
    has_agents,
)
from streamdialer.observability import tracing
from streamdialer.observability.metrics import ATTEMPTS_ENDED, EVENT_FIELDS_UNREAD

log = logging.getLogger(__name__)
NOT_APPLIED: Final = {
    "unknown_campaign": "this campaign was never dialed here, or was cleaned up",
    "unknown_contact": "this contact is not known here, or ended long ago",
    "no_attempt": "no call to this contact had been placed when the event was written",
    "foreign_call": "its call_id belongs to no attempt of this contact",
    "foreign_attempt": "its attempt_id belongs to no attempt of this contact that was sent",
    "too_many_lost": "Redis has lost this call, and no more lost calls are remembered",
}


class EventsStage:
    """Handles entries of `events`."""

    def __init__(self, services: Services, wakeups: WakeupScheduler) -> None:
        self._services = services
        self._wakeups = wakeups
        self._callbacks = Callbacks(services)
        self._previews = Previews(services)
        self._lost_calls = LostCalls(services)
        self._source_live = SourceLive(services, wakeups)
        self._queue_agents = QueueAgents(services, wakeups)

    async def handle(self, entry: Entry) -> None:
        event = read_event(entry, lambda name: EVENT_FIELDS_UNREAD.labels(name).inc())
        if isinstance(event, CallEvent):
            await self._call(event, entry)
            return
        if isinstance(event, ListEvent):
            with tracing.entry_span(event.type, entry.fields):
                if isinstance(event, SourceEvent):
                    await self._source_live.handle(event, entry.id)
                else:
                    await self._queue_agents.handle(event, entry.id)
            return
        with tracing.entry_span(event.type, entry.fields, campaign=event.campaign_id or None):
            if isinstance(event, DoNotCallEvent):
                await add_to_dnc(event, self._services, self._wakeups)
            elif isinstance(event, CallbackEvent):
                await self._callbacks.schedule(event, entry.id)
            elif isinstance(event, PreviewEvent):
                await self._previews.handle(event, entry.id)
            else:
                await self._agent(event, entry.id)

    async def _call(self, event: CallEvent, entry: Entry) -> None:
        began_ns = time.time_ns()
        queue = await self._wakeups.queue_of(event.campaign_id)
        fact = fact_of(event)
        queue_of_agents = queue if has_agents(queue) else ""
        apply = partial(self._services.campaigns.apply_call_event, event, fact, queue_of_agents, entry.id)
        result = await apply()
        if result.outcome == "ask_backend" and fact.disposition == "do_not_call":
            result = EventResult("unknown_contact", "")  # not called again: nothing to remember
        elif result.outcome == "ask_backend":
            result = await apply(await self._lost_calls.shown(event))
        about = {
            "attempt": result.attempt or None,
            "campaign": event.campaign_id,
            "contact": event.contact_id,
        }
        with tracing.call_event_span(event.type, entry.fields, result.trace, began_ns, **about):
            await self._call_applied(event, fact, queue, result)

    async def _call_applied(self, event: CallEvent, fact: CallFact, queue: str, result: EventResult) -> None:
        applied = result.outcome
        if fact.disposition == "do_not_call":  # said on the phone: it holds for all campaigns
            request = DoNotCallEvent(
                type="do_not_call",
                campaign_id=event.campaign_id,
                contact_id=event.contact_id,
                reason="said on the phone",
            )
            await add_to_dnc(request, self._services, self._wakeups)
        if applied in NOT_APPLIED:
            raise BadEntry(
                applied, f"{NOT_APPLIED[applied]} (campaign {event.campaign_id}, {event.contact_id})"
            )
        if applied == "ended":
            ATTEMPTS_ENDED.labels(fact.disposition or "abandoned").inc()
            self._wakeups.queue(queue)
        log.log(
            logging.DEBUG if applied == "unchanged" else logging.INFO,
            event.type,
            extra={
                "attempt": result.attempt,
                "call": event.call_id or None,
                "disposition": fact.disposition or None,
                "cause": fact.cause or None,
                "applied": applied,
            },
        )

    async def _agent(self, event: AgentEvent, entry: str) -> None:
        queues, queue = self._services.queues, await self._wakeups.queue_named(event.queue, event.campaign_id)
        if event.agent_id:
            applied = await queues.apply_agent_event(queue, event.agent_id, state=event.state, entry=entry)
            if applied.status == "freed":
                self._wakeups.queues(applied.queues)
            log.debug(
                event.type,
                extra={"agent": event.agent_id, "queues": applied.queues, "applied": applied.status},
            )
            if applied.status != "unknown":
                return
        if queue:  # only the list says which agent it is
            self._wakeups.reread_agents(queue)
        elif not event.queue:
            raise BadEntry(
                "unknown_queue",
                "names no queue, no known campaign and no known agent, so it belongs to no queue",
            )
