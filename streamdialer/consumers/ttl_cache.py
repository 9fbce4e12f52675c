"""What a replica remembers of campaigns and queues for a while: bounded by what is alive, not by what ever was."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

import anyio

CacheValue = TypeVar("CacheValue")


class TTLCache(Generic[CacheValue]):
    """Values by name; what has not been put or kept for `keep_s` seconds is dropped when something new comes."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._entries: OrderedDict[str, tuple[float, CacheValue]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: str, younger_than_s: float | None = None) -> CacheValue | None:
        """The value, None when there is none or it was put longer ago than asked for."""
        found = self._entries.get(name)
        if found is None:
            return None
        is_too_old = younger_than_s is not None and anyio.current_time() - found[0] > younger_than_s
        return None if is_too_old else found[1]

    def age_s(self, name: str) -> float | None:
        """Seconds since the value was put; None when there is none."""
        entry = self._entries.get(name)
        return None if entry is None else anyio.current_time() - entry[0]

    def put(self, name: str, value: CacheValue) -> CacheValue:
        now = anyio.current_time()
        self._entries[name] = (now, value)
        self._entries.move_to_end(name)
        while self._entries:
            oldest = next(iter(self._entries))
            if now - self._entries[oldest][0] <= self._keep_s:
                break
            del self._entries[oldest]
        return value

    def pop(self, name: str) -> None:
        self._entries.pop(name, None)
