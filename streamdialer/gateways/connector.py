"""Connections for HTTP requests: a request goes out only on one whose earlier replies are all read."""

from __future__ import annotations

import select

import aiohttp
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.tracing import Trace


class CleanConnector(aiohttp.TCPConnector):
    """Closes a kept connection on which something has come since its last reply.

    aiohttp asks only whether a kept connection is open, and would read what has come as the reply to the next request.
    """

    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Connection | None:
        while (kept := await super()._get(key, traces)) is not None:
            if not _has_unread(kept):
                return kept
            kept.close()
        return None


def _has_unread(connection: Connection) -> bool:
    """Whether bytes or an end of file wait, in the library or in the socket."""
    protocol = connection.protocol
    if protocol is None or protocol.should_close or connection.transport is None:
        return True
    socket = connection.transport.get_extra_info("socket")
    poll = select.poll()
    poll.register(socket.fileno(), select.POLLIN)
    return bool(poll.poll(0))
