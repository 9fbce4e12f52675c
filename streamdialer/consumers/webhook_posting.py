"""The outcomes that are being posted to one address: in order per contact, tried again for a day.

An entry is acknowledged when the address has taken it, or when it is given up.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from datetime import UTC, datetime
from typing import Final

import anyio
import msgspec
from anyio.abc import TaskGroup

from streamdialer.broker.connection import server_ms
from streamdialer.broker.outcome_group import OutcomeEntries, OutcomeGroup
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.gateways.webhook import Answer, WebhookEndpoint
from streamdialer.observability.metrics import WEBHOOK_OUTCOMES, WEBHOOK_WAITING

log = logging.getLogger(__name__)
CONNECTIONS: Final = 32
"""Requests open at once, each of another contact."""
MAX_WAITING: Final = 10_000
"""Outcomes in memory; the others wait in the stream."""
ROOM_PAUSE_S: Final = 1.0
MIN_BACKOFF_S: Final = 1.0
MAX_BACKOFF_S: Final = 300.0


class Outcome(msgspec.Struct, frozen=True):
    entry: str
    """The id of its entry, which is the message's id, too."""
    body: bytes
    written_at: float
    """By the clock of the event loop."""

    @property
    def age_s(self) -> float:
        return max(0.0, anyio.current_time() - self.written_at)


def backoff_s(failures: int) -> float:
    """The pause after so many failures in a row: doubled each time, up to five minutes, and a fifth more or less."""
    pause_s = min(MAX_BACKOFF_S, MIN_BACKOFF_S * 2.0 ** min(failures - 1, 30))
    return pause_s * random.uniform(0.8, 1.2)


def read_entry(entry: str, fields: dict[str, str], redis_began_at: float) -> tuple[str, Outcome] | None:
    """The contact that it is about, and the message; None for an entry that is no outcome.

    `redis_began_at` is when the clock of Redis showed 0, by the clock of the event loop.
    """
    try:
        data = msgspec.json.decode(fields.get("data", ""))
        if fields.get("type") != "attempt_ended" or not isinstance(data, dict):
            return None
        written_s = int(entry.partition("-")[0]) / 1000
        written = datetime.fromtimestamp(written_s, UTC)
        message = {"type": "attempt_ended", "timestamp": written, "data": data}
        contact = f"{data.get('campaign_id')}:{data.get('contact_id')}"
        return contact, Outcome(entry, msgspec.json.encode(message), redis_began_at + written_s)
    except (msgspec.MsgspecError, ValueError, OverflowError, OSError):
        return None


class Posting:
    """One turn of this process; the tasks that `add` starts do the work."""

    def __init__(
        self, group: OutcomeGroup, endpoint: WebhookEndpoint, shutdown: ShutdownSignal, retry_for_s: float
    ) -> None:
        self._group = group
        self._endpoint = endpoint
        self._shutdown = shutdown
        self._retry_for_s = retry_for_s
        self._of_contact: dict[str, deque[Outcome]] = {}
        self._waiting: dict[str, Outcome] = {}
        self._done: list[str] = []
        """Entries to acknowledge."""
        self._has_done = anyio.Event()
        self._acknowledging = anyio.Lock()
        self._has_room = anyio.Event()
        self._places = anyio.Semaphore(CONNECTIONS)
        self._paused_until_s = 0.0
        self._given_up = 0
        self._is_failing = False

    @property
    def oldest_s(self) -> float:
        """Age of the oldest outcome that waits; 0 without one."""
        return max((each.age_s for each in self._waiting.values()), default=0.0)

    async def add(self, entries: OutcomeEntries, tasks: TaskGroup) -> None:
        """Posts them in tasks; waits while too many outcomes wait."""
        if not entries:
            return
        redis_began_at = anyio.current_time() - await server_ms(self._group.client) / 1000
        for entry, fields in entries:
            found = read_entry(entry, fields, redis_began_at)
            if found is None:
                log.warning("an entry is no outcome and is not posted", extra={"entry": entry})
                WEBHOOK_OUTCOMES.labels("unreadable").inc()
                self._finish(entry)
                continue
            contact, outcome = found
            self._waiting[entry] = outcome
            if contact in self._of_contact:
                self._of_contact[contact].append(outcome)
            else:
                self._of_contact[contact] = deque([outcome])
                tasks.start_soon(self._post_of_contact, contact)
        WEBHOOK_WAITING.set(len(self._waiting))
        while len(self._waiting) >= MAX_WAITING and not self._shutdown.stopping:
            self._has_room = anyio.Event()
            with anyio.move_on_after(ROOM_PAUSE_S):
                await self._has_room.wait()

    async def acknowledge(self) -> None:
        """Acknowledges all that is done in one round trip; what a killed process has not acknowledged comes again."""
        while True:
            await self._has_done.wait()
            await self.acknowledge_done()

    async def acknowledge_done(self) -> None:
        async with self._acknowledging:
            done, self._done, self._has_done = self._done, [], anyio.Event()
            if done:
                await self._group.acknowledge(done)

    def _finish(self, entry: str) -> None:
        self._done.append(entry)
        self._has_done.set()

    async def _post_of_contact(self, contact: str) -> None:
        """Its outcomes one after the other, until there is none or the process stops."""
        outcomes = self._of_contact[contact]
        while outcomes:
            if not await self._post(outcomes[0]):
                return
            entry = outcomes.popleft().entry
            self._finish(entry)
            del self._waiting[entry]
            WEBHOOK_WAITING.set(len(self._waiting))
            self._has_room.set()
        del self._of_contact[contact]

    async def _post(self, outcome: Outcome) -> bool:
        """Whether it is done with: taken, or given up."""
        failures = 0
        while not self._shutdown.stopping:
            await self._shutdown.sleep(self._paused_until_s - anyio.current_time())
            async with self._places:
                answer = await self._send(outcome)
            if answer is None:
                return False
            self._note(answer)
            if answer.is_taken:
                WEBHOOK_OUTCOMES.labels("delivered").inc()
                return True
            if outcome.age_s > self._retry_for_s:
                self._given_up += 1
                WEBHOOK_OUTCOMES.labels("dead").inc()
                log.error(
                    "an outcome is given up: the address did not take it in time",
                    extra={"entry": outcome.entry, "error": answer.detail, "given_up": self._given_up},
                )
                return True
            failures += 1
            await self._shutdown.sleep(backoff_s(failures))
        return False

    async def _send(self, outcome: Outcome) -> Answer | None:
        """None when the process stops."""
        if self._shutdown.stopping:
            return None
        return await self._endpoint.send(outcome.entry, outcome.body)

    def _note(self, answer: Answer) -> None:
        """Says once when the address begins to fail, and when it takes outcomes again."""
        self._paused_until_s = max(self._paused_until_s, anyio.current_time() + answer.pause_s)
        if answer.is_taken == self._is_failing:
            self._is_failing = not answer.is_taken
            if self._is_failing:
                log.error(
                    "webhooks wait: the address does not take an outcome", extra={"error": answer.detail}
                )
            else:
                log.warning("the address takes outcomes again")
