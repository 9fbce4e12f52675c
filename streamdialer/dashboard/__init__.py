"""The web page: what the night shift sees, and what an operator may do from it.

Server-rendered pages (aiohttp, Jinja2) that a small script of ours keeps fresh: nothing is loaded from elsewhere, no
code is evaluated in the browser, and there is no socket that another site's page could open.
"""

from streamdialer.dashboard.server import serve

__all__ = ["serve"]
