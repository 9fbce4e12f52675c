"""Values a replica keeps for a while, by campaign or queue: entries of ended campaigns do not pile up."""

from __future__ import annotations

from collections import OrderedDict
from time import monotonic
from typing import Final, Generic, TypeVar

CacheValue = TypeVar("CacheValue")
DEFAULT_TTL_S: Final = 60.0
"""How long a replica remembers a campaign or queue that it no longer dials."""


class TTLCache(Generic[CacheValue]):
    """Values by name; a value older than `ttl_s` seconds is dropped when another is put."""

    def __init__(self, ttl_s: float = DEFAULT_TTL_S) -> None:
        self._ttl_s = ttl_s
        self._entries: OrderedDict[str, tuple[float, CacheValue]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: str, younger_than_s: float | None = None) -> CacheValue | None:
        """The value; None when there is none, or when it is not `younger_than_s`."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        is_too_old = younger_than_s is not None and monotonic() - entry[0] > younger_than_s
        return None if is_too_old else entry[1]

    def age_s(self, name: str) -> float | None:
        """Seconds since the value was put; None when there is none."""
        entry = self._entries.get(name)
        return None if entry is None else monotonic() - entry[0]

    def put(self, name: str, value: CacheValue, age_s: float = 0.0) -> CacheValue:
        now = monotonic()
        self._entries[name] = (now - age_s, value)
        self._entries.move_to_end(name)
        while self._entries:
            oldest = next(iter(self._entries))
            if now - self._entries[oldest][0] <= self._ttl_s:
                break
            del self._entries[oldest]
        return value

    def pop(self, name: str) -> None:
        self._entries.pop(name, None)
