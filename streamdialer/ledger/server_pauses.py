"""Servers that ask for fewer requests: no process sends them any for a while, whichever process the server told."""

from __future__ import annotations

from typing import Final

from streamdialer.broker.keys import Keys, PausingServer
from streamdialer.broker.scripts import Script, Scripts

PAUSE_REQUESTS: Final = Script("streamdialer.ledger", "pause_requests")


class ServerPauses:
    """Notes pauses; the scripts that start a tick and lease an update say how much of one is left."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def note(self, server: PausingServer, wait_s: float) -> None:
        """From now on, no process sends the server a request for that long."""
        if wait_s > 0:
            names = [self._keys.paused(server), self._keys.server]
            await self._scripts.run(PAUSE_REQUESTS, names, [round(wait_s * 1000)])
