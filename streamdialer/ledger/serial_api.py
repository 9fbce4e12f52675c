"""Whether the Dialer API places calls one after the other, as the events of its calls say (`lua/lib/api_queue.lua`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

FIELDS: Final = ("serial", "late", "begun", "longest_ms")
"""Of the hash `api`."""


class SerialApi(msgspec.Struct, frozen=True, array_like=True):
    """Of calls that were seen to ring lately."""

    late: int
    """Those that rang long after their request."""
    begun: int
    longest_ms: float

    def sentence(self) -> str:
        return (
            f"{self.late} of the last {self.begun} calls that rang did so long after their request, "
            f"the slowest after {self.longest_ms / 1000:.0f} s"
        )


def read_serial_api(values: Sequence[str | None]) -> SerialApi | None:
    """None while calls begin soon after their request; `values` are those of FIELDS."""
    is_serial, late, begun, longest_ms = values
    return SerialApi(int(late or 0), int(begun or 0), float(longest_ms or 0)) if is_serial else None
