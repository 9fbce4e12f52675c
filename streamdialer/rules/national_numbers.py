"""Digits that certainly are one valid number of a country: a shortcut for lists of millions (pure).

It answers only where `phonenumbers` reads the digits as they stand: no prefix to strip, no other country's code, no
short or emergency number. It takes a twentieth of the library's time.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import msgspec
import phonenumbers
from phonenumbers import PhoneMetadata

_NATIONAL: Final = re.compile(r"[1-9][0-9]{6,13}")
_KINDS: Final = (
    *("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost"),
    *("personal_number", "voip", "pager", "uan", "voicemail"),
)


class _Country(msgspec.Struct, frozen=True):
    calling_code: str
    general: re.Pattern[str]
    kinds: list[tuple[frozenset[int], re.Pattern[str]]]
    """Lengths and digits of each kind of number."""
    other: re.Pattern[str] | None
    """Digits at the beginning that mean something else."""


def e164_of_national(text: str, country: str) -> str:
    """The digits of E.164; '' where a closer look is needed. `country` is a code in capitals."""
    if not country or not _NATIONAL.fullmatch(text):
        return ""
    rules = _country(country)
    if rules is None or not rules.general.fullmatch(text) or (rules.other and rules.other.match(text)):
        return ""
    length = len(text)
    is_valid = any(length in lengths and digits.fullmatch(text) for lengths, digits in rules.kinds)
    return f"{rules.calling_code}{text}" if is_valid and len(set(text)) > 1 else ""


@cache
def _country(code: str) -> _Country | None:
    """None for a country that shares its calling code, unless it is the first one of the code."""
    calling_code = phonenumbers.country_code_for_region(code)
    if not calling_code or phonenumbers.COUNTRY_CODE_TO_REGION_CODE[calling_code][0] != code:
        return None
    metadata = PhoneMetadata.metadata_for_region(code)
    general = metadata and metadata.general_desc
    if not metadata or not general or not general.national_number_pattern:
        return None
    lengths = frozenset(general.possible_length)
    kinds = [
        (
            frozenset(kind.possible_length or general.possible_length) & lengths,
            re.compile(kind.national_number_pattern),
        )
        for name in _KINDS
        if (kind := getattr(metadata, name)) and kind.national_number_pattern
    ]
    short = PhoneMetadata.short_metadata_for_region(code)
    emergency = short and short.emergency and short.emergency.national_number_pattern
    others = [
        each
        for each in (metadata.international_prefix, metadata.national_prefix_for_parsing, emergency)
        if each
    ]
    other = re.compile("|".join(f"(?:{each})" for each in others)) if others else None
    return _Country(str(calling_code), re.compile(general.national_number_pattern), kinds, other)
