"""Renders pages from templates; every value is escaped."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from streamdialer.config.version import __version__
from streamdialer.dashboard import formatting
from streamdialer.dashboard.formatting import Formatting
from streamdialer.dashboard.language import CATALOGUES, Language, language_of, zone_of
from streamdialer.dashboard.sessions import SESSION, Session
from streamdialer.operations.overview.views import Overview

THEMES: Final = ("auto", "light", "dark")
MAX_NOTICES: Final = 1000
LIVE_HEADER: Final = "X-Live"
"""Sent by the script that keeps a page fresh."""


class Renderer:
    def __init__(self, admin_url: str = "") -> None:
        """`admin_url`: where our own backend has its pages, '' when the backend is another program."""
        self._templates = {language: _environment(language) for language in CATALOGUES}
        self._admin_url = admin_url.rstrip("/")
        self._notices: dict[str, tuple[str, bool]] = {}

    def page(self, request: web.Request, template: str, status: int = 200, **context: Any) -> web.Response:
        session, words = request.get(SESSION), formatting_of(request)
        theme = request.cookies.get("theme", "auto")
        is_refresh = LIVE_HEADER in request.headers
        html = (
            self._templates[words.language]
            .get_template(f"{template}.html")
            .render(
                session=session,
                path=request.path,
                back=request.path_qs if request.method == "GET" else "/",
                theme=theme if theme in THEMES else "auto",
                themes=THEMES,
                version=__version__,
                notice=self._notices.pop(session.id, None) if session and not is_refresh else None,
                formatting=words,
                names=_names(context.get("overview")),
                admin_url=self._admin_url,
                **context,
            )
        )
        return web.Response(
            body=html.encode(errors="backslashreplace"),  # an entry may hold bytes that are no UTF-8
            status=status,
            content_type="text/html",
            charset="utf-8",
        )

    def error(self, request: web.Request, status: int, text: str) -> web.Response:
        return self.page(request, "error", status, code=status, text=text)

    def flash(self, session: Session, text: str, *, is_good: bool) -> None:
        """Shows the text at the top of the session's next page."""
        self._notices[session.id] = (text, is_good)
        if len(self._notices) > MAX_NOTICES:
            del self._notices[next(iter(self._notices))]


def formatting_of(request: web.Request) -> Formatting:
    return Formatting(language_of(request), zone_of(request))


def _environment(language: Language) -> Environment:
    environment = Environment(
        loader=PackageLoader("streamdialer.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(CATALOGUES[language], newstyle=True)  # type: ignore[attr-defined] # the extension adds it
    environment.globals["language"] = language
    environment.filters.update(formatting.FILTERS)
    environment.filters["segment"] = lambda text: quote(str(text), safe="")
    return environment


def _names(overview: Overview | None) -> dict[int | str, str]:
    """The campaigns' names by their ids, as far as they say more than the id."""
    return {
        campaign.campaign_id: campaign.name
        for campaign in (overview.campaigns if overview else [])
        if campaign.name not in ("", f"Campaign {campaign.campaign_id}")
    }
