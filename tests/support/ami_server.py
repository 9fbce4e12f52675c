"""A scripted AMI server on a real socket: logs in as Asterisk does, and breaks as a test asks."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener

from streamdialer.config.ami_urls import AmiUrl

Answer = Callable[[dict[str, str]], str]
BOOTED = "Event: FullyBooted\r\nPrivilege: system,all\r\nUptime: 77\r\nStatus: Fully Booted\r\n\r\n"


def text_of(**fields: str) -> str:
    """The text of one message."""
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"


class AmiServer:
    """Answers Challenge, Login and Ping; everything else by `answers`."""

    def __init__(self, secret: str = "s3:cr,et") -> None:
        self.secret = secret
        self.booted = BOOTED
        self.port = 0
        self.answers: dict[str, Answer] = {}
        """Text that is sent for an action, by the action's name; '' means no answer."""
        self.received: list[dict[str, str]] = []
        self.links: list[ByteStream] = []
        self.is_stopped = False
        """It holds its links, and neither reads nor answers."""
        self._resumed = anyio.Event()
        self._sending = anyio.Lock()
        """An answer does not come in the middle of what a test sends."""

    def url(self, *, secret: str | None = None, ca_certs: str = "") -> AmiUrl:
        return AmiUrl(
            host="127.0.0.1",
            port=self.port,
            username="dialer",
            secret=self.secret if secret is None else secret,
            uses_tls=bool(ca_certs),
            ca_certs=ca_certs,
        )

    def actions(self, name: str) -> list[dict[str, str]]:
        return [each for each in self.received if each["Action"] == name]

    async def send(self, text: str | bytes, *, piece: int | None = None) -> None:
        """To every client, whole or in pieces of so many bytes."""
        data = text.encode() if isinstance(text, str) else text
        async with self._sending:
            for link in list(self.links):
                for at in range(0, len(data), piece or len(data)):
                    await link.send(data[at : at + (piece or len(data))])

    async def cut(self) -> None:
        for link in list(self.links):
            await anyio.aclose_forcefully(link)

    def resume(self) -> None:
        self.is_stopped = False
        self._resumed.set()

    @asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
        """Listens at `port`, the same after a restart."""
        tcp = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=self.port, reuse_port=False)
        self.port = tcp.extra(SocketAttribute.local_port)
        listener = TLSListener(tcp, tls, standard_compatible=False) if tls else tcp
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listener.serve, self._serve)
                try:
                    yield
                finally:
                    tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self.cut()
                await listener.aclose()

    async def _serve(self, link: ByteStream) -> None:
        async with link:
            self.links.append(link)
            try:
                await link.send(b"Asterisk Call Manager/11.0.0\r\n")
                rest = b""
                while True:
                    while self.is_stopped:
                        self._resumed = anyio.Event()
                        await self._resumed.wait()
                    rest += await link.receive()
                    while b"\r\n\r\n" in rest:
                        frame, _, rest = rest.partition(b"\r\n\r\n")
                        await self._handle(link, frame.decode())
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass  # the client's end, or the test's cut
            finally:
                self.links.remove(link)

    async def _handle(self, link: ByteStream, frame: str) -> None:
        fields: dict[str, str] = {}
        for line in frame.split("\r\n"):
            name, _, value = line.partition(": ")
            fields[name] = f"{fields[name]}|{value}" if name in fields else value
        self.received.append(fields)
        answer = self._answer(fields)
        if answer:
            async with self._sending:
                await link.send(answer.encode())

    def _answer(self, fields: dict[str, str]) -> str:
        action, number = fields["Action"], fields["ActionID"]
        if action in self.answers:
            return self.answers[action](fields)
        if action == "Challenge":
            return text_of(Response="Success", ActionID=number, Challenge="123456")
        if action == "Login":
            key = hashlib.md5(f"123456{self.secret}".encode()).hexdigest()
            if fields.get("Key") != key:
                return text_of(Response="Error", ActionID=number, Message="Authentication failed")
            accepted = text_of(Response="Success", ActionID=number, Message="Authentication accepted")
            return accepted + self.booted
        if action == "Ping":
            return text_of(Response="Success", ActionID=number, Ping="Pong")
        return text_of(Response="Error", ActionID=number, Message="Invalid/unknown command")
