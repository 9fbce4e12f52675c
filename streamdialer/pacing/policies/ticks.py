"""The worker that streamdialer replaces: the contract's formula, but only every ten seconds."""

from __future__ import annotations

from streamdialer.pacing.policies.fixed import Fixed


class Ticks(Fixed):
    """`Fixed` on a timer. On average a free agent waits half an interval until the next call is even placed."""

    def __init__(self, mode: str = "progressive", ratio: float = 0.0, interval_s: float = 10.0) -> None:
        super().__init__(mode, ratio)
        self.interval_s = interval_s
