"""One JSON argument for scripts with many arguments, which they read by name."""

from __future__ import annotations

import msgspec


def json_args(**fields: object) -> str:
    """The fields as JSON without those that are None, which scripts read as nil."""
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not None}).decode()
