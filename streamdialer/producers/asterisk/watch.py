"""Watches one Asterisk server: its events as they come, and all its calls and agents at connect and every 15 s."""

from __future__ import annotations

import logging
import math
import time
from datetime import UTC, datetime
from typing import Final

import anyio
from redis.exceptions import RedisError

from streamdialer.broker.connection import TRANSIENT
from streamdialer.config.settings import Settings
from streamdialer.config.wrap_up import parse_wrap_up
from streamdialer.errors import RefusedByServer, Unreachable
from streamdialer.gateways.ami.client import AmiClient, EventsLost, LinkDown, LinkUp, Received
from streamdialer.gateways.ami.messages import Message
from streamdialer.producers.asterisk.agents import QueueAgents
from streamdialer.producers.asterisk.call_events import Event
from streamdialer.producers.asterisk.calls import Calls
from streamdialer.producers.asterisk.hangups import Hangups
from streamdialer.producers.asterisk.traces import traced_ends
from streamdialer.producers.asterisk.writing import EventWriter

log = logging.getLogger(__name__)
TURN_S: Final = 0.1
MOST_AT_ONCE: Final = 1000
SYNC_EVERY_S: Final = 15.0
"""Calls that are listed at least every 20 s do not end by their deadline, and agents' lists hold for 60 s."""
SYNC_AGAIN_S: Final = 2.0
"""Pause after all calls and agents could not be read."""
VARIABLES: Final = "ATTEMPT_ID,CAMPAIGN_ID,CONTACT_ID"
_WARN_EVERY_S: Final = 60.0


class AsteriskWatch:
    """Run `events` and `syncs` beside the client's `serve`."""

    def __init__(self, client: AmiClient, writer: EventWriter, settings: Settings) -> None:
        self._client = client
        self._writer = writer
        self._ring_timeout_s = settings.ring_timeout_s
        self._uncertain_margin_s = settings.uncertain_margin_s
        self._agents = QueueAgents(
            parse_wrap_up(settings.asterisk_wrapup_s), by_name=settings.asterisk_agent_id == "name"
        )
        self._calls = Calls(self._agents.id_of)
        self.hangups = Hangups(client, writer.hangup_requests(), self._calls)
        self._source = f"asterisk:{client.name}"
        self._is_synced = False
        self._sync_due = anyio.Event()
        self._speaking = anyio.Lock()
        """Held from what is found until it is written: a call is listed until its end stands in the stream."""
        self._gap_s = anyio.current_time()
        """Since when there was no gap."""
        self._had_gap = False
        """Calls may have ended unseen since the traces were read last: also those that silence has ended meanwhile."""
        self._started = ""
        """When Asterisk was started, as it writes it."""
        self._started_s = -math.inf
        """The same on our clock: for the ring time after it, phones may still ring for calls that are forgotten."""
        self._linked_s = -math.inf
        """When the link came up."""
        self._warned: dict[str, float] = {}

    async def events(self) -> None:
        """Handles events, and what becomes due without an event, until it is cancelled."""
        while True:
            received: Received | None = None
            with anyio.move_on_after(TURN_S):
                received = await self._client.receive()
            async with self._speaking:
                found: list[Event] = []
                for _ in range(MOST_AT_ONCE):
                    if received is None:
                        break
                    found += self._handle(received)
                    received = self._client.receive_nowait()
                if self._is_synced:
                    now_s = anyio.current_time()
                    found += self._calls.settle(now_s) + self._agents.settle(now_s) + self._lists(now_s)
                self._warn_of(found)
                await self._writer.write(found)

    async def syncs(self) -> None:
        """Reads all calls and agents immediately after a connect or a gap, and every 15 s."""
        while True:
            with anyio.move_on_after(SYNC_EVERY_S):
                await self._sync_due.wait()
            self._sync_due = anyio.Event()
            while self._client.is_up:
                try:
                    if await self.sync():
                        break
                except Unreachable as error:
                    log.warning("Asterisk's calls and queues cannot be read", extra={"error": str(error)})
                except RefusedByServer as error:
                    _log_refusal(error)
                except (RedisError, *TRANSIENT) as error:
                    log.warning("Redis does not take the list of calls", extra={"error": str(error)})
                await anyio.sleep(SYNC_AGAIN_S)

    async def sync(self) -> bool:
        """Reads and writes all calls and agents; False when the list of calls was not written.

        Raises Unreachable and RefusedByServer.
        """
        asked_s, looked_at_ms = anyio.current_time(), await self._writer.now_ms()
        await self._writer.write(await self._note_start())
        rows = await self._client.list_answer("Status", {"Variables": VARIABLES})
        members = await self._client.list_answer("QueueStatus")
        now_s = anyio.current_time()
        found = self._calls.sync(rows, asked_s, now_s)
        found += self._agents.sync(members, asked_s, now_s, time.time())
        self._is_synced = True
        await self._writer.write(found + self._lists(now_s))
        await self._writer.write(await self._traced_ends())
        if now_s < self._started_s + await self._longest_ring_s():
            return False
        since = datetime.fromtimestamp(looked_at_ms / 1000 - (asked_s - self._gap_s), UTC)
        async with self._speaking:
            live = {
                "type": "source_live",
                "source": self._source,
                "since": since.isoformat(timespec="milliseconds"),
                "calls": self._calls.up(),
            }
            return await self._writer.write_fresh(live, looked_at_ms)

    async def _traced_ends(self) -> list[Event]:
        """The ends of calls that began and ended while this program watched nothing."""
        had_gap, self._had_gap = self._had_gap, False
        try:
            attempts = await self._writer.unanswered_attempts(with_silent=had_gap)
            return await traced_ends(
                self._client, [each for each in attempts if not self._calls.is_watched(each.id)]
            )
        except BaseException:
            self._had_gap |= had_gap
            raise

    async def _longest_ring_s(self) -> float:
        """How long a call may ring, of the setting and all campaigns the longest."""
        of_campaigns_s = await self._writer.longest_deadline_ms() / 1000 - self._uncertain_margin_s
        return max(self._ring_timeout_s, of_campaigns_s)

    async def _note_start(self) -> list[Event]:
        """What follows when Asterisk was started again since the last look."""
        try:
            core = await self._client.action("CoreStatus")
        except RefusedByServer:  # its users may lack read=system and reporting; the uptime tells it as well
            return []
        started = f"{core.get('CoreStartupDate')} {core.get('CoreStartupTime')}"
        before, self._started = self._started, started
        if before in ("", started):
            return []
        log.warning("Asterisk was started again", extra={"server": self._client.name, "at": started})
        now_s = anyio.current_time()
        self._started_s = max(self._started_s, now_s)
        return self._calls.restart(self._linked_s, now_s)

    def _handle(self, received: Received) -> list[Event]:
        now_s = anyio.current_time()
        match received:
            case Message():
                return self._calls.observe(received, now_s) + self._agents.observe(received, now_s)
            case LinkUp():
                self._note_link(received, now_s)
            case LinkDown():
                self._is_synced = False
                log.error("no link to Asterisk", extra={"error": received.reason})
            case EventsLost():
                self._note_gap(now_s)
                log.error(
                    "events of Asterisk were lost because they came too fast: everything is read again",
                    extra={"server": self._client.name, "count": received.count},
                )
        return []

    def _note_link(self, link: LinkUp, now_s: float) -> None:
        self._linked_s = now_s
        if link.uptime_s is None:
            self._started_s = now_s if not self._started else self._started_s
        else:
            self._started_s = now_s - link.uptime_s
        self._note_gap(now_s)

    def _note_gap(self, now_s: float) -> None:
        self._gap_s = now_s
        self._had_gap = True
        self._sync_due.set()

    def _lists(self, now_s: float) -> list[Event]:
        return [{**each, "source": self._source} for each in self._agents.lists(now_s)]

    def _warn_of(self, events: list[Event]) -> None:
        """Says what an operator has to mend; once a minute for each trunk."""
        for event in events:
            is_codec = event.get("cause") == "sip:488"
            if event.get("disposition") != "congestion" and not is_codec:
                continue
            trunk, now_s = self._calls.trunk_of(event["call_id"]), anyio.current_time()
            if now_s - self._warned.get(trunk, -_WARN_EVERY_S) < _WARN_EVERY_S:
                continue
            if len(self._warned) > 1000:
                self._warned.clear()
            self._warned[trunk] = now_s
            log.warning(
                "the far end speaks no codec of this trunk: check allow= of its endpoint"
                if is_codec
                else "a trunk takes no calls: check the endpoint, its contact and the far end",
                extra={"trunk": trunk, "attempt": event.get("attempt_id"), "cause": event.get("cause")},
            )


def _log_refusal(error: RefusedByServer) -> None:
    extra = {"error": str(error)}
    if "shutting down" in str(error).lower():
        log.warning("Asterisk is shutting down", extra=extra)
        return
    log.error(
        "Asterisk refuses to list its calls, queues or database: check write= of the AMI user in manager.conf "
        "(call, agent, reporting)",
        extra=extra,
    )


async def watch(client: AmiClient, writer: EventWriter, settings: Settings) -> None:
    """Watches one server until it is cancelled."""
    watch_ = AsteriskWatch(client, writer, settings)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.serve)
        tasks.start_soon(watch_.events)
        tasks.start_soon(watch_.syncs)
        tasks.start_soon(watch_.hangups.serve)
