"""How fast the dialer reacts: from an agent becoming free to the next call placed for the queue.

Only waits that the dialer could have shortened count. A time is dropped when no contact was ready at any snapshot
between the agent becoming free and the call. Two kinds of waits do count: the pacing formula may allow no further call
for one more free agent (in power mode, when people have just been connected), and the work of a killed replica is
taken over late.
"""

from __future__ import annotations

import math
from collections.abc import MutableSequence


class ReactionTimes:
    """Takes, at every snapshot, the times that the auditor has measured since the last one."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._added_at = 0.0
        self._dry_at = 0.0
        """The last snapshot without a ready contact; before the first snapshot none was ready."""
        self.ms: list[float] = []

    def add(self, measured: MutableSequence[float], ready: int, now_s: float) -> None:
        """Takes the times (simulated seconds) out of `measured`; `now_s` is the wall clock."""
        if not ready:
            self._dry_at = now_s
        for simulated_s in measured:
            seconds = simulated_s / self._speed
            freed_at = self._added_at - seconds  # or later: the call may be younger than the last snapshot
            if freed_at > self._dry_at:
                self.ms.append(seconds * 1000)
        measured.clear()
        self._added_at = now_s

    def percentile_ms(self, share: float) -> float | None:
        """The nearest-rank percentile; None without any time."""
        if not self.ms:
            return None
        return round(sorted(self.ms)[math.ceil(share * len(self.ms)) - 1], 1)
