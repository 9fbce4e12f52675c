"""The argument of scripts that are told much: one JSON document, read by name."""

from __future__ import annotations

import msgspec


def json_args(**fields: object) -> str:
    """The fields as JSON, without those that are None: the scripts read them as nil."""
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not None}).decode()
