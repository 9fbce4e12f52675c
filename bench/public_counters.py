"""The counters that the public hash of a campaign must have when all its calls are over."""

from __future__ import annotations

from streamdialer.simulation.world.auditor import CallCounts


def expected_counters(counts: CallCounts) -> dict[str, int]:
    """The fields of `campaign:{id}`, from the counts of the telephone network."""
    return {
        "total_calls": counts.originates,
        "answered_calls": counts.answered_by_person + counts.machine,
        "abandoned": counts.abandoned,
        "machine": counts.machine,
        "busy": counts.busy,
        "no_answer": counts.no_answer,
        "failed": counts.failed,
        "active_calls": 0,
        "connected_calls": 0,
    }
