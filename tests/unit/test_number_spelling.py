"""Every spelling of a phone number is read as the same number."""

from __future__ import annotations

import random

import phonenumbers
import pytest

from streamdialer.consumers.dialing.contact_rows import load_row
from streamdialer.errors import CampaignError
from streamdialer.gateways.parsing import read_campaign, read_contacts
from streamdialer.model import Contact
from streamdialer.rules import numbers
from streamdialer.rules.numbers import Number, is_country, read_number


@pytest.mark.parametrize(
    ("raw", "country", "spelled"),
    [
        ("+573001234567", "", "+573001234567"),
        (" +57 (300) 123-4567 ", "", "+573001234567"),
        ("(+57) 300 1234567", "", "+573001234567"),
        ("tel:+57-300-1234567", "", "+573001234567"),
        ("＋５７３００１２３４５６７", "", "+573001234567"),
        ("300 123 4567", "CO", "+573001234567"),
        ("300 123 4567", "co", "+573001234567"),
        ("573001234567", "CO", "+573001234567"),
        ("0057 300 123 4567", "GB", "+573001234567"),
        ("+44 (0)20 7946 0018", "", "+442079460018"),
        ("+4402079460018", "", "+442079460018"),
        ("+39 06 698 82", "", "+390669882"),
        ("1-800-FLOWERS", "US", "+18003569377"),
        ("+1 212 555 0123 ext. 4", "", "+12125550123"),
        ("300 123-4567", "", "3001234567"),
        ("555 0123", "US", "5550123"),
        ("+1 555 0123", "", "15550123"),
        ("1001", "", "1001"),
    ],
)
def test_a_number_has_one_spelling(raw: str, country: str, spelled: str) -> None:
    number = read_number(raw, country)
    assert str(number) == spelled
    assert number.is_e164 is spelled.startswith("+")
    assert not number.problem
    assert read_number(spelled, country) == number, "and keeps it"


@pytest.mark.parametrize(
    ("raw", "country", "word"),
    [
        ("", "", "no phone number"),
        ("nobody", "CO", "no phone number"),
        ("²", "", "no phone number"),
        ("12", "CO", "too short"),
        ("+57300123456789", "", "too long"),
        ("+999123456789", "", "calling code"),
        ("+0573001234567", "", "calling code"),
        ("+57", "", "not a phone number"),
        ("+57 300", "", "too short"),
        ("3" * 300, "", "too long"),
        ("3" * 40, "CO", "not a phone number"),
    ],
)
def test_what_is_no_number_says_why(raw: str, country: str, word: str) -> None:
    number = read_number(raw, country)
    assert number.digits == ""
    assert word in number.problem


def test_the_short_way_and_the_long_way_come_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(1)
    codes = [str(code) for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE]
    raws = [
        f"+{dice.choice(codes)}{''.join(dice.choices('0123456789', k=dice.randint(5, 12)))}"
        for _ in range(20_000)
    ]
    short = {raw: read_number(raw) for raw in raws if numbers._read_plain(raw)}
    assert len(short) > 2000
    monkeypatch.setattr(numbers, "_read_plain", lambda raw: None)
    assert {raw: read_number(raw) for raw in short} == short


def test_a_country_has_a_numbering_plan() -> None:
    assert is_country("CO")
    assert is_country("co")
    assert not any(map(is_country, ("", "XX", "COL", "57", "EU")))


def test_a_campaign_names_its_country() -> None:
    assert read_campaign("1", {"queue_name": "q", "country": "MX"}).country == "MX"
    assert read_campaign("1", {"queue_name": "q", "country": ""}).country is None
    with pytest.raises(CampaignError, match="country is 'Mexico', takes an ISO 3166 code"):
        read_campaign("1", {"queue_name": "q", "country": "Mexico"})


def test_the_backends_marks_are_read() -> None:
    rows = [
        {"id": 1, "status": "do_not_call"},
        {"id": 2, "do_not_call": True},
        {"id": 3, "do_not_call": "true", "status": "pending"},
        {"id": 4, "do_not_call": None},
        {"id": 5, "do_not_call": "perhaps"},
    ]
    contacts, unreadable = read_contacts(rows, campaign="1", statuses={"pending"})
    assert [contact.is_suppressed for contact in contacts] == [True, True, True, False]
    assert len(unreadable) == 1, "an ambiguous number is not called"


def test_what_is_sent_stays_as_the_backend_gave_it() -> None:
    row = load_row(Contact(id=7, phone_number="300 123-4567"), country="CO")
    assert row.call == '{"id":7,"phone_number":"300 123-4567","n":["+573001234567"]}'
    assert row.problem == ""
    local = load_row(Contact(id=7, phone_number="300 123-4567"))
    assert (local.call, local.problem) == ('{"id":7,"phone_number":"300 123-4567","n":["3001234567"]}', "")
    assert load_row(Contact(id=7, phone_number="12"), country="CO").problem == "not a phone number: too short"
    assert load_row(Contact(id=7, phone_number=None)).problem == "no phone number"


def test_digits_alone_have_no_sign() -> None:
    assert (str(Number("123")), str(Number("123", is_e164=True))) == ("123", "+123")
