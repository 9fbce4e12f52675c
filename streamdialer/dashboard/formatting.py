"""How pages write numbers, times and text, in the reader's language and time zone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from streamdialer.consumers.dialing.reasons import REASONS
from streamdialer.dashboard.language import CATALOGUES, Language
from streamdialer.dashboard.words import ATTEMPT_STATES, CONTACT_STATES, DISPOSITIONS
from streamdialer.operations.phrase import Phrase, translated
from streamdialer.operations.waiting_contacts import TEXTS as WAITING
from streamdialer.rules.cause_words import NAMES

EMPTY: Final = "–"
MONTHS: Final = (
    Phrase("Jan"),
    Phrase("Feb"),
    Phrase("Mar"),
    Phrase("Apr"),
    Phrase("May"),
    Phrase("Jun"),
    Phrase("Jul"),
    Phrase("Aug"),
    Phrase("Sep"),
    Phrase("Oct"),
    Phrase("Nov"),
    Phrase("Dec"),
)
_SPANISH_SIGNS: Final = str.maketrans({",": "\N{NO-BREAK SPACE}", ".": ","})
"""1 234,5 is read alike in every country that speaks Spanish; 1,234 is not."""


class Formatting(msgspec.Struct, frozen=True):
    """Each method is a filter of the templates."""

    language: Language
    zone: ZoneInfo

    def words(self, text: object) -> str:
        """A phrase, or a text of the catalogue, in the reader's language; any other text as it is."""
        catalogue = CATALOGUES[self.language]
        phrase = text if isinstance(text, Phrase) else Phrase(str(text))
        return str(translated(phrase, catalogue)) if phrase else ""

    def number(self, value: float | None, digits: int = 0) -> str:
        """1,234"""
        if value is None:
            return EMPTY
        text = f"{value:,.{digits}f}"
        return text.translate(_SPANISH_SIGNS) if self.language == "es" else text

    def percent(self, value: float | None, digits: int = 1) -> str:
        """A share as 3.2 %"""
        return EMPTY if value is None else f"{self.number(value * 100, digits)}\N{NO-BREAK SPACE}%"

    def age(self, seconds: float | None) -> str:
        """850 ms, 12 s, 3 min, 2.5 h, 4 days"""
        if seconds is None:
            return EMPTY
        if seconds < 1:
            return f"{max(0.0, seconds) * 1000:.0f} ms"
        if seconds < 100:
            return f"{seconds:.0f} s"
        if seconds < 6000:
            return f"{seconds / 60:.0f} min"
        if seconds < 172_800:
            return f"{self.number(seconds / 3600, 1)} h"
        days = round(seconds / 86_400)
        return self.words(Phrase.counted("{number} day", "{number} days", days))

    def lasting(self, seconds: float | None) -> str:
        """The same in whole seconds at least, of what people do."""
        return self.age(None if seconds is None else max(1, seconds))

    def size(self, size_bytes: float | None) -> str:
        """84 MB"""
        return EMPTY if size_bytes is None else f"{self.number(size_bytes / 1_000_000)} MB"

    def clock(self, at_ms: float | None) -> str:
        """The time of day."""
        return EMPTY if at_ms is None else self._time(at_ms, self._local(at_ms).strftime("%H:%M:%S"))

    def when(self, at_ms: float | None, now_ms: float) -> str:
        """A time such as 14:05, on another day 27 Nov 14:05."""
        if at_ms is None:
            return EMPTY
        at = self._local(at_ms)
        text = at.strftime("%H:%M")
        if at.date() != self._local(now_ms).date():
            text = f"{at.day} {self.words(MONTHS[at.month - 1])} {text}"
        return self._time(at_ms, text)

    def iso(self, text: str | None) -> float | None:
        """The time that a text in ISO 8601 names, in ms; None when it names none, or none that a page can show."""
        try:
            at = datetime.fromisoformat(text or "")
            return at.timestamp() * 1000 if 1970 < at.year < 9000 else None
        except (ValueError, OverflowError, OSError):
            return None

    def day_began(self, now_ms: float) -> int:
        """When the reader's day began, ms."""
        midnight = self._local(now_ms).replace(hour=0, minute=0, second=0, microsecond=0)
        return round(midnight.timestamp() * 1000)

    def disposition(self, code: str) -> str:
        return self._of_table(DISPOSITIONS, code)

    def contact_state(self, code: str) -> str:
        return self._of_table(CONTACT_STATES, code)

    def attempt_state(self, code: str) -> str:
        return self._of_table(ATTEMPT_STATES, code)

    def waits_for(self, code: str) -> str:
        """Why a contact waits, or is not called any more."""
        return self._of_table(DISPOSITIONS | {name: Phrase(text) for name, text in WAITING.items()}, code)

    def _of_table(self, table: Mapping[str, Phrase], code: str) -> str:
        return self.words(table[code]) if code in table else code.replace("_", " ")

    def cause(self, cause: str | None) -> str:
        """q850:17 as `q850:17 user busy`"""
        return f"{cause or ''} {self.words(NAMES.get(cause or '', ''))}".strip()

    def with_code(self, text: object) -> Markup:
        """The text in the reader's language, escaped, with `commands` in backquotes as <code>."""
        parts = self.words(text).split("`")
        return Markup("").join(
            Markup("<code>{}</code>").format(part) if index % 2 else part for index, part in enumerate(parts)
        )

    def remedy(self, reason: str | None) -> str:
        """What to do about a campaign that is not dialed; '' when there is nothing to do."""
        known = REASONS.get(reason or "")
        return known.remedy if known else ""

    def _local(self, at_ms: float) -> datetime:
        return datetime.fromtimestamp(at_ms / 1000, self.zone)

    def _time(self, at_ms: float, text: str) -> str:
        at = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds")
        return Markup('<time datetime="{}">{}</time>').format(at, text)


def _filter(name: str) -> Any:
    @pass_context
    def call(context: Context, *arguments: Any, **options: Any) -> Any:
        return getattr(context["formatting"], name)(*arguments, **options)

    return call


FILTERS: Final = {
    name: _filter(name)
    for name in (
        *(
            "words",
            "number",
            "percent",
            "age",
            "lasting",
            "size",
            "clock",
            "when",
            "iso",
            "cause",
            "with_code",
            "remedy",
        ),
        *("disposition", "contact_state", "attempt_state", "waits_for"),
    )
}
