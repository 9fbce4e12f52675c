"""How many entries a stage may work on at once; a stage at its limit reads nothing."""

from __future__ import annotations

import anyio


class ConcurrencyLimit:
    """A limit between `least` and `most`. It follows the backlog when `least` is below `most`."""

    def __init__(self, most: int, least: int | None = None) -> None:
        self._least = most if least is None else least
        self._most = most
        self.limit = self._least
        self.taken = 0
        self._freed = anyio.Event()

    @property
    def free(self) -> int:
        return max(0, self.limit - self.taken)

    def acquire(self) -> None:
        self.taken += 1

    def release(self) -> None:
        self.taken -= 1
        self._freed.set()
        self._freed = anyio.Event()

    async def wait_for_change(self, seconds: float) -> None:
        """Returns when an entry is released, or after `seconds`."""
        with anyio.move_on_after(seconds):
            await self._freed.wait()

    def scale_up(self) -> None:
        """After a read that filled every free place: there may be more entries."""
        self.limit = min(self._most, self.limit * 2)

    def scale_down(self) -> None:
        """After a read that found nothing."""
        self.limit = max(self._least, self.limit - max(1, self.limit // 8))
