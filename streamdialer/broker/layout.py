"""How the dialer's data in Redis is laid out, as a number: programs that do not know it leave the data alone.

The hash `server` holds `layout`, from the first heartbeat on; `moved_to` when the data was moved to another server
(`operations/move.py`), and `moving` while it is being copied to this one.
"""

from __future__ import annotations

from typing import Any, Final

from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.config.version import __version__
from streamdialer.errors import CannotBeDone

LAYOUT: Final = 1
"""Raise it when a program of the version before could misread what this one writes, or the other way round."""
FIELDS: Final = ("layout", "moved_to", "moving")


def why_unusable(layout: str | None, moved_to: str | None, moving: str | None) -> str | None:
    """Why this program must not work with the data, by the hash `server`; None when it may."""
    if moved_to:
        return f"the data of this namespace was moved to {moved_to}: correct REDIS_URL"
    if moving:
        return f"the data of this namespace is being copied here from {moving}: wait, or move it again"
    if layout is None or layout == str(LAYOUT):
        return None
    is_older = layout.isdigit() and int(layout) < LAYOUT
    which = "an older" if is_older else "a newer"
    remedy = "this Redis belongs to that version" if is_older else "install that version"
    known = f"layout {layout}; {__version__} knows {LAYOUT}"
    return f"the data in Redis was written by {which} streamdialer ({known}): {remedy}"


async def why_refused(client: Redis, keys: Keys) -> str | None:
    """`why_unusable` for the data behind `client`. Raises redis.RedisError."""
    marks: Any = await client.hmget(keys.server, list(FIELDS))
    return why_unusable(*marks)


async def require_usable(client: Redis, keys: Keys) -> None:
    """Raises CannotBeDone with one line when this program must not work with the data."""
    if reason := await why_refused(client, keys):
        raise CannotBeDone(reason)
