"""The events that every peer gets: a call is answered, then completed."""

from __future__ import annotations

from typing import Any

COUNTS = "peer:counts"
"""A hash: how many events of each type have been handled."""


def events(count: int) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    for number in range(count):
        contact = 1_000_000 + number // 2
        call = {"campaign_id": 1 + contact % 10, "contact_id": contact, "call_id": f"c{contact}"}
        if number % 2:
            said.append({"type": "call_completed", "duration": 42, **call})
        else:
            said.append({"type": "call_answered", "agent_id": "7", **call})
    return said
