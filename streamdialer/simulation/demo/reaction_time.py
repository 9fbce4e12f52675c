"""How fast the dialer reacts: from an agent becoming free to the next call placed for the queue.

Only what the dialer could have done better counts. A time is dropped when, at any look between the agent becoming
free and the call, no contact was ready: then there was nobody to call, and the wait says nothing about the dialer.
The pacing formula may allow no further call for one more free agent (in power mode, when people have just been
connected): that wait is part of the time. So is a killed replica's share of the work, which is taken over late.
"""

from __future__ import annotations

import math
from collections.abc import MutableSequence


class ReactionTimes:
    """Fed at every look with the times the auditor has gathered since the last one."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._looked_at = 0.0
        self._dry_at = 0.0
        """The last look that found no contact ready; before the first look there were none."""
        self.ms: list[float] = []

    def look(self, gathered: MutableSequence[float], ready: int, now_s: float) -> None:
        """Takes the times (seconds of life) out of `gathered`; `now_s` is the wall clock."""
        if not ready:
            self._dry_at = now_s
        for life_s in gathered:
            seconds = life_s / self._speed
            freed_at = self._looked_at - seconds  # or later: the call may be younger than the last look
            if freed_at > self._dry_at:
                self.ms.append(seconds * 1000)
        gathered.clear()
        self._looked_at = now_s

    def percentile_ms(self, share: float) -> float | None:
        """The nearest-rank percentile; None without any time."""
        if not self.ms:
            return None
        return round(sorted(self.ms)[math.ceil(share * len(self.ms)) - 1], 1)
