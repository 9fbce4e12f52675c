"""Phone numbers in one spelling, so that a person's number is the same number in every campaign (pure).

The spelling is E.164, by the numbering plans of the `phonenumbers` library. Text that is E.164 already is compared with
its plan directly: the result is the same, in a tenth of the time.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import msgspec
import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, ValidationResult

NO_NUMBER: Final = "no phone number"
_MAX_CHARS: Final = 250
_E164: Final = re.compile(r"\+[1-9][0-9]{7,14}")
_PLUS_FIRST: Final = re.compile(r"\D*[+＋]")
_LETTER: Final = re.compile(r"[^\W\d_]")
_DECIMALS: Final = re.compile(r"(?<=[0-9])\.0+\s*$")
"""A spreadsheet adds them to a number that it reads as an amount."""
_MIN_DIGITS: Final = 5
"""Of a number whose country is not known; shorter ones are row numbers."""
_PROBLEMS: Final = {
    ValidationResult.TOO_SHORT: "not a phone number: too short",
    ValidationResult.TOO_LONG: "not a phone number: too long",
    ValidationResult.INVALID_LENGTH: "not a phone number: its country has none of this length",
    ValidationResult.INVALID_COUNTRY_CODE: "not a phone number: no country has this calling code",
}


class Number(msgspec.Struct, frozen=True):
    """A phone number in the spelling for comparison."""

    digits: str
    """Of E.164; the digits of the text when the country is unknown; '' when there is a `problem`."""
    is_e164: bool = False
    problem: str = ""

    def __str__(self) -> str:
        return f"+{self.digits}" if self.is_e164 else self.digits


class _Plan(msgspec.Struct, frozen=True):
    """The numbering plan of a calling code: rules for the digits after it."""

    lengths: frozenset[int]
    prefix: re.Pattern[str] | None
    """Digits that callers inside the country dial first, and that are not part of the number."""


def is_country(code: str) -> bool:
    """Whether `code` is an ISO 3166 alpha-2 country with a numbering plan, in any case."""
    return code.upper() in phonenumbers.SUPPORTED_REGIONS


def read_number(raw: str, country: str = "") -> Number:
    """The number in a text; without a + it is of `country` (ISO 3166 alpha-2, '' = unknown)."""
    plain = _read_plain(raw)
    if plain is not None:
        return plain
    digits = "".join(str(int(character)) for character in raw if character.isdecimal())
    if not digits:
        return Number("", problem=NO_NUMBER)
    if len(raw) > _MAX_CHARS:
        return Number("", problem=_PROBLEMS[ValidationResult.TOO_LONG])
    has_plus = _PLUS_FIRST.match(raw) is not None
    international = None if has_plus else _read_international(digits, country)
    if international is not None:
        return international
    if not country and not has_plus:
        return Number(digits)
    try:
        parsed = phonenumbers.parse(raw, country.upper() or None)
    except NumberParseException as error:
        is_unknown = error.error_type == NumberParseException.INVALID_COUNTRY_CODE
        return Number(
            "",
            problem=_PROBLEMS[ValidationResult.INVALID_COUNTRY_CODE] if is_unknown else "not a phone number",
        )
    possible = phonenumbers.is_possible_number_with_reason(parsed)
    if possible == ValidationResult.IS_POSSIBLE:
        text = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
        return Number(text[1:], is_e164=True)
    if possible == ValidationResult.IS_POSSIBLE_LOCAL_ONLY:  # a local number without its area code
        return Number(digits)
    return Number("", problem=_PROBLEMS[possible])


def read_strictly(raw: str, country: str = "") -> Number:
    """`read_number` for text that people type and cells of spreadsheets, which may hold something else.

    A number that is not E.164 must have no letters, and without a country at least five digits.
    """
    text = _DECIMALS.sub("", raw)
    number = read_number(text, country)
    if number.problem or number.is_e164:
        return number
    if _LETTER.search(text):
        return Number("", problem="not a phone number: there are letters in it")
    if not country and len(number.digits) < _MIN_DIGITS:
        return Number("", problem=_PROBLEMS[ValidationResult.TOO_SHORT])
    return number


def _read_international(digits: str, country: str) -> Number | None:
    """A number that begins with 00, or with 0 and the country's own calling code; None for other numbers.

    Lists write numbers like this. By the dialing plan alone, 0057 in Colombia is carrier 5 and a call to Russia.
    """
    if not digits.startswith("0"):
        return None
    own = str(phonenumbers.country_code_for_region(country.upper())) if country else ""
    rest = digits.lstrip("0")
    if not digits.startswith("00") and not (own and rest.startswith(own)):
        return None
    try:
        parsed = phonenumbers.parse(f"+{rest}")
        if not digits.startswith("00") and phonenumbers.is_valid_number(
            phonenumbers.parse(digits, country.upper())
        ):
            return None  # a number inside the country
    except NumberParseException:
        return None
    return Number(rest, is_e164=True) if phonenumbers.is_valid_number(parsed) else None


def _read_plain(raw: str) -> Number | None:
    """The number of a text that is E.164; None when that needs a closer look."""
    if not _E164.fullmatch(raw):
        return None
    for width in (1, 2, 3):
        plan = _plan(raw[1 : 1 + width])
        if plan is None:
            continue
        national = raw[1 + width :]
        prefix = plan.prefix.match(national) if plan.prefix else None
        is_whole = len(national) in plan.lengths and (prefix is None or prefix.end() == 0)
        return Number(raw[1:], is_e164=True) if is_whole else None
    return None


@cache
def _plan(calling_code: str) -> _Plan | None:
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(calling_code))
    if regions is None:
        return None
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(int(calling_code), regions[0])
    if metadata is None or metadata.general_desc is None:
        return None
    desc, prefix = metadata.general_desc, metadata.national_prefix_for_parsing
    lengths = frozenset(desc.possible_length) - frozenset(desc.possible_length_local_only)
    return _Plan(lengths, re.compile(prefix) if prefix else None)
