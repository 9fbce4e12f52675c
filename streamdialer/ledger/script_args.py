"""One JSON argument for scripts with many arguments, which they read by name."""

from __future__ import annotations

from typing import Any

import msgspec

from streamdialer.ledger.caller_ids import CallerIdPool


def ring_ms(ring_timeout_s: float | None) -> int | None:
    """A ring time-out as calls carry it; None: the setting's."""
    return None if ring_timeout_s is None else round(ring_timeout_s * 1000)


def caller_id_args(pool: CallerIdPool | None) -> dict[str, Any]:
    """A pool as `json_args` takes it."""
    if pool is None:
        return {}
    return {"caller_ids": msgspec.json.encode(pool).decode(), "caller_id_choice": pool.choice}


def json_args(**fields: object) -> str:
    """The fields as JSON without those that are None, which scripts read as nil."""
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not None}).decode()
