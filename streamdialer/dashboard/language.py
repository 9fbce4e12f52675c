"""The language and the time zone of the person who reads a page."""

from __future__ import annotations

import gettext
import re
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aiohttp import web

Language = Literal["en", "es"]
CATALOGUES: Final[dict[Language, gettext.NullTranslations]] = {
    "en": gettext.NullTranslations(),
    "es": gettext.translation("dashboard", Path(__file__).parent / "locale", languages=["es"]),
}
ZONE_COOKIE: Final = "zone"
"""`live.js` writes the browser's time zone into it."""
MAX_HEADER: Final = 400
MAX_ZONE: Final = 64
UTC: Final = ZoneInfo("UTC")
_ENTRY: Final = re.compile(r"\s*([a-zA-Z]{2,3})(?:-[^;,]*)?\s*(?:;\s*q\s*=\s*([0-9.]{1,5}))?\s*")


def language_of(request: web.Request) -> Language:
    """The first of ours that the browser asks for (Accept-Language, RFC 9110); English when it asks for none."""
    best: tuple[float, Language] = (0.0, "en")
    for entry in request.headers.get("Accept-Language", "")[:MAX_HEADER].split(","):
        match = _ENTRY.fullmatch(entry)
        name = match[1].lower() if match else ""
        language: Language | None = "es" if name == "es" else "en" if name == "en" else None
        if match and language and (quality := _quality(match[2])) > best[0]:
            best = (quality, language)
    return best[1]


def _quality(text: str | None) -> float:
    try:
        return 1.0 if text is None else float(text)
    except ValueError:
        return 0.0


def zone_of(request: web.Request) -> ZoneInfo:
    """The browser's time zone, UTC until its script has said which."""
    name = unquote(request.cookies.get(ZONE_COOKIE, ""))
    try:
        return ZoneInfo(name) if 0 < len(name) <= MAX_ZONE else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC
