"""What a field with a telephone number holds: the digits of one number, or why it is not certainly one (pure).

People, spreadsheets and attackers write such fields. Only known ways of writing one number pass; all other text is
refused, so that nothing but digits can reach a telephone system.
"""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Final

import msgspec

NO_NUMBER: Final = "no phone number"
TOO_LONG: Final = "not a phone number: too long"
TWO_NUMBERS: Final = "more than one phone number"
_LETTERS: Final = "not a phone number: there are letters in it"
_MAX_CHARS: Final = 250
_MAX_EXACT: Final = 2**53
_SAME_AS: Final = str.maketrans(
    {"＋": "+", "（": "(", "）": ")", "［": "[", "］": "]", "．": ".", "／": "/", "−": "-", "ー": "-"}
)
_EXTENSION: Final = re.compile(
    r"(?:;ext=|[,;]?\s*(?:ext(?:ension|n)?|extensi[oó]n|anexo|int|xt?)\.?:?\s*|\s*#\s*)[0-9]{1,7}$",
    re.IGNORECASE,
)
_AMOUNT: Final = re.compile(r"(\+?[0-9]{7,})[.,]0{1,2}")
"""A spreadsheet adds decimals to a number that it reads as an amount."""
_DATE: Final = re.compile(r"[0-9]{4}([-/.])[0-9]{1,2}\1[0-9]{1,2}|[0-9]{1,2}([-/.])[0-9]{1,2}\2[0-9]{4}")
_NUMBER: Final = re.compile(r"[(\[ ]*\+?[(\[ ]*[0-9][0-9 ()\[\]./-]*")
_WORD: Final = re.compile(r"[^\W\d_]+[.:]?|[()\[\]]")
_LONG_RUN: Final = re.compile(r"[0-9]{7,}")


class Spelling(msgspec.Struct, frozen=True):
    """The digits of a field, or a `problem`."""

    digits: str = ""
    """ASCII. With a problem: of the one number that stands among words, which is certain enough only to be listed."""
    has_plus: bool = False
    without_zero: str = ""
    """The digits without a zero that is written as (0); '' where there is none."""
    problem: str = ""


def read_spelling(raw: object) -> Spelling:
    """The digits in a text or a JSON number."""
    if isinstance(raw, float):
        is_exact = math.isfinite(raw) and raw.is_integer() and abs(raw) < _MAX_EXACT
        if not is_exact or raw % 100_000 == 0:  # as from 5.73E+11
            return Spelling(problem="not a phone number: its last digits are lost")
        raw = int(raw)
    if isinstance(raw, int) and not isinstance(raw, bool) and raw.bit_length() < 64:
        raw = str(raw)
    if not isinstance(raw, str):
        return Spelling(problem=NO_NUMBER if raw is None else "not a phone number: takes a text")
    if len(raw) > _MAX_CHARS:
        return Spelling(problem=TOO_LONG if any(map(str.isdecimal, raw)) else NO_NUMBER)
    text = _plain(raw)
    if not any(map(str.isdecimal, text)):
        return Spelling(problem=NO_NUMBER)
    text = _AMOUNT.sub(r"\1", text) if _AMOUNT.fullmatch(text) else _EXTENSION.sub("", text)
    if _DATE.fullmatch(text):
        return Spelling(problem="not a phone number: a date")
    return _read_one(text)


def _plain(raw: str) -> str:
    """The text with ASCII digits and signs, without invisible characters, `tel:` and a spreadsheet's apostrophe."""
    text = raw.strip()
    if not text.isascii():
        text = "".join(map(_ascii, text.translate(_SAME_AS))).strip()
    return re.sub(r"(?i)^['’`]?(?:tel:)?\s*", "", text).strip(" '\"")


def _ascii(character: str) -> str:
    if character.isdecimal():
        return str(int(character))
    kind = unicodedata.category(character)
    return {"Cf": "", "Pd": "-", "Zs": " "}.get(kind, character)


def _read_one(text: str) -> Spelling:
    if not _NUMBER.fullmatch(text):
        return _read_among_words(text)
    digits = re.sub("[^0-9]", "", text)
    if len(_LONG_RUN.findall(text)) > 1:
        return Spelling(problem=TWO_NUMBERS)
    has_plus = "+" in text
    without_zero = re.sub("[^0-9]", "", text.replace("(0)", "", 1))
    return Spelling(digits, has_plus, without_zero if "(0)" in text else "")


def _read_among_words(text: str) -> Spelling:
    rest = _WORD.sub("|", text)
    if rest == text or not re.fullmatch(r"[0-9+ ./|-]*", rest):
        wrong = next((sign for sign in text if not (sign.isalnum() or sign in "+ ()[]./-")), text[0])
        return Spelling(problem=f"not a phone number: there is {wrong!r} in it")
    numbers = [part for part in rest.split("|") if any(map(str.isdecimal, part))]
    one = _read_one(numbers[0].strip(" .-/")) if len(numbers) == 1 else Spelling()
    return msgspec.structs.replace(one, problem=_LETTERS)
