"""Empties a stream by hand, unless something depends on its entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from streamdialer.broker.keys import GROUP, Keys, Stream
from streamdialer.broker.scripts import Script, Scripts
from streamdialer.errors import CannotBeDone

PURGE: Final = Script("streamdialer.broker", "purge")
EMPTY_BATCH: Final = 500
EMPTY_BYTES: Final = 1_000_000
"""Other programs may write large entries, and while a script runs, Redis serves no other client."""
DEPENDS: Final = {
    "calls": "calls are reserved, and its entries place them or hand them back",
    "updates": "the backend has not confirmed every update, and its entries carry the missing ones",
}


class Purge:
    """Deletes the entries that are there when it begins; entries that are added meanwhile stay."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def length(self, stream: Stream) -> int:
        return int(await self._scripts.client.xlen(self._keys.stream(stream)))

    async def empty(self, stream: Stream, report: Callable[[int], None]) -> int:
        """Returns how many entries it deleted, and `report`s them batch by batch; raises CannotBeDone."""
        newest: Any = await self._scripts.client.xrevrange(self._keys.stream(stream), count=1)
        if not newest:
            return 0
        if stream == "outcomes":
            await self._require_read(newest[0][0])
        keys = [self._keys.stream(stream), *await self._guards(stream)]
        deleted = 0
        while True:
            answer = int(
                await self._scripts.run(PURGE, keys, [GROUP, EMPTY_BATCH, newest[0][0], EMPTY_BYTES])
            )
            if answer < 0:
                raise CannotBeDone(f"stream {stream} is not purged: {DEPENDS[stream]}")
            if answer == 0:
                for key in self._counts(stream):
                    await self._scripts.client.delete(key)
                return deleted
            deleted += answer
            report(deleted)

    async def _require_read(self, newest: str) -> None:
        """Raises CannotBeDone while a consumer group has not finished all entries up to this one."""
        groups: Any = await self._scripts.client.xinfo_groups(self._keys.outcomes)
        for group in groups:
            is_read = _order(group["last-delivered-id"]) >= _order(newest)
            if group["pending"] or not is_read:
                raise CannotBeDone(
                    f"stream outcomes is not purged: consumer group {group['name']} has not read or not acknowledged "
                    f"all of it; start its program, or XGROUP DESTROY {self._keys.outcomes} {group['name']}"
                )

    def _counts(self, stream: Stream) -> list[str]:
        """Keys that count the stream's entries."""
        if stream == "dead":
            return self._keys.of_dead_letters[1:]
        return [self._keys.events_retained] if stream == "events" else []

    async def _guards(self, stream: Stream) -> Sequence[str]:
        """Keys that must not exist; Redis has no empty sets and hashes."""
        if stream not in DEPENDS:
            return ()
        campaigns: Any = await self._scripts.client.hkeys(self._keys.directory)
        name = self._keys.reserved if stream == "calls" else self._keys.outbox
        return [name(campaign) for campaign in campaigns]


def _order(entry: str) -> tuple[int, ...]:
    return tuple(map(int, entry.split("-")))
