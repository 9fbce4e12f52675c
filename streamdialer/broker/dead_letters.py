"""Dead letters: entries that could not be handled, with the reason, the original, and a way back."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Script, Scripts
from streamdialer.errors import CannotBeDone

READ_BATCH: Final = 500
DROP_BATCH: Final = 50
REPLAY, DROP_LETTERS = (Script("streamdialer.broker", name) for name in ("replay", "drop_letters"))


class DeadLetter(msgspec.Struct, frozen=True):
    """One entry that could not be handled."""

    id: str
    stream: str
    entry: str
    reason: str
    detail: str
    deliveries: int
    original: dict[str, str]
    cut: str = ""
    """What is missing of the original; '' for nothing."""


def _letter(letter_id: str, fields: dict[str, str]) -> DeadLetter:
    deliveries = fields.get("deliveries", "")
    return DeadLetter(
        id=letter_id,
        stream=fields.get("stream", ""),
        entry=fields.get("entry", ""),
        reason=fields.get("reason", ""),
        detail=fields.get("detail", ""),
        deliveries=int(deliveries) if deliveries.isdecimal() else 0,
        original={name[1:]: value for name, value in fields.items() if name.startswith("=")},
        cut=fields.get("cut", ""),
    )


class DeadLetters:
    """Reads, replays and drops them."""

    def __init__(self, client: Redis, scripts: Scripts, keys: Keys) -> None:
        self._client = client
        self._scripts = scripts
        self._names = keys.of_dead_letters
        self._stream = keys.stream("dead")

    async def newest(self, count: int, before: str | None = None) -> list[DeadLetter]:
        """The newest dead letters older than `before`, newest first."""
        until = "+" if before is None else f"({before}"
        rows: Any = await self._client.xrevrange(self._stream, until, count=count)
        return [_letter(letter_id, fields) for letter_id, fields in rows]

    async def ids(self, until: str | None = None) -> list[str]:
        """Of all dead letters up to `until`, else of all there are now; oldest first. Reads `READ_BATCH` at a time."""
        if until is None:
            until = next((letter.id for letter in await self.newest(1)), "0-0")
        ids: list[str] = []
        after = "-"
        while True:
            batch: Any = await self._client.xrange(self._stream, after, until, count=READ_BATCH)
            if not batch:
                return ids
            ids += [letter_id for letter_id, _ in batch]
            after = f"({ids[-1]}"

    async def count(self) -> int:
        return int(await self._client.xlen(self._stream))

    async def get(self, letter_id: str) -> DeadLetter:
        """Raises CannotBeDone when there is no such dead letter."""
        rows: Any = await self._client.xrange(self._stream, letter_id, letter_id)
        if not rows:
            raise CannotBeDone(
                f"there is no dead letter {letter_id}; `streamdialer dead list` shows those there are"
            )
        return _letter(*rows[0])

    async def replay(self, letter_id: str) -> str:
        """Puts the original back into its stream; returns the new entry's id."""
        letter = await self.get(letter_id)
        if not letter.stream:
            raise CannotBeDone(
                f"dead letter {letter_id} does not say which stream it came from: it can only be dropped"
            )
        answer = str(await self._scripts.run(REPLAY, [*self._names, letter.stream], [letter_id]))
        if answer == "cut":
            raise CannotBeDone(
                f"dead letter {letter_id} holds only the beginning of its entry ({letter.cut}): it can only be dropped"
            )
        if answer in ("", "elsewhere"):
            raise CannotBeDone(
                f"dead letter {letter_id} no longer exists: it has been replayed or dropped meanwhile"
            )
        return answer

    async def drop(self, letter_ids: list[str]) -> int:
        """Deletes dead letters permanently; returns how many were deleted."""
        return sum(
            [
                int(
                    await self._scripts.run(DROP_LETTERS, self._names, letter_ids[first : first + DROP_BATCH])
                )
                for first in range(0, len(letter_ids), DROP_BATCH)
            ]
        )
