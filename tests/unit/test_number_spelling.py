"""Every spelling of a phone number is read as the same number."""

from __future__ import annotations

import random
import re
from typing import Any, Final

import msgspec
import phonenumbers
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from streamdialer.consumers.dialing.contact_rows import load_row
from streamdialer.errors import CampaignError
from streamdialer.gateways.parsing import read_campaign, read_contacts
from streamdialer.model import Contact, ContactData
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
        ("+1 212 555 0123 ext. 4", "", "+12125550123"),
        ("300 123-4567", "", "3001234567"),
        ("+057 300 123 4567", "", "+573001234567"),
        ("+57 0300 123 4567", "", "+573001234567"),
        ("+57 (0) 300 123 4567", "", "+573001234567"),
        ("+39 (0)6 698 82123", "", "+390669882123"),
        ("(0)20 7946 0018", "GB", "+442079460018"),
        ("'3001234567", "CO", "+573001234567"),
        ("\u202a+573001234567\u202c", "", "+573001234567"),
        ("٣٠٠١٢٣٤٥٦٧", "CO", "+573001234567"),
        ("3001234567.0", "CO", "+573001234567"),
        ("300 123 4567 x12", "CO", "+573001234567"),
        ("+57\u00a0300\u00a0123\u00a04567;ext=9", "", "+573001234567"),
    ],
)
def test_a_number_has_one_spelling(raw: str, country: str, spelled: str) -> None:
    number = read_number(raw, country)
    assert str(number) == spelled
    assert number.is_e164 is spelled.startswith("+")
    assert not number.problem
    again = read_number(spelled, country)
    assert (again.digits, again.is_e164, again.problem) == (number.digits, number.is_e164, ""), "and keeps it"


@pytest.mark.parametrize(
    ("raw", "country", "word"),
    [
        ("", "", "no phone number"),
        ("nobody", "CO", "no phone number"),
        ("²", "", "no phone number"),
        ("12", "CO", "too short"),
        ("+57300123456789", "", "too long"),
        ("+999123456789", "", "calling code"),
        ("+57", "", "not a phone number"),
        ("+57 300", "", "too short"),
        ("3" * 300, "", "too long"),
        ("3" * 40, "CO", "not a phone number"),
        ("1001", "", "too short"),
        ("555 0123", "US", "area code is missing"),
        ("+1 555 0123", "", "area code is missing"),
        ("911", "US", "emergency"),
        ("112", "CO", "emergency"),
        ("+1911", "", "too short"),
        ("85432", "CO", "not a phone number"),
        ("0000000000", "", "one digit repeated"),
        ("+19999999999", "", "one digit repeated"),
        ("1112223333", "US", "its country has no such numbers"),
        ("+2730050", "", "short code"),
        ("555-1234 555-5678", "", "too long"),
        ("2024-11-26", "", "a date"),
        ("26.11.2024", "DK", "a date"),
        ("5.73001E+11", "CO", "letters"),
        ("*69", "US", "there is '*' in it"),
        ("see note 3", "", "letters"),
        ("3001234567 / 3109876543", "CO", "more than one"),
        ("5551234 5555678", "", "more than one"),
        ("3001234567;3109876543", "CO", "there is ';' in it"),
        ("3001234567)&System(id)", "CO", "there is '&' in it"),
        ("+573001234567\r\nAction: Originate", "", "there is '\\r' in it"),
        ("+573001234567;phone-context=evil", "", "there is ';' in it"),
        ("${EXTEN}3001234567", "CO", "there is '$' in it"),
        ("++573001234567", "", "there is '+' in it"),
    ],
)
def test_what_is_no_number_says_why(raw: str, country: str, word: str) -> None:
    number = read_number(raw, country)
    assert number.dialed == ""
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


@pytest.mark.parametrize("raw", ["cel 3001234567", "3001234567 (Ana)", "NO LLAMAR +57 300 123 4567"])
def test_a_number_among_words_can_be_listed_and_is_not_called(raw: str) -> None:
    number = read_number(raw, "CO")
    assert (str(number), number.dialed) == ("+573001234567", "")
    assert "letters" in number.problem


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (573001234567, ""),
        (573001234567.0, ""),
        (5.73001e11, "its last digits are lost"),
        (float("nan"), "its last digits are lost"),
        (-573001234567, "there is '-' in it"),
        (10**30, "takes a text"),
        (True, "takes a text"),
        ([], "takes a text"),
        (None, "no phone number"),
    ],
)
def test_a_json_number_is_read_as_its_digits(raw: object, problem: str) -> None:
    number = read_number(raw, "CO")
    assert problem in number.problem
    assert number.dialed == ("" if problem else "573001234567")


@pytest.mark.parametrize(
    ("raw", "country", "dialed"),
    [
        ("300 123-4567", "CO", "3001234567"),
        ("300 123-4567", "", "3001234567"),
        ("+57 300 123-4567", "CO", "+573001234567"),
        ("00 57 300 123-4567", "FR", "00573001234567"),
        ("057 300 123-4567", "CO", "+573001234567"),
        ("01 12 34 56 78", "FR", "0112345678"),
        ("1 12 34 56 78", "FR", "+33112345678"),
    ],
)
def test_it_is_dialed_as_the_backend_writes_it_but_never_into_an_emergency_line(
    raw: str, country: str, dialed: str
) -> None:
    assert read_number(raw, country).dialed == dialed


def test_what_is_sent_is_what_the_backend_gave_without_signs() -> None:
    row = load_row(Contact(id=7, phone_number="300 123-4567"), country="CO")
    assert row.call == '{"id":7,"phone_number":"3001234567","n":["+573001234567"]}'
    assert row.problem == ""
    local = load_row(Contact(id=7, phone_number="300 123-4567"))
    assert (local.call, local.problem) == ('{"id":7,"phone_number":"3001234567","n":["3001234567"]}', "")
    assert load_row(Contact(id=7, phone_number="12"), country="CO").problem == "not a phone number: too short"
    assert load_row(Contact(id=7, phone_number=None)).problem == "no phone number"


def test_digits_alone_have_no_sign() -> None:
    assert (str(Number("123")), str(Number("123", is_e164=True))) == ("123", "+123")


# --- any text at all ----------------------------------------------------------------------------------------

COUNTRIES: Final = ("", "CO", "US", "FR", "IT", "MX", "BR", "GB", "DE")
DIGITS: Final = ("0123456789", "٠١٢٣٤٥٦٧٨٩", "０１２３４５６７８９")
HARMLESS: Final = ("", " ", "-", ".", "\u00a0", "\u200b", "\u202c", " - ")
NEAR_NUMBERS: Final = st.text("0123456789+()-. /;,xX#*&$@{}:\n\rEe٠१\u200b", max_size=30)
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | NEAR_NUMBERS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["number", "x"]), inner, max_size=2)
    ),
    max_leaves=5,
)


@given(raw=JSON, country=st.sampled_from(COUNTRIES))
@example(raw="3001234567\n", country="CO")
@example(raw=16400, country="DE")
@settings(max_examples=1000)
def test_any_value_is_digits_or_invalid(raw: object, country: str) -> None:
    number = read_number(raw, country)
    assert bool(number.problem) != bool(number.dialed)
    # a pager in Germany has five digits after the calling code
    assert number.problem or re.fullmatch(r"\+?[0-9]{5,17}", number.dialed)
    assert re.fullmatch("[0-9]*", number.digits)
    assert number.problem or number.digits


@given(values=st.lists(JSON, max_size=4), as_list=st.booleans(), country=st.sampled_from(COUNTRIES))
@settings(max_examples=300)
def test_a_contact_is_dialed_at_digits_or_not_at_all(
    values: list[object], as_list: bool, country: str
) -> None:
    names = ("phone_number", "phone_2", "phone_3", "phones")
    fields: dict[str, Any] = {"phones": values} if as_list else dict(zip(names, values, strict=False))
    row = load_row(Contact(id=1, **fields), country=country)
    call = msgspec.json.decode(row.call, type=ContactData)
    dialed = call.phones or [call.phone_number]
    assert row.problem or all(re.fullmatch(r"\+?[0-9]+", each) for each in dialed)
    assert not row.problem or dialed == [""]
    assert row.problem or len(call.n) == len(dialed)


@st.composite
def spellings(draw: st.DrawFn) -> tuple[str, str, str]:
    """A spelling of a mobile number, its country, and the number as E.164."""
    country, code, trunk, first = draw(
        st.sampled_from(
            [
                ("CO", "57", "", "300"),
                ("GB", "44", "0", "7400"),
                ("FR", "33", "0", "612"),
                ("US", "1", "1", "212555"),
            ]
        )
    )
    length = {"CO": 10, "GB": 10, "FR": 9, "US": 10}[country]
    rest = draw(st.text("23456789", min_size=length - len(first), max_size=length - len(first)))
    assume(phonenumbers.is_valid_number(phonenumbers.parse(f"+{code}{first}{rest}")))
    national, separator = first + rest, draw(st.sampled_from(HARMLESS))
    cut = draw(st.integers(1, length - 1))
    body = national[:cut] + separator + national[cut:]
    head = draw(
        st.sampled_from(
            [
                f"+{code}",
                f"+{code} ",
                f"(+{code}) ",
                f"+{code} (0) ",
                f"+0{code}",
                f"00{code} ",
                "",
                trunk,
                f"tel:+{code}",
            ]
        )
    )
    tail = draw(st.sampled_from(["", " ", ".0", " ext 12", " x12", ";ext=7", " #3", "\u202c", "\n"]))
    if tail == ".0" and not (head + body).removeprefix("tel:").lstrip("+").isdecimal():
        tail = ""
    written = head + body + tail
    digits = draw(st.sampled_from(DIGITS))
    mark = draw(st.sampled_from(["", "'", " ", "\u202a", "\ufeff"]))
    return mark + written.translate(str.maketrans(DIGITS[0], digits)), country, f"+{code}{national}"


@given(spellings())
@settings(max_examples=1000)
def test_every_spelling_of_a_listed_number_is_that_number(written: tuple[str, str, str]) -> None:
    text, country, e164 = written
    number = read_number(text, country)
    if not number.problem:
        assert str(number) == e164, "else the do-not-call list would not have it"
    assert not number.problem, (text, number.problem)
