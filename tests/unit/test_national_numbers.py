"""The shortcut for a country's numbers answers what the numbering plans of the library answer, or nothing."""

from __future__ import annotations

from random import Random

import phonenumbers
import pytest

from streamdialer.rules import numbers
from streamdialer.rules.national_numbers import e164_of_national

COUNTRIES = (
    "CO",
    "US",
    "ES",
    "MX",
    "AR",
    "BR",
    "GB",
    "DE",
    "FR",
    "IT",
    "CL",
    "PE",
    "CU",
    "RU",
    "JP",
    "AU",
    "CA",
)


def read_by_the_plans(text: str, country: str) -> numbers.Number:
    return numbers._read_value(text, country)


def shortened(text: str, country: str) -> numbers.Number | None:
    e164 = e164_of_national(text, country)
    return numbers.Number(e164, is_e164=True, dialed=text) if e164 else None


def example_digits(country: str, kind: int) -> str:
    example = phonenumbers.example_number_for_type(country, kind) or phonenumbers.example_number(country)
    assert example is not None
    return str(example.national_number)


@pytest.mark.parametrize("country", COUNTRIES)
def test_it_answers_as_the_numbering_plans_or_not_at_all(country: str) -> None:
    draw, answered = Random(country), 0
    length = len(example_digits(country, 0))
    for _ in range(1500):
        head = example_digits(country, draw.choice((0, 1, 2, 3)))[: draw.randint(0, 5)]
        missing = max(0, length + draw.choice((-1, 0, 0, 0, 1, 2)) - len(head))
        tail = "".join(draw.choices("0123456789", k=missing))
        text = head + tail
        answer = shortened(text, country)
        answered += answer is not None
        assert answer in (None, read_by_the_plans(text, country)), text
    # Canada shares its calling code; Argentina's prefix may stand inside a number
    assert answered > 100 or country in ("AR", "CA")


def test_examples_of_every_country_are_read_alike() -> None:
    answered = 0
    for country in phonenumbers.SUPPORTED_REGIONS:
        for kind in range(11):
            example = phonenumbers.example_number_for_type(country, kind)
            if example is not None:
                text = phonenumbers.national_significant_number(example)
                answer = shortened(text, country)
                answered += answer is not None
                assert answer in (None, read_by_the_plans(text, country)), (country, text)
    assert answered > 600
