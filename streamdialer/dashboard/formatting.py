"""How pages write numbers, times and text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from markupsafe import Markup

from streamdialer.consumers.dialing.reasons import REASONS

EMPTY: Final = "–"


def number(value: float | None, digits: int = 0) -> str:
    """1,234"""
    return EMPTY if value is None else f"{value:,.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """A share as 3.2 %"""
    return EMPTY if value is None else f"{value:.{digits}%}".replace("%", " %")


def age(seconds: float | None) -> str:
    """850 ms, 12 s, 3 min, 2.5 h, 4 days"""
    if seconds is None:
        return EMPTY
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"


def size(size_bytes: float | None) -> str:
    """84 MB"""
    return EMPTY if size_bytes is None else f"{size_bytes / 1_000_000:,.0f} MB"


def clock(at_ms: float | None) -> str:
    """Time of day, UTC."""
    return EMPTY if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M:%S")


def with_code(text: str) -> Markup:
    """The text, escaped, with `commands` in backquotes as <code>."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else part for index, part in enumerate(parts)
    )


def when(at_ms: float | None, now_ms: float) -> str:
    """A future time, UTC: 14:05, or on another day 27 Nov 14:05"""
    if at_ms is None:
        return EMPTY
    at, now = (datetime.fromtimestamp(each / 1000, UTC) for each in (at_ms, now_ms))
    return at.strftime("%H:%M" if at.date() == now.date() else "%d %b %H:%M")


def remedy(reason: str | None) -> str:
    """What to do about a campaign that is not dialed; '' when there is nothing to do."""
    known = REASONS.get(reason or "")
    return known.remedy if known else ""


FILTERS: Final[dict[str, Callable[..., str]]] = {
    each.__name__: each for each in (number, percent, age, size, clock, when, with_code, remedy)
}
