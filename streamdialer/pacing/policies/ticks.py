"""The worker this one replaces: the contract's formula, but only every ten seconds."""

from __future__ import annotations

from streamdialer.pacing.policies.fixed import Fixed


class Ticks(Fixed):
    """`Fixed` asked on a tick. An agent who comes free waits half a tick for the next call to be placed at all."""

    def __init__(self, mode: str = "progressive", ratio: float = 0.0, every_s: float = 10.0) -> None:
        super().__init__(mode, ratio)
        self.every_s = every_s
