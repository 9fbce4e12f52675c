"""Calling code and area code of a telephone number."""

from __future__ import annotations

import phonenumbers


def area_prefix(number: str) -> str:
    """The digits of an E.164 number up to the end of its area code; '' when it has none, as most mobile numbers.

    Source: the numbering plans of the library `phonenumbers`.
    """
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return ""
    length = phonenumbers.length_of_geographical_area_code(parsed)
    national = phonenumbers.national_significant_number(parsed)
    return f"{parsed.country_code}{national[:length]}" if length else ""
