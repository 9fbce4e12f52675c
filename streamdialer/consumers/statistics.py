"""The statistics document of a campaign, from our own counts: where no Dialer API keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streamdialer.ledger.samples import CampaignHistory

_COUNTS: Final = {
    "active_calls": ("active_calls", "connected_calls"),
    "pending_calls": ("ready_contacts", "waiting_contacts"),
    "answered_calls": ("answered_calls",),
    "no_answer": ("no_answer",),
    "busy": ("busy",),
    "failed": ("failed",),
    "agents_available": ("available_agents",),
    "agents_busy": ("busy_agents",),
}
"""Field of the document -> fields of the public hash it is the sum of."""


def own_statistics(public_hash: Mapping[str, str], history: CampaignHistory) -> dict[str, Any]:
    """The document for the backend; `pending_calls` counts the contacts that Redis holds.

    `total_contacts` are those that Redis has held, `average_duration` the seconds from an answer to its end,
    `calls_per_hour` the pace of the last half hour.
    """

    def count(name: str) -> int:
        text = public_hash.get(name, "")
        return int(text) if text.isascii() and text.isdecimal() else 0

    document: dict[str, Any] = {field: sum(map(count, names)) for field, names in _COUNTS.items()}
    total, active = count("total_calls"), document["active_calls"]
    document["completed_calls"] = max(0, total - active)
    document["answer_rate"] = round(document["answered_calls"] / total, 4) if total else 0.0
    document["total_contacts"] = history.contacts
    document["average_duration"] = round(history.talk_ms / 1000 / history.talks, 1) if history.talks else 0.0
    document["calls_per_hour"] = round(history.calls_per_hour(total), 1)
    return document
