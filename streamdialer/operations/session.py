"""Opens what a command needs: a client of a Redis that answers, a free port."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from streamdialer.broker.connection import connect, keys_of, ping
from streamdialer.broker.keys import Keys
from streamdialer.broker.layout import require_usable
from streamdialer.config.settings import Settings
from streamdialer.errors import CannotBeDone


@asynccontextmanager
async def open_client(settings: Settings) -> AsyncIterator[tuple[Redis, Keys]]:
    """A client and its key names.

    Raises Unreachable when Redis does not answer, CannotBeDone when its data is not for this version.
    """
    client = connect(settings.redis_url)
    try:
        await ping(client, settings.redis_url)
        keys = keys_of(settings)
        await require_usable(client, keys)
        yield client, keys
    finally:
        await client.aclose()


def require_port(host: str, port: int, option: str = "") -> None:
    """Raises CannotBeDone when nothing can listen at the port; call it before any other work.

    `option`: what names another port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        remedy = f"; name another one with {option}" if option else ""
        reason = os.strerror(error.errno) if error.errno else error
        raise CannotBeDone(f"cannot listen at port {port} of {host}: {reason}{remedy}") from error


def free_port() -> int:
    """A port of loopback that nothing listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
