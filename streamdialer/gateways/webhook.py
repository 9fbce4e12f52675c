"""An address that gets messages by POST, signed by the Standard Webhooks scheme (https://www.standardwebhooks.com).

A person typed the address. Unless the settings allow it, no connection is made to a private network or to this machine,
whatever the name resolves to at that moment. Redirects are not followed.
"""

from __future__ import annotations

import base64
import ipaddress
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Self

import aiohttp
import anyio
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from standardwebhooks import Webhook
from yarl import URL

from streamdialer.config.urls import split_url
from streamdialer.errors import SettingsError
from streamdialer.gateways.client import CONNECT_TIMEOUT_S
from streamdialer.gateways.connector import CleanConnector
from streamdialer.gateways.originate_reply import one_line, retry_after
from streamdialer.observability.metrics import WEBHOOK_REQUESTS

URL_FORMS: Final = "https://host/path or http://host/path, without a user, a password or a fragment"
SECRET_FORMS: Final = "whsec_ and the base64 of 24 to 64 random bytes, several separated by commas"
MIN_SECRET_BYTES: Final = 24
MAX_SECRET_BYTES: Final = 64
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


class PrivateAddress(OSError):
    """The address is of a private network or of this machine."""


class Answer(msgspec.Struct, frozen=True):
    """What came back for one message."""

    is_taken: bool
    detail: str = ""
    """Why not, in one line."""
    pause_s: float = 0.0
    """For how long the server asks for no request."""


class WebhookEndpoint:
    """Sends messages to one URL; the end of its `async with` block closes the connections.

    Example::

        async with WebhookEndpoint(url, secrets, private_addresses=False, timeout_s=15, connections=32) as endpoint:
            answer = await endpoint.send("1772359200000-0", b'{"type": "attempt_ended"}')
    """

    def __init__(
        self, url: str, secrets: str, *, private_addresses: bool, timeout_s: float, connections: int
    ) -> None:
        """`secrets` are separated by commas, and each signs. Raises SettingsError."""
        self._url = read_webhook_url(url)
        self._signers = read_secrets(secrets)
        self._private_addresses = private_addresses
        self._timeout_s = timeout_s
        self._connections = connections
        host = self._url.host or ""
        if not private_addresses and (is_private(host) or host == "localhost"):
            raise SettingsError(f"STREAMDIALER_WEBHOOKS_URL: {refusal(host)}")

    async def __aenter__(self) -> Self:
        resolver = None if self._private_addresses else PublicAddresses()
        connector = CleanConnector(limit=self._connections, resolver=resolver, ttl_dns_cache=10)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=CONNECT_TIMEOUT_S + self._timeout_s, connect=CONNECT_TIMEOUT_S
            ),
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        with anyio.CancelScope(shield=True):
            await self._session.close()

    async def send(self, message_id: str, body: bytes) -> Answer:
        """Sends a message once; the id is the same each time it is sent."""
        outcome = "no_reply"
        try:
            async with self._session.post(
                self._url, data=body, headers=self._headers(message_id, body), allow_redirects=False
            ) as reply:
                outcome = f"{reply.status // 100}xx"
                return _read(reply)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error.__cause__, PrivateAddress):
                outcome, error = "refused", error.__cause__
            return Answer(False, one_line(str(error) or type(error).__name__))
        finally:
            WEBHOOK_REQUESTS.labels(outcome).inc()

    def _headers(self, message_id: str, body: bytes) -> dict[str, str]:
        now = datetime.now(UTC)
        signatures = [signer.sign(message_id, now, body.decode()) for signer in self._signers]
        return {
            "content-type": "application/json",
            "user-agent": "streamdialer",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }


def _read(reply: aiohttp.ClientResponse) -> Answer:
    """The body is not read: any 2xx takes the message."""
    if 200 <= reply.status < 300:
        return Answer(True)
    detail = f"HTTP {reply.status}"
    if 300 <= reply.status < 400:
        detail += ", a redirect, which is not followed: name the address that it leads to"
    is_busy = reply.status in (429, 503)
    return Answer(False, detail, retry_after(reply.headers, default_s=0.0) if is_busy else 0.0)


class PublicAddresses(AbstractResolver):
    """Resolves names when a connection is made, and refuses those that lead to a private address."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if any(is_private(each["host"]) for each in found):
            raise PrivateAddress(refusal(host))
        return found

    async def close(self) -> None:
        await self._resolver.close()


def refusal(host: str) -> str:
    return (
        f"{host} is an address of a private network or of this machine; "
        "STREAMDIALER_WEBHOOKS_PRIVATE_ADDRESSES=true allows it"
    )


def is_private(host: str) -> bool:
    """Whether it is an IP address that is not public; a name is none."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        within = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            within = ipaddress.IPv4Address(address.packed[-4:])
        if within is not None:
            return is_private(str(within))
    return not address.is_global or address.is_multicast


def read_webhook_url(text: str) -> URL:
    """Raises SettingsError."""
    parts = split_url(text)
    try:
        url = URL(text)
        is_fine = url.scheme in ("http", "https") and bool(url.host) and not (url.user or url.password)
        _ = url.port  # a port that is no number
    except ValueError:
        is_fine = False
    if not is_fine or parts["login"] or "#" in text or any(each.isspace() for each in text):
        raise SettingsError(f"STREAMDIALER_WEBHOOKS_URL: takes {URL_FORMS}")
    return url


def read_secrets(text: str) -> Sequence[Webhook]:
    """One signer per secret, in order; raises SettingsError, without a part of a secret."""
    signers: list[Webhook] = []
    for at, secret in enumerate(filter(None, map(str.strip, text.split(","))), 1):
        try:
            raw = _decode(secret)
        except ValueError:
            raw = b""
        if not MIN_SECRET_BYTES <= len(raw) <= MAX_SECRET_BYTES:
            raise SettingsError(
                f"STREAMDIALER_WEBHOOKS_SECRETS: secret {at} is not one; takes {SECRET_FORMS}"
            )
        signers.append(Webhook(raw))
    if not signers:
        raise SettingsError(f"STREAMDIALER_WEBHOOKS_SECRETS: not set; takes {SECRET_FORMS}")
    return signers


def _decode(secret: str) -> bytes:
    text = secret.removeprefix("whsec_")
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
