"""The deployed Dialer API before a real Asterisk, for tests marked `asterisk`.

It has one AMI connection and originates without Async, so that Asterisk places a call when the one before it was
answered or has stopped ringing. It takes the next line that comes for the reply.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Self

from aiohttp import web

from tests.support.gateway_server import Request, serving
from tests.support.real_asterisk import RealAsterisk

LINES_KEPT: Final = 1000
VARIABLES: Final = {"SD_QUEUE": "desk", "SD_WAIT": "20"}


class SerialDialerApi:
    """`forwards`: it passes the request's variables on to Asterisk."""

    def __init__(self, asterisk: RealAsterisk, *, forwards: bool) -> None:
        self._asterisk = asterisk
        self._forwards = forwards
        self._lines: deque[bytes] = deque(maxlen=LINES_KEPT)
        self._has_lines = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None
        self._one_at_a_time = asyncio.Lock()
        self.replies: Counter[int] = Counter()
        """Replies to originate requests, by status."""
        self.url = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self._asterisk.port)
        reading = asyncio.create_task(self._read(reader))
        try:
            self._send({"Action": "Login", "Username": "platform", "Secret": "platform"})
            async with serving(self._answer) as server:
                self.url = server.url
                yield self
        finally:
            reading.cancel()
            self._writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            if line.strip():
                self._lines.append(line)
                self._has_lines.set()

    def _send(self, fields: dict[str, str]) -> None:
        assert self._writer is not None
        text = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._writer.write(f"{text}\r\n".encode())

    async def _answer(self, request: Request) -> web.StreamResponse:
        if request.path == "/health":
            return web.json_response({"status": "healthy"})
        if request.path != "/calls/originate":
            return web.json_response({"detail": "Internal Server Error"}, status=500)
        body = request.body
        variables = {"CAMPAIGN_ID": body["campaign_id"], "CONTACT_ID": body["contact_id"], **VARIABLES}
        variables |= body["variables"] if self._forwards else {}
        async with self._one_at_a_time:
            self._send(
                {
                    "Action": "Originate",
                    "Channel": f"PJSIP/{body['phone_number']}@trunk-out",
                    "Context": "sd-outbound",
                    "Exten": body["phone_number"],
                    "Priority": "1",
                    "Timeout": str(round(body["timeout"] * 1000)),
                    "Variable": ",".join(f"__{name}={value}" for name, value in variables.items()),
                }
            )
            self._has_lines.clear()
            if not self._lines:
                await self._has_lines.wait()
            line = self._lines.popleft()
        status = 200 if line.startswith(b"Response: Success") else 500
        self.replies[status] += 1
        return web.json_response({"status": "success" if status == 200 else "error"}, status=status)
