"""Renders pages from templates; every value is escaped."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from streamdialer.config.version import __version__
from streamdialer.dashboard import formatting
from streamdialer.dashboard.sessions import SESSION, Session

THEMES: Final = ("auto", "light", "dark")
MAX_NOTICES: Final = 1000
LIVE_HEADER: Final = "X-Live"
"""Sent by the script that keeps a page fresh."""


class Renderer:
    def __init__(self) -> None:
        self._templates = Environment(
            loader=PackageLoader("streamdialer.dashboard"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(formatting.FILTERS)
        self._templates.filters["segment"] = lambda text: quote(str(text), safe="")
        self._notices: dict[str, tuple[str, bool]] = {}

    def page(self, request: web.Request, template: str, status: int = 200, **context: Any) -> web.Response:
        session = request.get(SESSION)
        theme = request.cookies.get("theme", "auto")
        is_refresh = LIVE_HEADER in request.headers
        html = self._templates.get_template(f"{template}.html").render(
            session=session,
            path=request.path,
            back=request.path_qs if request.method == "GET" else "/",
            theme=theme if theme in THEMES else "auto",
            themes=THEMES,
            version=__version__,
            notice=self._notices.pop(session.id, None) if session and not is_refresh else None,
            **context,
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
