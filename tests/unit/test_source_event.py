"""How an event source may write the calls that are up."""

from __future__ import annotations

import json

import pytest

from streamdialer.broker.entries import BadEntry, Entry
from streamdialer.consumers.event_entry import read_event
from streamdialer.model import CallEvent, SourceEvent
from streamdialer.operations.event_input import checked_event, read_pairs

SINCE = "2026-11-26T08:00:00+00:00"


def entry(**data: object) -> Entry:
    return Entry(
        "1-0", {"type": "source_live", "data": json.dumps({"source": "pbx", "since": SINCE, **data})}
    )


@pytest.mark.parametrize(
    ("calls", "ids"), [([], []), (["1:2:1", "abc.1"], ["1:2:1", "abc.1"]), ([17], ["17"])]
)
def test_a_list_is_read(calls: list[object], ids: list[str]) -> None:
    event = read_event(entry(calls=calls))
    assert isinstance(event, SourceEvent)
    assert event.calls == ids
    flat = {"type": "source_live", "source": "pbx", "since": SINCE, "calls": json.dumps(calls)}
    assert read_event(Entry("1-0", flat)) == event


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"calls": None},
        {"calls": ""},
        {"calls": "abc, def"},
        {"calls": '["abc"'},
        {"calls": {"abc": 1}},
        {"calls": [None]},
        {"calls": [True]},
        {"calls": [["abc"]]},
        {"calls": [""]},
        {"calls": [], "source": ""},
        {"calls": [], "since": "yesterday"},
        {"calls": [], "since": "2026-11-26T08:00:00"},
    ],
    ids=str,
)
def test_a_list_that_cannot_be_read_is_a_dead_letter(data: dict[str, object]) -> None:
    with pytest.raises(BadEntry):
        read_event(entry(**data))


@pytest.mark.parametrize("call_id", [" abc ", "x" * 300, 3.0, 3])
def test_a_call_id_is_read_as_in_an_event_of_the_call(call_id: object) -> None:
    data = json.dumps({"campaign_id": 1, "contact_id": 2, "call_id": call_id})
    event = read_event(Entry("1-0", {"type": "call_ringing", "data": data}))
    listed = read_event(entry(calls=[call_id]))
    assert isinstance(event, CallEvent)
    assert isinstance(listed, SourceEvent)
    assert listed.calls == [event.call_id]


def test_it_can_be_typed() -> None:
    typed = ["source=pbx", f"since={SINCE}", 'calls=["1:2:1"]']
    event = checked_event("source_live", read_pairs(typed))
    assert event["type"] == "source_live"


def test_a_call_event_may_name_its_attempt() -> None:
    data = json.dumps({"campaign_id": 1, "contact_id": 2, "attempt_id": "1:2:1"})
    event = read_event(Entry("1-0", {"type": "call_ringing", "data": data}))
    assert isinstance(event, CallEvent)
    assert event.attempt_id == "1:2:1"
