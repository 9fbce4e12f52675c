"""What the backend sends: one value that cannot be read costs its field, at most its row, never its neighbours."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamdialer.consumers.dialing.contact_rows import load_row, variables_of
from streamdialer.errors import CampaignError
from streamdialer.gateways.parsing import read_campaign, read_contact, read_contacts
from streamdialer.model import CampaignSettings, ContactData, has_control, normalise_id, plain_id, wire_id
from streamdialer.rules.caps import caps_of
from streamdialer.rules.retry import retry_plan
from streamdialer.rules.rule_pack import load_pack
from streamdialer.rules.window import campaign_window

TEXTS: Final = st.text(max_size=20) | st.sampled_from(
    [
        "",
        " ",
        "high",
        "pending",
        "PENDING",
        "do_not_call",
        "1",
        "-5",
        "UTC-5",
        "N",
        "+573001234567",
        "x" * 300,
        "\ud800",
    ]
)
SCALARS: Final = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
JSON: Final = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "name", "number", "phone"]) | TEXTS, inner, max_size=3)
    ),
    max_leaves=6,
)
CONTACT_FIELDS: Final = (
    *("id", "campaign_id", "phone_number", "phone_2", "phone_3", "phones", "status", "priority", "attempts"),
    *("last_attempt", "timezone", "custom_data", "do_not_call", "extra"),
)
GOOD: Final[dict[str, Any]] = {
    "id": "good",
    "campaign_id": 1,
    "phone_number": "+573001234567",
    "status": "pending",
    "priority": 5,
    "attempts": 0,
}


@given(
    fields=st.dictionaries(st.sampled_from(CONTACT_FIELDS), JSON, max_size=14),
    country=st.sampled_from(["", "CO"]),
)
@example(fields={"do_not_call": [[[]]]}, country="")
@example(fields={"timezone": "\ud800", "custom_data": ["\ud800"], "last_attempt": "\ud800"}, country="")
@example(fields={"custom_data": {"big": 10**30}}, country="")
@example(fields={"attempts": float("inf"), "priority": float("nan")}, country="")
@settings(max_examples=600)
def test_any_value_in_any_field_of_a_contact_leaves_the_rest_of_the_page(
    fields: dict[str, Any], country: str
) -> None:
    rows = [GOOD, {**GOOD, "id": 7, **fields}, {**GOOD, "id": "other"}]
    contacts, unreadable = read_contacts(rows, campaign="1", statuses={"pending"}, defaulted=Counter())
    assert len(contacts) + len(unreadable) == 3
    assert (contacts[0].id, contacts[-1].id) == ("good", "other")
    for contact in contacts:
        row = load_row(contact, country=country, for_preview=True)
        assert 1 <= row.priority <= 10
        assert row.attempts >= 0
        call = msgspec.json.decode(row.call, type=ContactData)
        assert row.problem or call.phone_number.removeprefix("+").isdigit()
    if len(contacts) == 3 and isinstance(fields.get("id"), int | str):
        assert contacts[1].id == fields["id"]
        assert type(contacts[1].id) is type(fields["id"]), "it is sent back as it came"


@given(row=JSON)
def test_a_row_may_be_anything(row: Any) -> None:
    contacts, unreadable = read_contacts([GOOD, row, GOOD], campaign="1", statuses={"pending"})
    assert len(contacts) + len(unreadable) == 3


@example(fields={"pacing_ratio": "\ud800"})
@example(fields={"days_of_week": ["\ud800"]})
@given(fields=st.dictionaries(st.sampled_from(CampaignSettings.__struct_fields__), JSON, max_size=4))
@settings(max_examples=500)
def test_any_value_in_any_field_of_a_campaign_is_read_or_named(fields: dict[str, Any]) -> None:
    document = {"id": 1, "queue_name": "sales", **fields}
    try:
        read = read_campaign("1", document)
        retry_plan(read)
        caps_of(load_pack(read.rule_pack or "none"), read)
        campaign_window(read, "UTC")
    except CampaignError as error:
        named = {name for name in fields if name.replace("_", " ") in str(error).replace("_", " ")}
        names = [*(named - {"caller_id", "trunk", "name"})]
    else:
        names = [read.queue_name]
    assert names, "an error names a field that something depends on"


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"priority": "high"}, "priority", 5),
        ({"priority": 7.6}, "priority", 8),
        ({"priority": "9"}, "priority", 9),
        ({"priority": ""}, "priority", 5),
        ({"priority": 11}, "priority", 10),
        ({"attempts": ""}, "attempts", 0),
        ({"attempts": 2.0}, "attempts", 2),
        ({"attempts": -1}, "attempts", 0),
        ({"attempts": [3]}, "attempts", 0),
        ({"status": "PENDING"}, "problem", ""),
        ({"phone_number": 573001234567}, "problem", ""),
        ({"phone_number": 573001234567.0}, "problem", ""),
        ({"phone_number": None, "phones": [573001234567]}, "problem", ""),
        ({"phone_number": None, "phones": [{"type": "mobile", "number": "+573001234567"}]}, "problem", ""),
        ({"phone_number": None, "phones": "see note,+573001234567"}, "problem", ""),
        ({"phones": ["?"]}, "problem", ""),
        ({"phones": []}, "problem", ""),
        ({"phone_2": {"x": 1}}, "problem", ""),
        ({"phone_number": "12", "phone_2": 573001234567}, "problem", ""),
    ],
)
def test_a_value_with_a_clear_meaning_is_read_and_another_has_its_default(
    fields: dict[str, Any], name: str, value: object
) -> None:
    [contact], unreadable = read_contacts([{**GOOD, **fields}], campaign="1", statuses={"pending"})
    row = load_row(contact)
    assert (getattr(row, name), unreadable) == (value, [])
    assert msgspec.json.decode(row.call, type=ContactData).phone_number.endswith("573001234567")


@pytest.mark.parametrize("word", ["no", "N", "false", "0", "", 0, 0.0, False, None])
def test_a_mark_that_says_no_keeps_the_contact(word: object) -> None:
    [contact], _ = read_contacts([{**GOOD, "do_not_call": word}], campaign="1", statuses={"pending"})
    assert not contact.is_suppressed


@pytest.mark.parametrize("word", ["yes", "Sí", "TRUE", "1", 1, True])
def test_a_mark_that_says_yes_suppresses_the_contact(word: object) -> None:
    [contact], _ = read_contacts([{**GOOD, "do_not_call": word}], campaign="1", statuses={"pending"})
    assert contact.is_suppressed


@pytest.mark.parametrize("word", ["perhaps", 2, [], {"at": 1}, "2026-01-01"])
def test_a_mark_in_doubt_leaves_the_contact_out(word: object) -> None:
    contacts, unreadable = read_contacts([{**GOOD, "do_not_call": word}], campaign="1", statuses={"pending"})
    assert not contacts
    assert "contact 'good': do_not_call is" in unreadable[0]
    assert "takes true or false" in unreadable[0]


def test_a_contact_asked_for_by_its_id_is_read_as_in_a_list() -> None:
    row = {**GOOD, "id": 5.0, "status": "Dialing", "priority": "high"}
    found = read_contact(row, campaign="1", contact="5")
    assert found is not None
    assert (found.id, found.status, found.priority) == (5, "dialing", 5)
    assert read_contact(row, campaign="1", contact="6") is None


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"trunk": 3}, "trunk", "3"),
        ({"trunk": {"id": 3, "name": "out"}}, "trunk", "3"),
        ({"trunk": {"name": "out"}}, "trunk", "out"),
        ({"trunk": [3]}, "trunk", None),
        ({"caller_id": 6015551234}, "caller_id", "6015551234"),
        ({"caller_id": True}, "caller_id", None),
        ({"max_concurrent_calls": ""}, "max_concurrent_calls", 50),
        ({"pacing_ratio": ""}, "pacing_ratio", 1.2),
        ({"retry_delay": "00:05:00"}, "retry_delay", 300),
        ({"ring_timeout": "20"}, "ring_timeout", 20),
        ({"ring_timeout": " 0.5 "}, "ring_timeout", 0.5),
        ({"ring_timeout": "00:00:45"}, "ring_timeout", 45),
        ({"ring_timeout": ""}, "ring_timeout", None),
        ({"dial_mode": "Power"}, "dial_mode", "power"),
        ({"dial_mode": ""}, "dial_mode", "progressive"),
        ({"rule_pack": "CO"}, "rule_pack", "co"),
        ({"queue_name": 8001}, "queue_name", "8001"),
        ({"dial_mode": "agentless", "slots": "7", "queue_name": None}, "queue_name", "agentless/1"),
        ({"dial_mode": "Agentless", "slots": 7, "queue_name": "bots"}, "queue_name", "agentless/1"),
    ],
)
def test_a_campaign_is_read_where_its_meaning_is_clear(
    fields: dict[str, Any], name: str, value: object
) -> None:
    assert getattr(read_campaign("1", {"queue_name": "sales", **fields}), name) == value


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        ({}, None),
        ({"amd": False, "on_machine": "message"}, None),
        ({"amd": True}, "hangup"),
        ({"amd": "yes", "on_machine": "Message"}, "message"),
        ({"amd": 1, "on_machine": " agent "}, "agent"),
    ],
)
def test_what_follows_when_a_machine_answers_is_read(fields: dict[str, Any], action: str | None) -> None:
    read = read_campaign("1", {"queue_name": "sales", **fields})
    assert (read.machine_action, read.defaulted) == (action, ())


def test_what_cannot_be_read_about_machines_costs_only_itself() -> None:
    for raw in ("perhaps", 2, [True], {"on": 1}):
        read = read_campaign("1", {"queue_name": "sales", "amd": raw})
        assert (read.amd, *read.defaulted) == (False, f"amd is {raw!r}, takes true or false")
    for other in ("hang_up", 3, ["agent"]):
        read = read_campaign("1", {"queue_name": "sales", "amd": True, "on_machine": other})
        assert read.machine_action == "hangup"
        assert read.defaulted == (f"on_machine is {other!r}, takes hangup, message, agent",)


@pytest.mark.parametrize("raw", ["soon", 0, -5, 601, 30_000, True, [20], {"s": 20}, "nan", 10**400])
def test_a_ring_timeout_that_cannot_be_read_costs_only_itself(raw: object) -> None:
    read = read_campaign("1", {"queue_name": "sales", "ring_timeout": raw, "defaulted": ["theirs"]})
    assert (read.queue_name, read.ring_timeout) == ("sales", None)
    (line,) = read.defaulted
    assert line.startswith(f"ring_timeout is {raw!r}"[:60])
    assert line.endswith("takes seconds above 0 and up to 600")


def test_a_queue_without_a_name_for_a_key_is_refused() -> None:
    for name in ("a\nb", " ", None, ["sales"], ".", ".."):
        with pytest.raises(CampaignError, match="queue_name is"):
            read_campaign("1", {"queue_name": name})


def test_hours_are_read_where_their_meaning_is_clear() -> None:
    fields = {"start_time": "8:00", "end_time": "20:00:00", "timezone": "america/bogota"}
    window = campaign_window(read_campaign("1", {"queue_name": "sales", **fields}), "UTC")
    assert (window.opens_ms, window.zone.key) == (8 * 3_600_000, "America/Bogota")


# --- ids ----------------------------------------------------------------------------------------------------


@given(raw=TEXTS | st.integers() | st.floats(allow_nan=False))
@example(raw="00Q/5f")
@example(raw="a b%20c")
@example(raw="-0")
def test_an_id_is_safe_in_a_key_and_comes_back_as_it_was(raw: object) -> None:
    try:
        internal = normalise_id(raw)
    except ValueError:
        assert (
            isinstance(raw, float)
            or not str(raw).strip().isprintable()
            or len(str(raw)) > 256
            or raw in ("", " ")
        )
        return
    assert not set(internal) & set(" :{}/\n\t*?[]+")
    assert internal.isascii()
    text = str(int(raw) if isinstance(raw, float) else raw).strip()
    assert plain_id(internal) == text
    assert str(wire_id(internal)) == text, "an integer looks the same"


def test_the_same_id_in_three_forms_is_one() -> None:
    assert normalise_id(3) == normalise_id(3.0) == normalise_id("3") == "3"
    assert normalise_id("007") != normalise_id(7)
    assert (wire_id("3"), wire_id("-5"), wire_id("007"), wire_id("a%2Fb")) == (3, -5, "007", "a/b")


@pytest.mark.parametrize(
    "raw", [None, True, [], "", "  ", ".", "..", "a\nb", "a\x00", "x" * 257, 1e17, 1.5, "\ud800"]
)
def test_what_is_no_id_is_refused_in_one_line(raw: object) -> None:
    with pytest.raises(ValueError, match="an id is an integer, or a text") as refused:
        normalise_id(raw)
    assert not has_control(str(refused.value))


# --- variables ----------------------------------------------------------------------------------------------


def test_what_of_the_custom_data_goes_to_the_telephone_system() -> None:
    data = {
        "name": "Ana\r\nAction: Originate",
        "debt": 12.5,
        "vip": True,
        "n": 3,
        "list": [1],
        "nothing": None,
    }
    data |= {
        "bad name": "x",
        "ATTEMPT_ID": "forged",
        "AGENT_ID": "forged",
        "long": "x" * 257,
        "nan": float("nan"),
    }
    assert variables_of(data) == {"name": "Ana  Action: Originate", "debt": "12.5", "vip": "true", "n": "3"}
    assert len(variables_of({f"v{number}": "x" for number in range(40)})) == 32
    assert variables_of(["x"]) == variables_of(None) == {}


@given(data=st.dictionaries(TEXTS, JSON, max_size=40))
def test_no_control_character_leaves(data: dict[str, Any]) -> None:
    variables = variables_of(data)
    assert len(variables) <= 32
    for name, value in variables.items():
        assert name.isidentifier()
        assert name.isascii()
        assert len(value) <= 256
        assert not has_control(value)
