"""Reads the stream of calls that are to end while they ring (`Keys.hangups`)."""

from __future__ import annotations

from typing import Any, Final

from redis.asyncio import Redis

from streamdialer.broker.connection import server_ms
from streamdialer.broker.keys import Keys

KEPT_MS: Final = 60_000
"""How long a request counts: the call may not be there yet, or this program may have just started."""
_LAST_POSSIBLE: Final = 20
"""An id with that many digits of milliseconds is close to the last possible one: the stream will begin anew."""


def _is_last_possible(entry: str) -> bool:
    return len(entry.partition("-")[0]) >= _LAST_POSSIBLE


class HangupRequests:
    """Every reader gets all requests."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        self._client = client
        self._stream = keys.hangups
        self._after = ""

    async def read(self, block_ms: int) -> list[str]:
        """The attempts of the next requests, none after `block_ms`; raises what the client raises."""
        if not self._after:
            self._after = f"{await server_ms(self._client) - KEPT_MS}-0"
        answer: Any = await self._client.xread({self._stream: self._after}, count=1000, block=block_ms)
        rows = answer[0][1] if answer else []
        if rows:
            self._after = rows[-1][0]
        elif _is_last_possible(self._after) and not await self._client.xrange(
            self._stream, self._after, count=1
        ):
            self._after = "0-0"  # the stream was made anew
        return [fields["attempt_id"] for _, fields in rows if fields.get("attempt_id")]
