"""An event takes effect as far as it can be read: a field that nothing depends on never costs it."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdialer.broker.entries import MAX_ENTRY_BYTES, BadEntry, Entry
from streamdialer.consumers.event_entry import Event, read_event
from streamdialer.ledger.event_facts import fact_of
from streamdialer.model import (
    AgentEvent,
    CallbackEvent,
    CallEvent,
    DoNotCallEvent,
    PreviewEvent,
    SourceEvent,
    normalise_id,
    plain_id,
)
from streamdialer.producers.events import EVENT_TYPES
from streamdialer.rules.any_json import decode_json
from streamdialer.rules.numbers import read_number

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
BESIDE_A_CALLS_EFFECT = ("call_id", "agent_id", "queue", "answered_by", "duration", "disposition", "cause")
FIELDS = (
    *BESIDE_A_CALLS_EFFECT,
    "campaign_id",
    "contact_id",
    "attempt_id",
    "phone_number",
    "at",
    "reason",
    "source",
    "since",
    "calls",
    "something else",
)
CALLS = ("call_ringing", "call_answered", "call_completed", "call_failed", "call_abandoned")


def write(kind: str, data: object) -> Entry:
    return Entry("1-0", {"type": kind, "data": json.dumps(data)})


def read_call(kind: str = "call_completed", **data: object) -> CallEvent:
    event = read_event(write(kind, {"campaign_id": 1, "contact_id": 2, **data}))
    assert isinstance(event, CallEvent)
    return event


def read_or_refusal(entry: Entry) -> Event | BadEntry:
    try:
        return read_event(entry)
    except BadEntry as bad:
        return bad


@given(st.sampled_from(CALLS), st.dictionaries(st.sampled_from(BESIDE_A_CALLS_EFFECT), JSON))
def test_no_value_beside_its_effect_costs_a_call_event(kind: str, data: dict[str, Any]) -> None:
    event = read_call(kind, **data)
    assert (event.type, event.campaign_id, event.contact_id) == (kind, "1", "2")
    assert event.duration is None or (math.isfinite(event.duration) and event.duration >= 0)
    assert event.answered_by in ("human", "machine", "unknown", "")
    assert len(plain_id(event.agent_id)) <= 256
    assert len(event.call_id) <= 256
    fact = fact_of(event)
    if kind == "call_completed":
        assert fact.fact in ("c", "b")
    msgspec.json.encode(event)  # every text can be written to Redis


@given(st.sampled_from(EVENT_TYPES), st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_an_event_of_any_values_is_read_or_refused(kind: str, data: dict[str, Any]) -> None:
    event = read_or_refusal(write(kind, data))
    if isinstance(event, BadEntry):
        assert event.reason in ("wrong_type", "wrong_time", "too_large")
        assert event.detail
        return
    msgspec.json.encode(event)
    if isinstance(event, CallEvent | CallbackEvent | PreviewEvent):
        assert event.campaign_id
    if isinstance(event, DoNotCallEvent):
        assert event.has_target
    if isinstance(event, SourceEvent):
        assert event.source


@given(st.dictionaries(st.sampled_from((*FIELDS, "type", "data")), st.text() | st.binary()))
def test_flat_fields_of_any_values_are_read_or_refused(fields: dict[str, str | bytes]) -> None:
    texts = {
        name: value if isinstance(value, str) else value.decode(errors="surrogateescape")
        for name, value in fields.items()
    }
    entry = Entry("1-0", {"type": "call_answered", "campaign_id": "1", "contact_id": "2", **texts})
    event = read_or_refusal(entry)
    assert not isinstance(event, BadEntry) or event.detail


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "replace")))
def test_bytes_of_any_kind_are_json_or_a_value_error(raw: bytes) -> None:
    try:
        decode_json(raw)
    except ValueError:
        return


@pytest.mark.parametrize("depth", [100, 600, 1_000, 5_000, 30_000])
def test_no_depth_of_nesting_ends_a_process(depth: int) -> None:
    nested = "[" * depth + "]" * depth
    for text in (nested, f'{{"campaign_id": 1, "contact_id": 2, "agent_id": {nested}}}'):
        event = read_or_refusal(Entry("1-0", {"type": "call_answered", "data": text}))
        assert not isinstance(event, BadEntry) or event.reason in ("broken_json", "too_large")


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        (42, 42.0),
        ("42", 42.0),
        ("12s", 12.0),
        ("1,5", 1.5),
        ("00:01:42", 102.0),
        ("1 00:01:42.5", 86_502.5),
        ("", None),
        ("long", None),
        (-1, None),
        (float("nan"), None),
        (True, None),
        ([42], None),
    ],
)
def test_a_duration_is_read_as_people_write_it(raw: object, seconds: float | None) -> None:
    assert read_call(duration=raw).duration == seconds


@pytest.mark.parametrize(
    ("raw", "answered_by"),
    [
        ("human", "human"),
        ("HUMAN", "human"),
        ("machine_start", "machine"),
        ("machine_end_beep", "machine"),
        ("MACHINE", "machine"),
        ("fax", "machine"),
        ("NOTSURE", "unknown"),
        ("parrot", ""),
        (1, ""),
    ],
)
def test_who_answered_is_read_in_the_words_of_telephone_systems(raw: object, answered_by: str) -> None:
    assert read_call("call_answered", answered_by=raw).answered_by == answered_by


@pytest.mark.parametrize("agent", ["PJSIP/1001", "Local/101@from-queue/n", "Ana María", "0042", 7, 7.0])
def test_an_agent_id_is_any_text(agent: object) -> None:
    expected = normalise_id(agent)
    assert plain_id(expected) == ("7" if isinstance(agent, float) else str(agent))
    assert read_call(agent_id=agent).agent_id == expected
    event = read_event(write("agent_available", {"agent_id": agent, "campaign_id": ["?"]}))
    assert isinstance(event, AgentEvent)
    assert (event.agent_id, event.campaign_id) == (expected, "")


@pytest.mark.parametrize("kind", ["do_not_call", "callback_requested"])
@pytest.mark.parametrize(
    ("number", "digits"), [(573001234567, "573001234567"), (573001234567.0, "573001234567"), (5.73001e11, "")]
)
def test_a_number_of_which_digits_may_be_lost_is_none(kind: str, number: float, digits: str) -> None:
    data = {"campaign_id": 1, "contact_id": 2, "at": "2030-01-31T15:00:00Z", "phone_number": number}
    event = read_event(write(kind, data))
    assert isinstance(event, DoNotCallEvent | CallbackEvent)
    assert read_number(event.phone_number, "CO").digits == digits


def test_call_ids_that_are_too_long_still_tell_calls_apart() -> None:
    one, same, other = (read_call(call_id=letter * 1000).call_id for letter in "aab")
    assert one == same != other
    assert len(one) < 256


@pytest.mark.parametrize(
    ("name", "value"), [("contact_id", "c" * 300), ("contact_id", None), ("attempt_id", "a" * 257)]
)
def test_what_the_effect_depends_on_must_be_readable(name: str, value: object) -> None:
    with pytest.raises(BadEntry, match=name):
        read_event(write("call_ringing", {"campaign_id": 1, "contact_id": 2, name: value}))


def test_text_in_another_encoding_and_nan_cost_nothing() -> None:
    latin = '{"campaign_id": 1, "contact_id": 2, "duration": NaN, "note": "José"}'.encode("latin-1")
    for raw in (latin, b"\xef\xbb\xbf" + latin):
        event = read_event(
            Entry("1-0", {"type": "call_answered", "data": raw.decode(errors="surrogateescape")})
        )
        assert isinstance(event, CallEvent)
        assert event.contact_id == "2"


def test_a_field_that_is_left_out_is_counted() -> None:
    unread = list[str]()
    read_event(
        write("call_completed", {"campaign_id": 1, "contact_id": 2, "duration": "long"}), unread.append
    )
    assert unread == ["duration"]


@pytest.mark.parametrize("padding", ["x", "é", "€"])
def test_an_entry_may_have_64_kb(padding: str) -> None:
    def entry(size: int) -> Entry:
        head = {"type": "call_answered", "data": '{"campaign_id": 1, "contact_id": 2}', "note": ""}
        room = size - sum(len(name) + len(value) for name, value in head.items())
        width = len(padding.encode())
        return Entry("1-0", head | {"note": padding * (room // width) + "." * (room % width)})

    assert isinstance(read_event(entry(MAX_ENTRY_BYTES)), CallEvent)
    with pytest.raises(BadEntry, match="65537 bytes") as refused:
        read_event(entry(MAX_ENTRY_BYTES + 1))
    assert refused.value.reason == "too_large"
