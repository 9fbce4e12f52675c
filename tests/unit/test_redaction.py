"""In a dead letter a phone number is masked, however it is spelled and wherever it stands."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdialer.observability.redaction import mask_field, mask_name, mask_text

SPELLINGS = [
    "+573001234567",
    "573001234567",
    "00573001234567",
    "+57 300 123 4567",
    "+57 (300) 123-4567",
    "(300) 123 4567",
    "300-123-4567",
    "300.123.4567",
    "300/123/4567",
    "300 123 45 67",
    "3 0 0 1 2 3 4 5 6 7",
    "300_123_4567",
    "3001234567.0",
    "+57 (0) 300 123 4567",
    "tel:+573001234567",
    "sip:3001234567@pbx",
    "PJSIP/3001234567",
    "whatsapp:+573001234567",
    "%2B57%20300%201234567",
    "+57\u00a0300\u00a01234567",
    "300\u200b123\u200b4567",
    "\uff0b\uff15\uff17\uff13\uff10\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17",
    "\u0663\u0660\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667",
    "5.73001234567E+11",
    "300,123,4567",
    "300 - 123 - 4567",
    "+57–300–123–4567",
    "'3001234567'",
    "3001234567x12",
    "call 300 123 4567 now",
]


def digits(text: str) -> str:
    return "".join(each for each in text if each.isdigit())


@pytest.mark.parametrize("spelled", SPELLINGS)
@pytest.mark.parametrize("name", ["phone_number", "telefono", "note", "reason", "x"])
def test_a_number_is_masked_in_every_spelling(spelled: str, name: str) -> None:
    document = {"type": "call_answered", name: spelled, "more": [{"deep": spelled}]}
    for shown in (
        mask_field(name, spelled),
        mask_field("data", json.dumps(document)),
        mask_field("data", json.dumps(document)[:-3]),  # broken
        mask_name(spelled),
    ):
        assert digits(spelled)[:7] not in digits(shown)
        assert "0123" not in shown
        assert "•" in shown or "\\u2022" in shown


@pytest.mark.parametrize("spelled", ["+57 300 123 4567", "(300) 123 4567", "300 123 4567", "573001234567"])
def test_a_number_is_masked_in_the_text_of_an_error(spelled: str) -> None:
    assert "1234567" not in digits(mask_text(f"an id is a text; got '{spelled}'"))


def test_a_number_in_place_of_an_id_is_masked_when_it_is_written_as_one() -> None:
    shown = mask_field("data", json.dumps({"contact_id": "+57 300 1234567", "campaign_id": 573001234567}))
    assert json.loads(shown) == {"contact_id": "•" * 12 + "567", "campaign_id": 573001234567}


def test_ids_and_times_stay_readable() -> None:
    document = {
        "campaign_id": 7,
        "contact_id": 12345678901,
        "call_id": "1732424242.17",
        "attempt_id": "7:123:1-18c2f",
        "at": "2030-01-31T15:00:00-05:00",
        "duration": 12.5,
    }
    assert json.loads(mask_field("data", json.dumps(document))) == document
    for text in (
        "no such call (campaign 7, 123)",
        "1732424242000-0 is not pending",
        "at 2030-01-31T15:00:00-05:00",
        "Redis at redis://192.168.10.20:6379/0 does not answer",
    ):
        assert mask_text(text) == text


@given(st.text(), st.text() | st.binary().map(lambda raw: raw.decode(errors="surrogateescape")))
def test_any_field_can_be_shown(name: str, value: str) -> None:
    assert isinstance(mask_field(name, value), str)
    assert isinstance(mask_field("data", value), str)


@pytest.mark.parametrize("depth", [100, 300, 600, 900, 5_000])
def test_no_depth_of_nesting_stops_it(depth: int) -> None:
    assert mask_field("data", "[" * depth + "]" * depth)
