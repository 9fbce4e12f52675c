"""Typed stub of the script that keeps parts of lists which are too long for one entry, until all have come."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Script, Scripts
from streamdialer.model import ListEvent

GATHER_LIST: Final = Script("streamdialer.ledger", "gather_list")
PARTS_TTL_MS: Final = 60_000


class ListParts:
    """Lists of event sources, put together."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def gather(self, event: ListEvent, name: str, entry: str, items: Any) -> list[tuple[str, Any]]:
        """The entry and the items of each part, the oldest part first; empty while parts are missing.

        `name` tells the lists of the source apart, `items` are those of the event.
        """
        if event.parts == 1:
            return [(entry, items)]
        key = self._keys.list_parts(f"{name}:{event.source}:{event.list_id}:{event.parts}")
        encoded = msgspec.json.encode(items).decode()
        answer: list[str] = await self._scripts.run(
            GATHER_LIST, [key], [event.part, event.parts, entry, encoded, PARTS_TTL_MS]
        )
        parts = [each.partition(" ") for each in answer]
        found = [(its_entry, msgspec.json.decode(its_items)) for its_entry, _, its_items in parts]
        return sorted(found, key=lambda part: _order(part[0]))


def _order(entry: str) -> tuple[int, int]:
    ms, _, number = entry.partition("-")
    return int(ms), int(number)
