"""One JSON argument for scripts with many arguments, which they read by name."""

from __future__ import annotations

import msgspec


def ring_ms(ring_timeout_s: float | None) -> int | None:
    """A ring time-out as calls carry it; None: the setting's."""
    return None if ring_timeout_s is None else round(ring_timeout_s * 1000)


def json_args(**fields: object) -> str:
    """The fields as JSON without those that are None, which scripts read as nil."""
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not None}).decode()
