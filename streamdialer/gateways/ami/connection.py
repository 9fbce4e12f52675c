"""Actions over one AMI connection. It always reads; what is in flight fails when it is lost; nothing is sent twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio
from anyio.abc import ByteStream

from streamdialer.errors import RefusedByServer, Unreachable
from streamdialer.gateways.ami.messages import Decoder, Fields, Message, encode

MAX_LIST: Final = 100_000
"""Most events of one list answer."""
MAX_LIST_BYTES: Final = 64 * 1024 * 1024
ACTION_S: Final = 10.0
SEND_S: Final = 10.0
READ_BYTES: Final = 65536


class LinkLost(Unreachable):
    """The link to Asterisk is not there, or was lost before the answer came."""

    def __init__(self, message: str, *, was_sent: bool) -> None:
        super().__init__(message)
        self.was_sent = was_sent
        """Whether Asterisk may have received the action."""


class _Pending:
    """An action without its answer yet."""

    __slots__ = ("answer", "done", "items", "size", "was_sent")

    def __init__(self, *, is_list: bool) -> None:
        self.done = anyio.Event()
        self.answer: Message | None = None
        self.items: list[Message] | None = [] if is_list else None
        self.size = 0
        self.was_sent = False


class Connection:
    """Use `link.connected` to get one."""

    def __init__(self, stream: ByteStream, server: str, on_event: Callable[[Message], None]) -> None:
        self._stream = stream
        self.server = server
        self._on_event = on_event
        self._decoder = Decoder()
        self._pending: dict[str, _Pending] = {}
        self._number = 0
        self._sending = anyio.Lock()
        self._lost = ""
        self.booted = anyio.Event()
        self.uptime_s: int | None = None
        """Of Asterisk when it said FullyBooted; None when it did not say."""

    @property
    def dropped(self) -> int:
        """Messages that were too long to read."""
        return self._decoder.dropped

    async def action(
        self, name: str, fields: Fields | None = None, *, timeout_s: float = ACTION_S, action_id: str = ""
    ) -> Message:
        """Sends an action once and returns the response.

        Raises ValueError for a value that cannot be sent, LinkLost, Unreachable when no answer comes in time, and
        RefusedByServer when Asterisk answers with an error.
        """
        return (await self._ask(name, fields, timeout_s, action_id, is_list=False))[0]

    async def list_answer(
        self, name: str, fields: Fields | None = None, *, timeout_s: float = ACTION_S
    ) -> list[Message]:
        """The events of a list answer; raises what `action` raises, never returns a part of a list."""
        return await self._ask(name, fields, timeout_s, "", is_list=True)

    async def _ask(
        self, name: str, fields: Fields | None, timeout_s: float, action_id: str, *, is_list: bool
    ) -> list[Message]:
        self._number += 1
        action_id = action_id or f"sd{self._number}"
        frame = encode(name, action_id, fields)
        if action_id in self._pending:
            raise ValueError(f"an AMI action with the id {action_id} is in flight")
        dropped = self.dropped
        pending = self._pending[action_id] = _Pending(is_list=is_list)
        try:
            with anyio.move_on_after(timeout_s):
                await self._send(frame, pending)
                await pending.done.wait()
        finally:
            del self._pending[action_id]
        answer = pending.answer
        if answer is None:
            if self._lost:
                raise LinkLost(f"{self.server}: {name}: {self._lost}", was_sent=pending.was_sent)
            raise LinkLost(
                f"{self.server}: {name}: no answer within {timeout_s:g} s", was_sent=pending.was_sent
            )
        if answer.get("Response").lower() == "error":
            raise RefusedByServer(f"{self.server}: {name} refused: {answer.get('Message')}", 0)
        if pending.items is None:
            return [answer]
        if self.dropped > dropped:
            raise RefusedByServer(f"{self.server}: {name}: a part of the answer is too long to read", 0)
        return pending.items

    async def _send(self, frame: bytes, pending: _Pending) -> None:
        async with self._sending:
            if self._lost:
                pending.done.set()
                return
            pending.was_sent = True
            # A frame that is cut short would make one action of it and the next: it goes out whole, or the link ends.
            with anyio.CancelScope(shield=True), anyio.move_on_after(SEND_S) as sending:
                try:
                    await self._stream.send(frame)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError) as error:
                    await self.lose(f"the link is lost ({type(error).__name__})")
            if sending.cancelled_caught:
                await self.lose(f"Asterisk has not taken an action within {SEND_S:g} s")

    async def read(self) -> str:
        """Reads until the link is lost; returns why."""
        dropped = 0
        try:
            while True:
                for message in self._decoder.feed(await self._stream.receive(READ_BYTES)):
                    self._dispatch(message)
                if self._decoder.dropped > dropped:
                    dropped = self._decoder.dropped
                    self._on_event(Message.of(Event="Dropped"))
        except anyio.EndOfStream:
            await self.lose("Asterisk has closed the link")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError) as error:
            await self.lose(f"the link is lost ({type(error).__name__})")
        return self._lost

    def _dispatch(self, message: Message) -> None:
        pending = self._pending.get(message.get("ActionID"))
        if not message.event:
            if pending:
                pending.answer = message
                if pending.items is None or message.get("Response").lower() == "error":
                    pending.done.set()
            return
        if pending is not None and pending.items is not None:
            if message.get("EventList").lower() == "complete":
                pending.done.set()
                return
            pending.items.append(message)
            pending.size += message.size
            if len(pending.items) > MAX_LIST or pending.size > MAX_LIST_BYTES:
                pending.items.clear()
                pending.answer = Message.of(Response="Error", Message="its answer is too long")
                pending.done.set()
            return
        if message.event == "FullyBooted":
            self.uptime_s = message.number("Uptime")
            self.booted.set()
        self._on_event(message)

    @property
    def is_lost(self) -> bool:
        return bool(self._lost)

    async def lose(self, reason: str) -> None:
        """Ends the link; what is in flight fails."""
        self._lost = self._lost or reason
        for pending in self._pending.values():
            pending.done.set()
        with anyio.CancelScope(shield=True):
            await anyio.aclose_forcefully(self._stream)
