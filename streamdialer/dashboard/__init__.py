"""The web dashboard: what is happening now, and what an operator may change.

The server renders the pages (aiohttp, Jinja2) and one small script keeps them fresh. Pages load nothing from other
hosts, the browser evaluates no code, and there is no socket that another site's page could open.
"""

from streamdialer.dashboard.server import serve

__all__ = ["serve"]
