"""One Asterisk server, reached over AMI: connects again after every loss, and queues its events."""

from __future__ import annotations

import logging
from collections import deque
from typing import Final

import anyio
import msgspec

from streamdialer.broker.scripts import backoff_s
from streamdialer.config.ami_urls import AmiUrl
from streamdialer.errors import CredentialsRefused, Unreachable
from streamdialer.gateways.ami.connection import Connection, LinkLost
from streamdialer.gateways.ami.link import connected
from streamdialer.gateways.ami.messages import Fields, Message

log = logging.getLogger(__name__)
MAX_EVENTS: Final = 20_000
MAX_BYTES: Final = 32 * 1024 * 1024
"""Most events that wait to be handled; later ones are dropped and counted."""
LONGEST_PAUSE_S: Final = 30.0


class LinkUp(msgspec.Struct, frozen=True):
    """A new link. What happened before it is not among the events: ask for everything."""

    uptime_s: int | None
    """Of Asterisk; None when it did not say."""


class LinkDown(msgspec.Struct, frozen=True):
    reason: str


class EventsLost(msgspec.Struct):
    """Events were dropped here, because they came faster than they were handled: ask for everything."""

    count: int


Received = Message | LinkUp | LinkDown | EventsLost


class AmiClient:
    """Run `serve` in a task; `receive` and the actions may be used from others."""

    def __init__(
        self,
        address: AmiUrl,
        *,
        events: str = "on",
        max_events: int = MAX_EVENTS,
        longest_pause_s: float = LONGEST_PAUSE_S,
    ) -> None:
        """`events` are the classes of events that Asterisk sends, "on" for all the user may read."""
        self.address = address
        self.lost_events = 0
        self._events_mask = events
        self._max_events = max_events
        self._longest_pause_s = longest_pause_s
        self._link: Connection | None = None
        self._trouble: Unreachable | None = None
        self._events: deque[Received] = deque()
        self._bytes = 0
        self._arrived = anyio.Event()

    @property
    def name(self) -> str:
        return self.address.name

    @property
    def is_up(self) -> bool:
        return self._link is not None

    @property
    def is_refused(self) -> bool:
        """Whether there is no link because Asterisk refuses the log-in."""
        return not self.is_up and isinstance(self._trouble, CredentialsRefused)

    async def serve(self) -> None:
        """Connects, and again after every loss, until it is cancelled."""
        failures = 0
        while True:
            try:
                async with connected(self.address, self._put, self._events_mask) as link:
                    log.info("Asterisk is connected", extra={"server": self.name, "tries": failures})
                    failures = 0
                    self._link = link
                    self._put(LinkUp(link.uptime_s))
                    await anyio.sleep_forever()
            except Unreachable as error:
                self._trouble = error
                if self._link is not None:
                    self._link = None
                    self._put(LinkDown(str(error)))
                if not failures or isinstance(error, CredentialsRefused):
                    log.error("no link to Asterisk, trying again until it works", extra={"error": str(error)})
            finally:
                self._link = None
            await anyio.sleep(backoff_s(failures, self._longest_pause_s))
            failures += 1

    async def action(
        self, name: str, fields: Fields | None = None, *, timeout_s: float = 10.0, action_id: str = ""
    ) -> Message:
        """Sends an action once, over the link there is. Raises what `Connection.action` raises."""
        return await self._require_link(name).action(name, fields, timeout_s=timeout_s, action_id=action_id)

    async def list_answer(
        self, name: str, fields: Fields | None = None, *, timeout_s: float = 10.0
    ) -> list[Message]:
        """The whole of a list answer. Raises what `Connection.list_answer` raises."""
        return await self._require_link(name).list_answer(name, fields, timeout_s=timeout_s)

    async def receive(self) -> Received:
        """The next event or news of the link, in the order they came."""
        while not self._events:
            self._arrived = anyio.Event()
            await self._arrived.wait()
        received = self.receive_nowait()
        assert received is not None
        return received

    def receive_nowait(self) -> Received | None:
        """The next one that is there already; None when there is none."""
        if not self._events:
            return None
        received = self._events.popleft()
        self._bytes -= _size(received)
        return received

    def _require_link(self, action: str) -> Connection:
        if self._link is None:
            text = str(self._trouble or f"{self.name}: {action}: there is no link yet")
            raise LinkLost(text, was_sent=False)
        return self._link

    def _put(self, received: Received) -> None:
        is_dropped = isinstance(received, Message) and received.event == "Dropped"
        is_full = len(self._events) >= self._max_events or self._bytes > MAX_BYTES
        if is_dropped or (is_full and isinstance(received, Message)):
            self.lost_events += 1
            last = self._events[-1] if self._events else None
            if isinstance(last, EventsLost):
                last.count += 1
                return
            received = EventsLost(1)
        self._bytes += _size(received)
        self._events.append(received)
        self._arrived.set()


def _size(received: Received) -> int:
    return received.size if isinstance(received, Message) else 0
