"""One logged-in AMI link. It always reads; what is in flight fails when it is lost; nothing is sent twice."""

from __future__ import annotations

import hashlib
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio
from anyio.abc import ByteStream

from streamdialer.config.ami_urls import AmiUrl
from streamdialer.errors import CredentialsRefused, RefusedByServer, Unreachable
from streamdialer.gateways.ami.messages import Decoder, Fields, Message, encode

log = logging.getLogger(__name__)
MAX_LIST: Final = 100_000
"""Most events of one list answer."""
MAX_LIST_BYTES: Final = 64 * 1024 * 1024
CONNECT_S: Final = 10.0
"""Longest wait for the connection, and for each answer while logging in."""
BOOT_S: Final = 10.0
ACTION_S: Final = 10.0
PING_EVERY_S: Final = 10.0
PING_S: Final = 5.0
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
    """Use `connected` to get one."""

    def __init__(self, stream: ByteStream, server: str, on_event: Callable[[Message], None]) -> None:
        self._stream = stream
        self._server = server
        self._on_event = on_event
        self._decoder = Decoder()
        self._pending: dict[str, _Pending] = {}
        self._number = 0
        self._sending = anyio.Lock()
        self._lost = ""
        self._booted = anyio.Event()
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
                raise LinkLost(f"{self._server}: {name}: {self._lost}", was_sent=pending.was_sent)
            raise LinkLost(
                f"{self._server}: {name}: no answer within {timeout_s:g} s", was_sent=pending.was_sent
            )
        if answer.get("Response").lower() == "error":
            raise RefusedByServer(f"{self._server}: {name} refused: {answer.get('Message')}", 0)
        if pending.items is None:
            return [answer]
        if self.dropped > dropped:
            raise RefusedByServer(f"{self._server}: {name}: a part of the answer is too long to read", 0)
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
            self._booted.set()
        self._on_event(message)

    async def log_in(self, address: AmiUrl) -> None:
        """Raises CredentialsRefused, LinkLost or Unreachable."""
        try:
            challenge = await self.action("Challenge", {"AuthType": "MD5"}, timeout_s=CONNECT_S)
            key = hashlib.md5(
                (challenge.get("Challenge") + address.secret).encode(), usedforsecurity=False
            ).hexdigest()
            fields = {"AuthType": "MD5", "Username": address.username, "Key": key, "Events": "on"}
            await self.action("Login", fields, timeout_s=CONNECT_S)
        except RefusedByServer as error:
            raise CredentialsRefused(
                f"{error}; check ASTERISK_AMI_URL against secret, permit and deny in manager.conf"
            ) from None
        with anyio.move_on_after(BOOT_S):
            await self._booted.wait()
        if not self._booted.is_set():
            log.warning(
                "Asterisk does not say that it has booted: it is still starting, or the AMI user lacks read=system",
                extra={"server": self._server, "waited_s": BOOT_S},
            )

    async def ping(self) -> None:
        """Pings for ever; ends the link when no answer comes."""
        while not self._lost:
            await anyio.sleep(PING_EVERY_S)
            try:
                await self.action("Ping", timeout_s=PING_S)
            except RefusedByServer:
                pass  # it answers
            except LinkLost:
                await self.lose(f"no answer to a ping within {PING_S:g} s")

    async def lose(self, reason: str) -> None:
        """Ends the link; what is in flight fails."""
        self._lost = self._lost or reason
        for pending in self._pending.values():
            pending.done.set()
        with anyio.CancelScope(shield=True):
            await anyio.aclose_forcefully(self._stream)


@asynccontextmanager
async def connected(address: AmiUrl, on_event: Callable[[Message], None]) -> AsyncIterator[Connection]:
    """A link that has logged in, read and pinged beside the block; raises Unreachable, CredentialsRefused.

    When the link is lost, the block is cancelled and LinkLost is raised.
    """
    try:
        context = ssl.create_default_context(cafile=address.ca_certs or None) if address.uses_tls else None
        with anyio.fail_after(CONNECT_S):
            stream: ByteStream = (
                await anyio.connect_tcp(address.host, address.port)
                if context is None
                else await anyio.connect_tcp(address.host, address.port, ssl_context=context)
            )
    except (OSError, TimeoutError) as error:
        raise Unreachable(f"{address.name}: Asterisk cannot be reached: {error or 'time-out'}") from error
    link = Connection(stream, address.name, on_event)
    reason = ""

    async def read(scope: anyio.CancelScope) -> None:
        nonlocal reason
        reason = await link.read()
        scope.cancel()

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, tasks.cancel_scope, name="AMI reader")
            await link.log_in(address)
            tasks.start_soon(link.ping, name="AMI ping")
            yield link
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise
    finally:
        await link.lose("the link is closed")
    if reason:
        raise LinkLost(f"{address.name}: {reason}", was_sent=False)
