"""One AMI link from the connect to its end: TLS, log-in by challenge, the wait for the boot, pings."""

from __future__ import annotations

import hashlib
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio
from anyio.abc import ByteStream

from streamdialer.config.ami_urls import AmiUrl
from streamdialer.errors import CredentialsRefused, RefusedByServer, Unreachable
from streamdialer.gateways.ami.connection import Connection, LinkLost
from streamdialer.gateways.ami.messages import Message

log = logging.getLogger(__name__)
CONNECT_S: Final = 10.0
"""Longest wait for the connection, and for each answer while logging in."""
BOOT_S: Final = 10.0
PING_EVERY_S: Final = 10.0
PING_S: Final = 5.0


async def log_in(link: Connection, address: AmiUrl, events: str = "on") -> None:
    """Raises CredentialsRefused, LinkLost or Unreachable."""
    try:
        challenge = await link.action("Challenge", {"AuthType": "MD5"}, timeout_s=CONNECT_S)
        key = hashlib.md5(
            (challenge.get("Challenge") + address.secret).encode(), usedforsecurity=False
        ).hexdigest()
        fields = {"AuthType": "MD5", "Username": address.username, "Key": key, "Events": events}
        await link.action("Login", fields, timeout_s=CONNECT_S)
    except RefusedByServer as error:
        raise CredentialsRefused(
            f"{error}; check ASTERISK_AMI_URL against secret, permit and deny in manager.conf"
        ) from None
    with anyio.move_on_after(BOOT_S):
        await link.booted.wait()
    if not link.booted.is_set():
        log.warning(
            "Asterisk does not say that it has booted: it is still starting, or the AMI user lacks read=system",
            extra={"server": link.server, "waited_s": BOOT_S},
        )


async def ping(link: Connection) -> None:
    """Pings until it is cancelled; ends the link when no answer comes."""
    while not link.is_lost:
        await anyio.sleep(PING_EVERY_S)
        try:
            await link.action("Ping", timeout_s=PING_S)
        except RefusedByServer:
            pass  # it answers
        except LinkLost:
            await link.lose(f"no answer to a ping within {PING_S:g} s")


@asynccontextmanager
async def connected(
    address: AmiUrl, on_event: Callable[[Message], None], events: str = "on"
) -> AsyncIterator[Connection]:
    """A link that has logged in, read and pinged beside the block; raises Unreachable, CredentialsRefused.

    When the link is lost, the block is cancelled and LinkLost is raised.
    """
    try:
        context = ssl.create_default_context(cafile=address.ca_certs or None) if address.uses_tls else None
        with anyio.fail_after(CONNECT_S):
            stream: ByteStream = (
                await anyio.connect_tcp(address.host, address.port)
                if context is None
                else await anyio.connect_tcp(address.host, address.port, ssl_context=context)
            )
    except (OSError, TimeoutError) as error:
        raise Unreachable(f"{address.name}: Asterisk cannot be reached: {error or 'time-out'}") from error
    link = Connection(stream, address.name, on_event)
    reason = ""

    async def read(scope: anyio.CancelScope) -> None:
        nonlocal reason
        reason = await link.read()
        scope.cancel()

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, tasks.cancel_scope, name="AMI reader")
            await log_in(link, address, events)
            tasks.start_soon(ping, link, name="AMI ping")
            yield link
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise
    finally:
        await link.lose("the link is closed")
    if reason:
        raise LinkLost(f"{address.name}: {reason}", was_sent=False)
