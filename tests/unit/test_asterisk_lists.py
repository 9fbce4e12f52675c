"""Lists that are too long for one entry of the stream are written in parts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streamdialer.broker.entries import MAX_ENTRY_BYTES, Entry
from streamdialer.consumers.event_entry import read_event
from streamdialer.model import QueueAgentsEvent, SourceEvent
from streamdialer.producers.asterisk.writing import parts_of

CALLS = [f"1:57300{number:07}:1:mwyi9k4w" for number in range(5000)]
AGENTS = [{"agent_id": f"PJSIP/{number}", "state": "available"} for number in range(3000)]


def entry_of(event: dict[str, Any]) -> Entry:
    data = {name: value for name, value in event.items() if name != "type"}
    return Entry("1-0", {"type": event["type"], "data": msgspec.json.encode(data).decode()})


@pytest.mark.parametrize("calls", [[], CALLS[:1000]])
def test_a_short_list_is_one_entry(calls: list[str]) -> None:
    event = {"type": "source_live", "source": "pbx", "since": "2026-01-01T00:00:00Z", "calls": calls}
    assert parts_of(event) == [event]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "source_live", "since": "2026-01-01T00:00:00Z", "calls": CALLS},
        {"type": "queue_agents", "queue": "sales", "agents": AGENTS},
    ],
    ids=["calls", "agents"],
)
def test_a_long_list_is_in_parts_that_can_be_read(event: dict[str, Any]) -> None:
    parts = parts_of({**event, "source": "pbx"})
    assert len(parts) > 1
    read = [read_event(entry_of(each)) for each in parts]
    items: list[Any] = []
    for number, each in enumerate(read, 1):
        assert isinstance(each, SourceEvent | QueueAgentsEvent)
        assert (each.part, each.parts) == (number, len(parts))
        items += each.calls if isinstance(each, SourceEvent) else each.agents
    assert len({each["list_id"] for each in parts}) == 1
    assert len(items) == len(event.get("calls") or event["agents"])
    assert all(len(entry_of(each).fields["data"]) < MAX_ENTRY_BYTES for each in parts)


def test_each_list_has_an_id_of_its_own() -> None:
    event = {"type": "queue_agents", "queue": "sales", "source": "pbx", "agents": AGENTS}
    assert parts_of(event)[0]["list_id"] != parts_of(event)[0]["list_id"]


def test_an_event_without_a_list_is_one_entry() -> None:
    event = {"type": "call_ringing", "campaign_id": "1", "contact_id": "2"}
    assert parts_of(event) == [event]
