"""Phone numbers in one spelling, so that a person's number is the same number in every campaign (pure).

The spelling is E.164, by the numbering plans of the `phonenumbers` library. Text that is E.164 already is compared with
its plan directly, and so are the digits of a country's numbers (`national_numbers.py`): the result is the same, in a
tenth of the time. `number_text.py` reads the digits of all other text.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Final

import msgspec
import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumber, ValidationResult, shortnumberinfo

from streamdialer.rules.national_numbers import e164_of_national
from streamdialer.rules.number_text import TOO_LONG, Spelling, read_spelling

_E164: Final = re.compile(r"\+[1-9][0-9]{7,14}")
_MIN_DIGITS: Final = 7
"""No phone number of any country is shorter with its calling code; shorter ones are emergency numbers, short codes,
extensions and row numbers."""
_MAX_DIGITS: Final = 13
"""Of a number whose country is not known; longer ones may be two."""
_OLD_MEXICAN_MOBILE: Final = re.compile(r"(00)?521([2-9][0-9]{9})")
"""Until 2019 a 1 stood before mobile numbers from abroad; no Mexican number has eleven digits today."""
_MAX_SHORT_DIGITS: Final = 6
"""Of a country's short codes."""
_TOO_SHORT: Final = "not a phone number: too short"
_PROBLEMS: Final = {
    ValidationResult.TOO_SHORT: _TOO_SHORT,
    ValidationResult.TOO_LONG: TOO_LONG,
    ValidationResult.INVALID_LENGTH: "not a phone number: its country has none of this length",
    ValidationResult.INVALID_COUNTRY_CODE: "not a phone number: no country has this calling code",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "not a phone number: its area code is missing",
}
_SHORT_CODE: Final = "not a phone number: an emergency number or a short code"
_NOT_ASSIGNED: Final = "not a phone number: its country has no such numbers"


class Number(msgspec.Struct, frozen=True):
    """A phone number in the spelling for comparison, and as it is dialed."""

    digits: str
    """Of E.164, or of the text without zeros before them when the country is unknown. '' when no number can be read."""
    is_e164: bool = False
    dialed: str = ""
    """What is sent: digits, after a + if the text has one. '' when there is a `problem`."""
    problem: str = ""
    """Why it is never called. Where it has digits, it can be put on the do-not-call list all the same."""

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


def read_number(raw: object, country: str = "") -> Number:
    """The one number in a text or a JSON number; without a + it is of `country` (ISO 3166 alpha-2, '' = unknown)."""
    plain = _read_plain(raw) if isinstance(raw, str) else None
    if plain is not None:
        return plain
    if isinstance(raw, str):
        e164 = e164_of_national(raw, country.upper())
        return Number(e164, is_e164=True, dialed=raw) if e164 else _read_spelled(raw, country)
    return _read_value(raw, country)


def _read_value(raw: object, country: str) -> Number:
    spelling = read_spelling(raw)
    if not spelling.digits:
        return Number("", problem=spelling.problem)
    number = _read_digits(spelling, country.upper())
    if spelling.problem:
        return msgspec.structs.replace(number, dialed="", problem=spelling.problem)
    return number


_read_spelled = lru_cache(maxsize=8192)(_read_value)
"""Lists are read again and again."""


def _read_digits(spelling: Spelling, country: str) -> Number:
    old_mexican = _OLD_MEXICAN_MOBILE.fullmatch(spelling.digits)
    if old_mexican and (spelling.has_plus or old_mexican[1] or country == "MX"):
        return _read_international(f"52{old_mexican[2]}")
    if spelling.has_plus and spelling.without_zero:  # dialed inside the country only; Italy's numbers keep it
        kept = _read_international(spelling.digits.lstrip("0"))
        is_kept = not kept.problem and phonenumbers.is_valid_number(phonenumbers.parse(str(kept)))
        return kept if is_kept else _read_international(spelling.without_zero)
    if spelling.has_plus:
        return _read_international(spelling.digits.lstrip("0"))
    readings = [
        _read_with_prefix(digits, country) or _read_local(digits, country)
        for digits in (spelling.digits, spelling.without_zero)
        if digits
    ]
    return next((number for number in readings if not number.problem), readings[0])


def _read_international(digits: str) -> Number:
    """A number that begins with its calling code."""
    plain = _read_plain(f"+{digits}")
    if plain is not None:
        return plain
    try:
        parsed = phonenumbers.parse(f"+{digits}")
    except NumberParseException as error:
        is_unknown = error.error_type == NumberParseException.INVALID_COUNTRY_CODE
        return Number(
            "",
            problem=_PROBLEMS[ValidationResult.INVALID_COUNTRY_CODE] if is_unknown else "not a phone number",
        )
    if digits_in_country := phonenumbers.national_significant_number(parsed).lstrip("0"):
        shorter = PhoneNumber(country_code=parsed.country_code, national_number=int(digits_in_country))
        if not phonenumbers.is_valid_number(parsed) and phonenumbers.is_valid_number(shorter):
            return _checked(shorter)  # written with the zero that callers inside the country dial first
    possible = phonenumbers.is_possible_number_with_reason(parsed)
    if possible != ValidationResult.IS_POSSIBLE:
        return Number("", problem=_PROBLEMS[possible])
    return _checked(parsed)


def _read_with_prefix(digits: str, country: str) -> Number | None:
    """A number that begins with 00, or with 0 and the country's own calling code; None for other numbers.

    Lists write numbers like this. By the dialing plan alone, 0057 in Colombia is carrier 5 and a call to Russia.
    """
    if not digits.startswith("0"):
        return None
    own = str(phonenumbers.country_code_for_region(country)) if country else ""
    rest = digits.lstrip("0")
    is_international = digits.startswith("00")
    if not is_international and not (own and rest.startswith(own)):
        return None
    try:
        if not is_international and phonenumbers.is_valid_number(phonenumbers.parse(digits, country)):
            return None  # a number inside the country
        parsed = phonenumbers.parse(f"+{rest}")
    except NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    number = _checked(parsed)
    return msgspec.structs.replace(number, dialed=digits) if is_international and number.dialed else number


def _read_local(digits: str, country: str) -> Number:
    """A number inside the country. Without a country, only its digits can be compared."""
    if not country:
        if len(digits) < _MIN_DIGITS:
            return Number("", problem=_TOO_SHORT)
        if len(digits) > _MAX_DIGITS:
            return Number("", problem=TOO_LONG)
        if len(set(digits)) == 1:
            return Number("", problem="not a phone number: one digit repeated")
        return Number(digits.lstrip("0"), dialed=digits)  # the zero is dialed inside the country only
    try:
        parsed = phonenumbers.parse(digits, country)
    except NumberParseException:
        return Number("", problem="not a phone number")
    possible = phonenumbers.is_possible_number_with_reason(parsed)
    if possible != ValidationResult.IS_POSSIBLE:
        return Number("", problem=_SHORT_CODE if _is_short_code(digits, country) else _PROBLEMS[possible])
    number = _checked(parsed)
    if not number.problem and not phonenumbers.is_valid_number(parsed):
        return msgspec.structs.replace(number, dialed="", problem=_NOT_ASSIGNED)
    emergency = _emergency_numbers(country)
    if number.problem or (emergency and emergency.match(digits)):
        return number  # as +33112…: 112… would reach the emergency line
    return msgspec.structs.replace(number, dialed=digits)


def _checked(parsed: PhoneNumber) -> Number:
    """A possible number, unless it is a short code or one that no list means."""
    text = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    national = phonenumbers.national_significant_number(parsed)
    is_short = len(national) <= _MAX_SHORT_DIGITS and shortnumberinfo.is_valid_short_number(parsed)
    if len(text) <= _MIN_DIGITS or is_short:
        return Number("", problem=_SHORT_CODE)
    if len(set(national)) == 1 and not phonenumbers.is_valid_number(parsed):
        return Number("", problem="not a phone number: one digit repeated")
    return Number(text[1:], is_e164=True, dialed=text)


@cache
def _emergency_numbers(country: str) -> re.Pattern[str] | None:
    metadata = PhoneMetadata.short_metadata_for_region(country)
    pattern = metadata and metadata.emergency and metadata.emergency.national_number_pattern
    return re.compile(pattern) if pattern else None


def _is_short_code(digits: str, country: str) -> bool:
    if shortnumberinfo.is_emergency_number(digits, country):
        return True
    try:
        return shortnumberinfo.is_valid_short_number_for_region(phonenumbers.parse(digits, country), country)
    except NumberParseException:
        return False


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
        is_whole = (
            is_whole and len(national) > _MAX_SHORT_DIGITS and len(set(national)) > 1 and national[0] != "0"
        )
        return Number(raw[1:], is_e164=True, dialed=raw) if is_whole else None
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
