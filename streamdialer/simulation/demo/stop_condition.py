"""Decides when a demo is over: all contacts final, time up, or nothing moves any more."""

from __future__ import annotations

from typing import Final

from streamdialer.simulation.demo.options import UNCERTAIN_MARGIN_S, DemoOptions
from streamdialer.simulation.demo.snapshot import Snapshot
from streamdialer.simulation.demo.summary import Ending

STUCK_S: Final = 3.0
SLACK_S: Final = 10.0


class StopCondition:
    """Sees every snapshot. No event may ever come for a killed replica's last call: that must not take for ever."""

    def __init__(self, options: DemoOptions) -> None:
        self._options = options
        # Longer than a healthy demo can go without any call: all contacts wait for their retry.
        self._patience_s = options.retry_delay_s + options.ring_timeout_s + 2 * UNCERTAIN_MARGIN_S + SLACK_S
        self._progress: tuple[int, int] = (-1, -1)
        self._moved_at = 0.0
        self._unstuck_at = 0.0

    def ending(self, snapshot: Snapshot, seconds: float) -> Ending | None:
        """Why the demo is over `seconds` after its start, or None."""
        if _is_done(snapshot, self._options.contacts):
            return "all contacts final"
        if self._options.seconds is not None and seconds >= self._options.seconds:
            return "time over"
        progress = (snapshot.audit.total.originates, snapshot.total("final"))
        if progress != self._progress or snapshot.audit.live_calls:
            self._progress, self._moved_at = progress, seconds
        if not snapshot.is_stuck:
            self._unstuck_at = seconds
        if seconds - self._moved_at > self._patience_s or seconds - self._unstuck_at > STUCK_S:
            return "nothing moved"
        return None


def _is_done(snapshot: Snapshot, contacts: int) -> bool:
    return (
        snapshot.total("final") >= contacts
        and not snapshot.unfinished
        and not snapshot.audit.live_calls
        and not snapshot.audit.events_waiting
    )
