"""Decides when a demo is over: everything done, time up, or nothing will ever move again."""

from __future__ import annotations

from typing import Final

from streamdialer.simulation.demo.options import UNCERTAIN_MARGIN_S, DemoOptions
from streamdialer.simulation.demo.snapshot import Snapshot
from streamdialer.simulation.demo.summary import Ending

STUCK_S: Final = 3.0
SLACK_S: Final = 10.0


class StopCondition:
    """Fed with every look. A killed replica's last call may never be heard of: that must not take for ever."""

    def __init__(self, options: DemoOptions) -> None:
        self._options = options
        # Longer than a demo in good health can go without any call: all contacts wait for their retry.
        self._patience_s = options.retry_delay_s + options.ring_timeout_s + 2 * UNCERTAIN_MARGIN_S + SLACK_S
        self._seen: tuple[int, int] = (-1, -1)
        self._moved_at = 0.0
        self._unstuck_at = 0.0

    def judge(self, look: Snapshot, seconds: float) -> Ending | None:
        """Why the demo is over `seconds` after its start, or None."""
        if self._is_done(look):
            return "all contacts final"
        if self._options.seconds is not None and seconds >= self._options.seconds:
            return "time over"
        seen = (look.audit.total.originates, look.total("final"))
        if seen != self._seen or look.audit.live_calls:
            self._seen, self._moved_at = seen, seconds
        if not look.is_stuck:
            self._unstuck_at = seconds
        if seconds - self._moved_at > self._patience_s or seconds - self._unstuck_at > STUCK_S:
            return "nothing moved"
        return None

    def _is_done(self, look: Snapshot) -> bool:
        return (
            look.total("final") >= self._options.contacts
            and not look.total("unfinished")
            and not look.audit.live_calls
            and not look.audit.events_waiting
        )
